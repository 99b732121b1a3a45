"""Links from a page to a file of the repository outside of docs/ lead to a page that shows that file.

The repository has no public address yet, and the site is read without it. The page of a Markdown file is that file, the
page of another one its text, and the page of a folder the list of its files. The pages of docs/results that a docstring
names become links, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
FOLDER = "source"  # of the site
LINK = re.compile(r"(?<!!)(\[[^\]]*\]\()([^)\s]+)(\))")
RESULTS = re.compile(r"docs/(results/([\w-]+)\.md)")
LANGUAGES = {
    ".py": "python",
    ".ipynb": "json",
    ".yaml": "yaml",
    ".service": "ini",
    ".slurm": "bash",
    ".toml": "toml",
    "": "docker",
}
SHOWN = {".py", ".yaml", ".service", ".slurm", ".toml", ".md", ".cff", ".txt", ".json", ".ipynb"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for each file that a page links to, and for each that those link to."""
    waiting = [
        target
        for file in files.documentation_pages()
        for target in _outside(PurePosixPath("docs", file.src_uri), file.content_string)
    ]
    waiting += _named(config.nav or [])
    done: set[PurePosixPath] = set()
    while waiting:
        path = waiting.pop()
        if path in done:
            continue
        done.add(path)
        text = _content(path)
        files.append(File.generated(config, _page(path), content=text))
        waiting += _outside(path, text) if path.suffix == ".md" else _listed(path)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns the links to files outside of docs/ into links to their pages."""
    here = _place(page.file.src_uri)

    def replace(link: re.Match[str]) -> str:
        target, anchor = _target(here, link[2])
        if target is None or (target.parts[:1] == ("docs",) and here.parts[:1] == ("docs",)):
            return link[0]
        shown = PurePosixPath(*target.parts[1:]) if target.parts[:1] == ("docs",) else PurePosixPath(_page(target))
        start = PurePosixPath(page.file.src_uri).parent
        return f"{link[1]}{os.path.relpath(shown, start)}{anchor}{link[3]}"

    return LINK.sub(replace, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns the pages of docs/results that docstrings name into links, as a docstring is also read where none works."""

    def replace(named: re.Match[str]) -> str:
        target = files.get_file_from_path(named[1])
        if target is None:
            return named[0]
        return f'<a href="{target.url_relative_to(page.file)}">results: {named[2].replace("-", " ")}</a>'

    return RESULTS.sub(replace, html) if page.file.src_uri.startswith("reference/api/") else html


def _named(nav: object) -> Iterator[PurePosixPath]:
    """Yields the files of the repository whose pages the navigation names."""
    if isinstance(nav, str) and nav.startswith(f"{FOLDER}/"):
        name = nav.removeprefix(f"{FOLDER}/")
        yield PurePosixPath(name if (ROOT / name).exists() else name.removesuffix(".md"))
    for inner in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _named(inner)


def _place(uri: str) -> PurePosixPath:
    """The path in the repository of what a page shows."""
    first, *rest = PurePosixPath(uri).parts
    return PurePosixPath(*rest) if first == FOLDER else PurePosixPath("docs", uri)


def _page(path: PurePosixPath) -> str:
    """The page of a file or folder of the repository."""
    if (ROOT / path).is_dir():
        return f"{FOLDER}/{path}/index.md"
    return f"{FOLDER}/{path}" if path.suffix == ".md" else f"{FOLDER}/{path}.md"


def _target(here: PurePosixPath, link: str) -> tuple[PurePosixPath | None, str]:
    """The path in the repository that a link of the file `here` leads to, if any, and its anchor."""
    file, mark, anchor = link.partition("#")
    if not file or ":" in file:
        return None, ""
    path = PurePosixPath(os.path.normpath(here.parent / file))
    return (path if (ROOT / path).exists() else None), mark + anchor


def _outside(here: PurePosixPath, text: str) -> Iterator[PurePosixPath]:
    for _, link, _ in LINK.findall(text):
        target, _ = _target(here, link)
        if target is not None and target.parts[:1] != ("docs",):
            yield target


def _listed(path: PurePosixPath) -> list[PurePosixPath]:
    """The files of a folder that have a page: text, and no bundles."""
    if not (ROOT / path).is_dir():
        return []
    entries = sorted((ROOT / path).iterdir(), key=lambda entry: (entry.is_dir(), entry.name))
    return [path / each.name for each in entries if each.is_file() and (each.suffix in SHOWN or "." not in each.name)]


def _content(path: PurePosixPath) -> str:
    """The text of the page of a file or folder."""
    whole = ROOT / path
    if path.suffix == ".md":
        return whole.read_text()
    if not whole.is_dir():
        language = LANGUAGES.get(path.suffix, "text")
        return f"# `{path}`\n\nAs in the repository:\n\n````{language}\n{whole.read_text().rstrip()}\n````\n"
    linked = [f"- [`{each.name}`]({each.name}.md)" for each in _listed(path)]
    others = sorted(each.name for each in whole.iterdir() if path / each.name not in _listed(path))
    rows = linked + [f"- `{name}`" for name in others if name != "__pycache__"]
    return "\n".join([f"# The folder `{path}`", "", "As in the repository:", "", *rows, ""])
