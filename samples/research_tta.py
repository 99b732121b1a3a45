"""Gives a network of your own test-time augmentation: python research_tta.py CHECKPOINT PREDICTOR.

CHECKPOINT is a classifier and PREDICTOR its loss predictor, such as resnet20-fma-ca-0.safetensors and
predictor-published-resnet20.safetensors of samples/checkpoints. Any `nn.Module` does in their place.

The images are drawn road signs, as the repository has no others. These checkpoints know the ten classes of CIFAR-10, so
what they predict here is meaningless: the sample shows the calls, and how far the results of two ways are apart. Put
images of your network's classes in their place.
"""

import sys

import torch

from allweather.trainers import TTAWrapper, apply_view, load_checkpoint, load_predictor, render_signs

if len(sys.argv) != 3:
    sys.exit("usage: python research_tta.py CHECKPOINT PREDICTOR")
checkpoint, predictor = load_checkpoint(sys.argv[1]), load_predictor(sys.argv[2])
network = checkpoint.classifier().eval()
images = torch.from_numpy(render_signs("test", count=32)[0]).permute(0, 3, 1, 2)  # uint8 [n, 3, h, w]; yours here
with torch.no_grad():
    one_view = network(images / 255).softmax(1)
    zoomed = network(apply_view(images / 255, "zoom1.2")).softmax(1)
    by_hand = (one_view + zoomed) / 2
    wrapped = TTAWrapper(network, "set:identity,zoom1.2")(images)
    print(f"wrapper against by hand: {float((wrapped - by_hand).abs().max()):.1e} apart")
    for mode in ("mean", "gmean", "sum", "max", "min", "tsharpen"):
        merged = TTAWrapper(network, "10crop", merge_mode=mode)(images)
        changed = int((merged.argmax(1) != one_view.argmax(1)).sum())
        print(f"10crop, {mode}: another prediction than one view for {changed} of {len(images)} images")
    ranked = TTAWrapper(network, "top:2", predictor=predictor)(images)
    print(f"top:2: mean confidence {float(ranked.amax(1).mean()):.3f}, one view {float(one_view.amax(1).mean()):.3f}")
