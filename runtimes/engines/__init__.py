"""Engines: what runs a compiled model, each in one file and one row of the table in `registry`."""
