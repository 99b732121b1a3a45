"""python -m allweather.cli."""

from allweather.cli import main

main()
