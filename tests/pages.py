"""What a page holds, as a browser would take it apart."""

from __future__ import annotations

from html.parser import HTMLParser


class Elements(HTMLParser):
    """Tags and attributes of a page, and its text outside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note the tag and its attributes."""
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data: str) -> None:
        """Note text that a reader sees."""
        if self.tags and self.tags[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        """All that a reader sees, on one line."""
        return " ".join(" ".join(self.words).split())
