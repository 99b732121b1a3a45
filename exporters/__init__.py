"""From a checkpoint to a bundle; one compiler per file."""
