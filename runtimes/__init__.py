"""What runs on the device: numpy, cv2 and one engine. Imports nothing above it, and never torch."""
