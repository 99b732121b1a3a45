"""Cameras: where frames come from, opened by the text that names them."""
