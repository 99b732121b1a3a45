"""The bundle: the file format that carries models from the workstation to the device."""
