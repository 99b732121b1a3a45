"""Training methods: plain, invariant, robust finetuning, the loss predictor, learned augmentation."""
