"""Every paper that the code, the help and the documents cite is on docs/references.md; CITATION.cff agrees with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "references.md"
FOLDERS = ("runtimes", "trainers", "exporters", "sdk", "benchmarks", "samples", "docs")
CITING = [
    ROOT / "README.md",
    *(
        path
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".md", ".ipynb")
    ),
]
NAME = r"[A-Z][a-zäöüéà][\w-]*"
SEVERAL = rf"({NAME} et al\.|{NAME} and {NAME})"
VENUE = r"(?:[A-Z][A-Za-z]{2,9},? )?"
YEAR = r"((?:18|19|20)\d\d)(?![\d-])"
CITATION = re.compile(
    rf"{SEVERAL},?\s+\(?{VENUE}{YEAR}"
)  # Kim et al. 2020, Chen et al. (ICCVW 2019, Bewley et al., ICIP 2016
SINGLE = re.compile(rf"(?:[(;]\s?|, )({NAME}) {YEAR}(?=[),;:])")  # (Rabiner 1989), (Spearman 1910, Brown 1910)
WITHOUT_YEAR = re.compile(rf"{NAME} et al\.")
ARXIV = re.compile(r"(?<![\d.])\d{4}\.\d{5}(?![\d.])")  # in a line that names arXiv
NO_AUTHORS = {"Commit", "Table", "Section", "Python"}


def cited_as() -> list[str]:
    """The first column of the tables of the page."""
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    return [row.split("|")[1].strip() for row in rows if not row.startswith("| cited as")]


def citations(text: str) -> set[str]:
    """The papers that a text cites with their year."""
    words = " ".join(text.replace("#", " ").split())
    found = {f"{name} {year}" for pattern in (CITATION, SINGLE) for name, year in pattern.findall(words)}
    return {each for each in found if each.split()[0] not in NO_AUTHORS}


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("as Kim et al. 2020 do", {"Kim et al. 2020"}),
        ("Chen et al. (ICCVW 2019, section 4.4)", {"Chen et al. 2019"}),
        ("(Bewley et al., ICIP 2016).", {"Bewley et al. 2016"}),
        ("the tracker of Viola and\n# Jones (2001)", {"Viola and Jones 2001"}),
        ("(Rabiner 1989)", {"Rabiner 1989"}),
        ("(split-half; Spearman 1910, Brown 1910)", {"Spearman 1910", "Brown 1910"}),
        ("measured in November 2026, seed 2019", set()),
    ],
)
def test_citations_are_found(text: str, cited: set[str]) -> None:
    assert citations(text) == cited


def test_every_cited_paper_is_on_the_page() -> None:
    listed = cited_as()
    assert len(listed) == len(set(listed)) > 40
    missing = {
        f"{path.relative_to(ROOT)}: {each}"
        for path in CITING
        for each in citations(path.read_text("utf-8"))
        if each not in listed
    }
    assert missing == set()


def test_papers_that_are_cited_without_a_year_are_on_the_page() -> None:
    names = {re.sub(r" \d{4}$", "", each) for each in cited_as()}
    missing = {
        f"{path.relative_to(ROOT)}: {each}"
        for path in CITING
        for each in WITHOUT_YEAR.findall(path.read_text("utf-8"))
        if each not in names
    }
    assert missing == set()


def test_every_arxiv_number_is_on_the_page() -> None:
    listed = PAGE.read_text("utf-8")
    missing = {
        f"{path.relative_to(ROOT)}: {number}"
        for path in CITING
        for line in path.read_text("utf-8").splitlines()
        if "arxiv" in line.lower()
        for number in ARXIV.findall(line)
        if number not in listed
    }
    assert missing == set()


def test_each_row_has_authors_title_and_year() -> None:
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| cited as"):
            name, paper, follows = (cell.strip() for cell in line.strip("|").split(" | "))
            first = re.split(r" (?:et al\.|and) | \d{4}$", name)[0]
            authors, title, rest = re.fullmatch(r"(.+?)\. \*(.+?)\*(.*)", paper).groups()  # type: ignore[union-attr]
            assert first in authors, name
            assert title.endswith(".") or rest.startswith(" ("), name
            assert name[-4:] in rest, name
            assert follows, name


def test_citation_file_agrees_with_the_page() -> None:
    page = " ".join(PAGE.read_text("utf-8").split()).lower()
    references = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["references"]
    assert {each["authors"][0]["family-names"] for each in references} >= {
        "Hendrycks", "Kim", "Kapoor", "Chen", "Lee", "Zheng"
    }  # fmt: skip
    for each in references:
        authors = ", ".join(f"{author['given-names']} {author['family-names']}" for author in each["authors"])
        assert f"{authors}. *{each['title']}".lower() in page
        assert f"{each['collection-title']}, {each['year']}".lower() in page
