"""Augmentations: photometric ones, random variants, their strengths, and learned ones."""
