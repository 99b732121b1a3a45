"""Corrupted test sets: made as they are read, written to disk, and read back."""
