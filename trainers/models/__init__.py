"""Models by name, the loss predictor's network, activation hooks and averaged weights."""
