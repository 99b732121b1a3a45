"""Losses: consistency between two views of an image, and losses that teach an order."""
