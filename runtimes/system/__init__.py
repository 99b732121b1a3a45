"""The machine: processor, memory, atomic files, private folders and locks."""
