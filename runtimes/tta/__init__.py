"""Test-time augmentation: the views of an image, which of them to run in the time left, and one result from all."""
