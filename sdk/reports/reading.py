"""What a reader needs beside the figures of a report: how to read them, and which run of which program made them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from allweather import __version__
from allweather.evaluation.error_rate import ErrorChange
from allweather.reports.html import Section
from allweather.runtimes.markdown import markdown

Item = tuple[str, str]
Row = Sequence[str]
HOW_TO_READ = "How to read this"
HOW_MADE = "How this was made"
BOOTSTRAP = (
    "Behind an error, in parentheses, is its 95 % interval, a bootstrap (percentiles of 1000 resamples): images are "
    "drawn with repetition, each with all of its corrupted copies. It tells how much depends on which images were "
    "tested, and says nothing of another training or another seed. Where no image is classified incorrectly, it "
    "ends at what so few images may have missed."
)
COMMIT_DIGITS = 12
ROOT = Path(__file__).resolve().parents[2]  # of the checkout, if it runs from one
_TWO_SIDED_95 = 1.959963984540054  # quantile of the normal distribution


@dataclass(frozen=True)
class Origin:
    """Which run of which program made a report.

    Attributes:
        version: Version of allweather.
        commit: Commit of the checkout that it runs from, whose files may have been changed since; empty where it is
            installed from a wheel.
        command: The command line, without passwords; empty if a program called allweather.
        seed: Random seed of the command; None for one that has none, and if a program called allweather.
    """

    version: str
    commit: str
    command: str = ""
    seed: int | None = None

    @staticmethod
    def of(command: str = "", seed: int | None = None) -> Origin:
        """Returns the origin of what is made here and now; see the attributes for the arguments."""
        return Origin(__version__, checked_out_commit(ROOT), command, seed)

    def items(self) -> list[Item]:
        """Returns what is known, each with its name."""
        seed = "" if self.seed is None else str(self.seed)
        known = (
            ("command", self.command), ("seed", seed), ("allweather", self.version), ("checked-out commit", self.commit)
        )  # fmt: skip
        return [(name, value) for name, value in known if value]


def checked_out_commit(root: Path) -> str:
    """Returns the commit of a checkout, which its files of git tell, as no command may start another program.

    Args:
        root: Root of the checkout; of something else, as where a wheel was installed, the commit is "".
    """
    folder = root / ".git"
    with suppress(OSError, UnicodeDecodeError):
        head = (folder / "HEAD").read_text("utf-8").strip()
        reference = head.removeprefix("ref: ")
        if reference == head:
            return head[:COMMIT_DIGITS]
        with suppress(FileNotFoundError):
            return (folder / reference).read_text("utf-8")[:COMMIT_DIGITS]
        packed = (line.split() for line in (folder / "packed-refs").read_text("utf-8").splitlines())
        return next((line[0][:COMMIT_DIGITS] for line in packed if line[1:] == [reference]), "")
    return ""


def reading_section(text: str, items: Sequence[Item] = ()) -> Section:
    """Returns the section that says how to read a report.

    Args:
        text: What holds for the whole report.
        items: Each figure or table, with what is in it.
    """
    return Section(HOW_TO_READ, text, items=items)


def origin_section(origin: Origin | None) -> Section:
    """Returns the section that says what made a report; None stands for a program that called allweather."""
    return Section(HOW_MADE, items=(origin or Origin.of()).items())


def section_in_markdown(section: Section) -> list[str]:
    """Returns the lines of such a section in Markdown."""
    text = [markdown(section.text), ""] if section.text else []
    return [
        f"## {section.heading}",
        "",
        *text,
        *(f"- {markdown(name)}: {markdown(value)}" for name, value in section.items),
    ]


def wilson_interval(correct: int, images: int) -> tuple[float, float]:
    """Returns the 95 % Wilson score interval of an accuracy, 0..1 (Wilson 1927).

    Args:
        correct: Number of images that are classified correctly.
        images: Number of images; at least 1.
    """
    square = _TWO_SIDED_95**2
    share = correct / images
    middle = (share + square / (2 * images)) / (1 + square / images)
    half = _TWO_SIDED_95 * math.sqrt(share * (1 - share) / images + square / (4 * images**2)) / (1 + square / images)
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))  # rounding aside


def chance(images: int) -> str:
    """Returns the sentence for figures without an interval: how far an accuracy may be off with so many images."""
    low, high = wilson_interval(images // 2, images)
    return (
        f"No intervals are shown. With {images} images an accuracy may be off by up to {50 * (high - low):.1f} points "
        "by the choice of the images alone (95 %, Wilson); differences between models on the same images are more "
        "certain."
    )


def difference_row(label: str, changes: Sequence[ErrorChange | None]) -> list[Row]:
    """Returns the row of a table with how each model but the first differs from it; none without differences.

    Args:
        label: What the errors are of.
        changes: The difference of each model but the first.
    """
    if not changes or None in changes:
        return []
    points = [[round(100 * end, 2) + 0.0 for end in (each.value, each.low, each.high)] for each in changes if each]
    cells = [f"{value:+.2f} ({low:+.2f} to {high:+.2f})" for value, low, high in points]
    return [(f"{label}: difference from the first, points", "", *cells)]
