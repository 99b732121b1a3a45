"""Evaluation: accuracy on clean, corrupted, augmented and shifted images, and what policies gain."""
