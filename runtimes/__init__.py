"""What runs on the device: numpy, cv2 and one engine. It imports neither torch nor the other packages.

The public names are those of `allweather` itself. None are imported here, so that importing one part of this package
does not load the others.
"""
