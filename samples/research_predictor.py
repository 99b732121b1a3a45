"""Trains a loss predictor on a table of losses, and ranks views with it: python research_predictor.py.

The classifier here is a small network that learns drawn road signs; any network or table of losses does in its place.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from allweather.trainers import (
    FitSettings,
    PredictorSettings,
    TTAWrapper,
    corrupt,
    fit_loss_predictor,
    render_signs,
    view_losses,
)

VIEWS = ("identity", "autocontrast", "sharpness0.2", "zoom1.2")


def signs(split: str, count: int) -> tuple[Tensor, Tensor]:
    """Returns drawn road signs: uint8 [n, 3, 32, 32], and labels of 16 classes, int64 [n]."""
    images, labels = render_signs(split, count=count)
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)


torch.manual_seed(0)
(images, labels), (val, val_labels), (test, test_labels) = signs("train", 1280), signs("val", 640), signs("test", 320)
blocks = [nn.Sequential(nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o), nn.ReLU()) for i, o in ((3, 32), (32, 64))]
network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * 64, 16))
optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
for _ in range(6):
    for rows in torch.randperm(len(images)).split(32):
        loss = cross_entropy(network(images[rows] / 255), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
network.eval()

harder = torch.cat([corrupt(val[:320], "contrast", 4, seed=1), corrupt(val[320:], "gaussian_noise", 3, seed=2)])
table = view_losses(network, harder, val_labels, VIEWS)  # float [n, V], in nats
settings = PredictorSettings(fit=FitSettings(epochs=6, batch_size=32, shift=0))
predictor = fit_loss_predictor(harder, table, views=VIEWS, settings=settings)

chosen = TTAWrapper(network, "top:1", predictor=predictor, predictor_views=VIEWS)
for name in ("contrast", "gaussian_noise"):
    images = corrupt(test, name, 3, seed=3)
    with torch.no_grad():
        plain = (network(images / 255).argmax(1) == test_labels).float().mean()
        ranked = (chosen(images).argmax(1) == test_labels).float().mean()
    print(f"accuracy, {name}: one view {float(plain):.3f}, the view with the lowest predicted loss {float(ranked):.3f}")
