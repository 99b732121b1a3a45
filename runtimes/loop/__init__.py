"""The camera loop: frames in, decisions out, with statistics, signals and several cameras."""
