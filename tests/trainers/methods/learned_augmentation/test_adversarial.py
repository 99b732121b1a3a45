from __future__ import annotations

import torch
from torch import Tensor

from allweather.trainers.augmentations.learned.networks import AugmentationNetwork
from allweather.trainers.methods.learned_augmentation.adversarial import GanModel, relativistic


def features(images: Tensor) -> Tensor:
    return images.mean((2, 3))


def test_relativistic_is_the_paper_s_loss() -> None:
    true, false = torch.tensor([[0.5], [2.0]]), torch.tensor([[-1.0], [0.3]])
    wanted = -((true - false.mean()).sigmoid().log().mean() + (1 - (false - true.mean()).sigmoid()).log().mean()) / 2
    torch.testing.assert_close(relativistic(true, false), wanted)


def test_each_side_follows_its_own_loss() -> None:
    torch.manual_seed(0)
    contest = GanModel(AugmentationNetwork("parallel"), 3)
    images, real = torch.rand(4, 3, 32, 32), torch.rand(4, 3, 32, 32)
    contest(images, real, features, torch.Generator().manual_seed(1)).backward()
    together = {
        name: parameter.grad.clone() for name, parameter in contest.named_parameters() if parameter.grad is not None
    }
    assert set(together) == {name for name, _ in contest.named_parameters()}
    contest.zero_grad()
    made = contest.augmenter(images, torch.Generator().manual_seed(1))
    pairs = list(zip(contest.judges, (real, features(real)), (made, features(made)), strict=True))
    for judge, true, false in pairs:
        relativistic(judge(true), judge(false.detach())).backward(inputs=list(judge.parameters()))
    ours = sum((relativistic(judge(false), judge(true)) for judge, true, false in pairs), torch.zeros(()))
    ours.backward(inputs=list(contest.augmenter.parameters()))
    for name, parameter in contest.named_parameters():
        torch.testing.assert_close(together[name], parameter.grad, msg=name)
