"""Training of the loss predictor: targets from a frozen classifier, and the training itself."""
