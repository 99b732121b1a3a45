"""Checkpoints: weights and what they mean in one safetensors file, never pickle."""
