"""Public names that are imported when they are first used; the packages that use it have tests of their own."""

from __future__ import annotations

import sys
import types

import pytest

from allweather.runtimes.system.lazy_names import lazy_names


def test_a_name_is_imported_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    package, inner = types.ModuleType("lazy_package"), types.ModuleType("lazy_package.inner")
    inner.__dict__["value"] = 3
    monkeypatch.setitem(sys.modules, "lazy_package", package)
    monkeypatch.setitem(sys.modules, "lazy_package.inner", inner)
    get, names = lazy_names("lazy_package", {"value": "inner", "other": "missing"})
    assert "value" not in vars(package)
    assert get("value") == 3
    assert vars(package)["value"] == 3
    assert names() == ["other", "value"]
    with pytest.raises(AttributeError, match="module 'lazy_package' has no attribute 'velue'; it has other, value"):
        get("velue")
    with pytest.raises(ModuleNotFoundError):
        get("other")
