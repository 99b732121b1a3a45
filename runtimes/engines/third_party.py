"""Engines that other packages add, through the packaging entry point group `allweather.engines`.

An entry point names an `EngineSpec`, or a module that holds exactly one. In the package's pyproject.toml:

    [project.entry-points."allweather.engines"]
    my_engine = "my_package.engine_spec:SPEC"

That module is imported when engines are looked up by name, so it should import nothing but `EngineSpec`; the engine
itself is in the module that the spec names. A broken package causes a warning and does not affect other engines.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType

from allweather.runtimes.engines.base import EngineSpec
from allweather.runtimes.errors import EngineError, first_line
from allweather.runtimes.text import printable

GROUP = "allweather.engines"
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ThirdPartyEngines:
    """The engines that installed packages add.

    Attributes:
        specs: Engines that can be used, by name.
        faults: Why an engine cannot be used and which package it is from, by name.
    """

    specs: Mapping[str, EngineSpec]
    faults: Mapping[str, str]


def find_third_party_engines(taken: Collection[str], formats: Collection[str]) -> ThirdPartyEngines:
    """Reads the entry points of all installed packages. What cannot be used is logged as a warning.

    Args:
        taken: Names of allweather's own engines.
        formats: Names of the engines that models in a bundle are made for.
    """
    specs: dict[str, EngineSpec] = {}
    faults: dict[str, str] = {}
    for entry, package in _entry_points():
        try:
            spec = _load(entry)
            _check(spec, entry.name, {*taken, *specs}, formats)
        except EngineError as error:
            name = printable(entry.name)
            fault = f"the package {package} offers it, but {error}; update or uninstall that package"
            log.warning("engine %s cannot be used: %s", name, fault)
            faults.setdefault(name, fault)
        else:
            specs[spec.name] = spec
    return ThirdPartyEngines(specs, {name: fault for name, fault in faults.items() if name not in {*taken, *specs}})


def _entry_points() -> Iterator[tuple[metadata.EntryPoint, str]]:
    """Yields the entry points of our group, each with its package; a package that is found twice counts once."""
    names: set[str] = set()
    for distribution in metadata.distributions():
        try:
            if GROUP not in (distribution.read_text("entry_points.txt") or ""):
                continue
            name = str(distribution.metadata["Name"])
            package = printable(f"{name} {distribution.version}")
            entries = [entry for entry in distribution.entry_points if entry.group == GROUP]
        except Exception as error:  # noqa: BLE001 -- the metadata of any package may be damaged in any way
            log.warning(
                "the entry points of an installed package cannot be read: %s", _metadata_fault(distribution, error)
            )
            continue
        if re.sub(r"[-_.]+", "-", name).lower() not in names:
            names.add(re.sub(r"[-_.]+", "-", name).lower())
            yield from ((entry, package) for entry in sorted(entries, key=lambda entry: entry.name))


def _metadata_fault(distribution: metadata.Distribution, error: Exception) -> str:
    """Returns the path of damaged metadata, as far as it is known, and what is wrong with it."""
    return f"{printable(str(getattr(distribution, '_path', 'unknown')))}: {first_line(error)}"


def _load(entry: metadata.EntryPoint) -> EngineSpec:
    """Returns the spec that an entry point names.

    Raises:
        EngineError: It cannot be imported, or is no spec.
    """
    try:
        loaded = entry.load()
    except Exception as error:
        raise EngineError(f"{printable(entry.value)} cannot be imported ({first_line(error)})") from error
    if isinstance(loaded, ModuleType):
        specs = [value for value in vars(loaded).values() if isinstance(value, EngineSpec)]
        if len(specs) != 1:
            raise EngineError(f"the module {printable(entry.value)} holds {len(specs)} EngineSpec objects, not one")
        return specs[0]
    if not isinstance(loaded, EngineSpec):
        raise EngineError(f"{printable(entry.value)} is of type {type(loaded).__name__}, not an EngineSpec")
    return loaded


def _check(spec: EngineSpec, name: str, taken: Collection[str], formats: Collection[str]) -> None:
    """Validates a spec.

    Raises:
        EngineError: It is not valid; the message says why.
    """
    if spec.name != name:
        raise EngineError(f"its EngineSpec is named {spec.name!r:.60}, which must be the name of the entry point")
    if not NAME.fullmatch(name):
        raise EngineError("the name must be a lower-case letter, then at most 39 letters, digits and underscores")
    if name in taken:
        raise EngineError("that name is taken by another engine")
    if not MODULE.fullmatch(spec.module):
        raise EngineError(f"its module must be the full name of a module, not {spec.module!r:.60}")
    if spec.runs not in formats:
        raise EngineError(f"it must run the models of {', '.join(formats)}, not of {spec.runs!r:.60}")
    if spec.extra or spec.precisions or spec.preference is not None:
        raise EngineError("only engines of allweather itself can have an extra, precisions or a preference")
