"""Training: data sets, models, losses, training methods and checkpoints; the lowest folder that may import torch."""
