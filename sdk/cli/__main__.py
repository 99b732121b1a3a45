"""python -m allweather.cli."""

from allweather.cli import main

try:
    main()
finally:
    # Python remembers a Ctrl-C that went through an exec, as dataclasses use while they are imported, until the next
    # one is done, and would end by the signal in place of our exit code
    exec("")  # noqa: S102 -- our own empty text
