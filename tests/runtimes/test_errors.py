"""The tree of errors is the one in the docstring; similar names are suggested."""

from __future__ import annotations

import inspect
import re

from allweather.runtimes import errors
from allweather.runtimes.errors import AllweatherError, unknown_name


def test_the_tree_is_the_one_that_is_drawn() -> None:
    drawn = set(re.findall(r"\w+Error", inspect.getdoc(errors) or ""))
    kinds = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
    assert set(kinds) == drawn
    assert all(issubclass(kind, AllweatherError) for kind in kinds.values())


def test_a_similar_name_is_suggested_and_a_different_one_is_not() -> None:
    assert str(unknown_name("view", "hfilp", ("hflip", "identity"))) == (
        "no view is called 'hfilp'; did you mean hflip? There are: hflip, identity"
    )
    different = str(unknown_name("view", "fog", ("hflip", "identity")))
    assert different == "no view is called 'fog'. There are: hflip, identity"
    assert "did you mean" not in str(unknown_name("corruption", "rain", ("brightness", "fog")))
    assert "did you mean jpeg_compression?" in str(unknown_name("corruption", "jpeg", ("fog", "jpeg_compression")))
