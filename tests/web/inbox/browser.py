"""A written page as a reader of HTML sees it."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text without scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(path.read_text("utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # The first of two attributes with one name counts, as in a browser.
        self.elements.append((tag, dict(reversed(attrs))))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.elements if name == tag)

    def links(self) -> list[str]:
        """Every address that the page leads to or loads."""
        keys = ("href", "src")
        return [value for _, at in self.elements for key in keys if (value := at.get(key))]

    def policy(self) -> str:
        metas = (meta for meta in self.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
        return str(next(metas)["content"])
