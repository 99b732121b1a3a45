"""The machine and its operating system: processor, memory, and files written completely or not at all.

`memory` is not imported here, because it imports numpy, which the command line does not need to start.
"""

from allweather.runtimes.system.atomic_files import atomic_file, atomic_folder, check_file, check_folder
from allweather.runtimes.system.device import Device, power_mode, this_device
from allweather.runtimes.system.private_folder import cache_folder, check_private, make_private

__all__ = [
    "Device", "atomic_file", "atomic_folder", "cache_folder", "check_file", "check_folder",
    "check_private", "make_private", "power_mode", "this_device",
]  # fmt: skip
