"""The name of a data set that is empty, as a variable of a script may be, is not taken for the working folder."""

from __future__ import annotations

import pytest

from allweather.runtimes.errors import UsageError
from allweather.trainers.data.registry import dataset_classes


def test_an_empty_name_gets_the_forms_alone() -> None:
    with pytest.raises(UsageError, match=r"unknown data set ''; write signs, .* names tar files$"):
        dataset_classes("")
