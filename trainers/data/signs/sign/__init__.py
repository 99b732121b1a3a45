"""One road sign of the embedded data set: its face, wear, light and surroundings."""
