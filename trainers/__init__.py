"""Training: data, models, the one loop, checkpoints. torch lives here, and nowhere below."""
