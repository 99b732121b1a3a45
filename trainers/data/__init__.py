"""Data sets: how images with labels are found, split and put into batches."""
