"""What belongs to the process that made it: threads, locks and engines, which no other process can be given."""

from __future__ import annotations

from typing import NoReturn

from allweather.runtimes.errors import UsageError


class OneProcess:
    """Base of a class whose objects are neither pickled nor copied."""

    def __reduce__(self) -> NoReturn:
        """Refuses to be pickled or copied.

        Raises:
            UsageError: Always; the message says what to do.
        """
        raise UsageError(
            f"a {type(self).__name__} cannot be pickled or copied, as it belongs to the process that made it; call "
            "allweather.load in each process (threads may share one)"
        )
