"""Imports the library of an engine, and says what is wrong with one that is missing, broken or incomplete."""

from __future__ import annotations

import importlib
from types import ModuleType

from allweather.runtimes.errors import DependencyError
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.system.shortage import with_cure


def import_library(name: str, engine: str, cure: str, needed: str) -> ModuleType:
    """Imports the library of an engine.

    Args:
        name: Name of its module.
        engine: Name of the engine, for messages.
        cure: What to do if it is not installed.
        needed: An attribute that the library has. What an uninstallation leaves behind is a module, too.

    Raises:
        DependencyError: The library is not installed, does not load, or is incomplete.
    """
    again = f"install it again: pip install --force-reinstall {name}"
    try:
        with isolated_imports():
            library = importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: a shared library that it needs is missing
        raise DependencyError(f"{engine}: {with_cure(error, cure)}") from error
    except Exception as error:  # what is half installed, or made for another NumPy, may raise anything
        raise DependencyError(f"{engine}: {name} does not load ({with_cure(error, again)})") from error
    if not hasattr(library, needed) or not hasattr(library, "__version__"):
        raise DependencyError(f"{engine}: {name} is incomplete, as an uninstallation may leave it; {again}")
    return library
