"""The documentation as a test sees it: pages, their fenced blocks, headings, links and inline commands.

The info string of a block determines how it is checked: the first word is the language, the others are marks
(`partial`) or settings (`file=hall.conf`), which do not appear on the rendered page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its place, its language, its marks and settings, its text."""

    place: str
    language: str
    marks: frozenset[str]
    settings: dict[str, str]
    text: str

    @property
    def kind(self) -> str:
        """Language, marks and names of settings, which determine how it is checked."""
        return " ".join((self.language, *sorted(self.marks), *(f"{name}=" for name in sorted(self.settings))))

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield each line with the indented line below it."""
        lines = self.text.splitlines()
        assert len(lines) % 2 == 0, self.place
        for line, below in zip(lines[::2], lines[1::2], strict=True):
            assert not line.startswith(" ") and below.startswith("    "), f"{self.place}: {line}"
            yield line, below.strip()


@dataclass(frozen=True)
class Page:
    """A Markdown file of the project."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The text without its blocks."""
        return _BLOCK.sub("", self.text)

    def blocks(self, *languages: str) -> list[Block]:
        """Return the blocks of `languages`, or all."""
        blocks = []
        for match in _BLOCK.finditer(self.text):
            language, *marks = match["info"].split()
            line = self.text.count("\n", 0, match.start()) + 1
            settings = dict(mark.split("=", 1) for mark in marks if "=" in mark)
            plain = frozenset(mark for mark in marks if "=" not in mark)
            blocks.append(Block(f"{self.name}:{line}", language, plain, settings, match["text"]))
        return [block for block in blocks if not languages or block.language in languages]

    def only(self, kind: str) -> Block:
        """Return the one block of `kind`."""
        blocks = [block for block in self.blocks() if block.kind == kind]
        assert len(blocks) == 1, f"{self.name}: {len(blocks)} blocks of {kind!r}"
        return blocks[0]

    def links(self) -> list[str]:
        """Return the targets of all links."""
        return re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", self.prose)

    def anchors(self) -> set[str]:
        """Return the anchors of its headings in links."""
        headings = re.findall(r"^#+ (.*)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    def inline_code(self) -> list[str]:
        """Return the texts in backticks, tables included."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    def section(self, heading: str) -> str:
        """Return the text under `heading`, up to the next one."""
        _, separator, following = self.text.partition(f"\n{heading}\n")
        assert separator, f"{self.name}: no heading {heading!r}"
        return re.split(r"^#", following, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of the rows of the tables in `text`, without their heads."""
    table = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    heads = {index - 1 for index, cells in enumerate(table) if set("".join(cells)) <= set("- ")}
    return [cells for index, cells in enumerate(table) if index not in heads and index - 1 not in heads]


def page(name: str) -> Page:
    return Page(ROOT / name)


WRITTEN_ELSEWHERE = ("docs/serial.md", "docs/simulation.md")
"""Pages whose blocks follow other rules and are checked by other tests."""

PAGES = [
    Page(path)
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
    if str(path.relative_to(ROOT)) not in WRITTEN_ELSEWHERE
]


def without_times(text: str) -> str:
    """Return `text` with the same word for each time in UTC, such as that of a reading."""
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME", text)
