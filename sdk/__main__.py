"""python -m allweather: the same as the command allweather, where that is not on the path."""

import runpy

runpy.run_module("allweather.cli", run_name="__main__")
