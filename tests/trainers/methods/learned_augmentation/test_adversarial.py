from __future__ import annotations

import torch
from torch import Tensor

from allweather.trainers.augmentations.learned.networks import AugmentationNetwork
from allweather.trainers.methods.learned_augmentation.adversarial import GanModel, relativistic_loss


def features(images: Tensor) -> Tensor:
    return images.mean((2, 3))


def test_the_relativistic_loss_is_that_of_the_paper() -> None:
    true, fake = torch.tensor([[0.5], [2.0]]), torch.tensor([[-1.0], [0.3]])
    expected = -((true - fake.mean()).sigmoid().log().mean() + (1 - (fake - true.mean()).sigmoid()).log().mean()) / 2
    torch.testing.assert_close(relativistic_loss(true, fake), expected)


def test_each_network_follows_its_own_loss() -> None:
    torch.manual_seed(0)
    gan = GanModel(AugmentationNetwork("parallel"), 3)
    images, real = torch.rand(4, 3, 32, 32), torch.rand(4, 3, 32, 32)
    gan(images, real, features, torch.Generator().manual_seed(1)).backward()
    together = {
        name: parameter.grad.clone() for name, parameter in gan.named_parameters() if parameter.grad is not None
    }
    assert set(together) == {name for name, _ in gan.named_parameters()}
    gan.zero_grad()
    augmented = gan.network(images, torch.Generator().manual_seed(1))
    pairs = list(zip(gan.discriminators, (real, features(real)), (augmented, features(augmented)), strict=True))
    for discriminator, true, fake in pairs:
        relativistic_loss(discriminator(true), discriminator(fake.detach())).backward(
            inputs=list(discriminator.parameters())
        )
    ours = sum(
        (relativistic_loss(discriminator(fake), discriminator(true)) for discriminator, true, fake in pairs),
        torch.zeros(()),
    )
    ours.backward(inputs=list(gan.network.parameters()))
    for name, parameter in gan.named_parameters():
        torch.testing.assert_close(together[name], parameter.grad, msg=name)
