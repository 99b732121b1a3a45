"""The landscape of the embedded data set: textures, ground, sky and scenery, seen by a moving camera."""
