"""python -m allweather.cli."""

from allweather.cli import main

try:
    main()
finally:
    # After a Ctrl-C inside an exec, such as those of dataclasses during an import, Python remembers the signal until
    # the next exec has ended, and would end the process by that signal instead of with our exit code.
    exec("")  # noqa: S102 -- the text is empty and our own
