"""The demo: the whole journey on the embedded data set."""
