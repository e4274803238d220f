"""The documentation site: it builds strictly, leads nowhere that is not there, and loads nothing from another host."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
LOADS = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src"), ("link", "href")}


class _Page(HTMLParser):
    """The addresses of a page: what a browser loads by itself, and what a reader may follow."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.classes: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if (tag, name) in LOADS and value:
                self.loaded.append(value)
            elif (tag, name) == ("a", "href") and value:
                self.links.append(value)
            elif name == "class":
                self.classes |= set((value or "").split())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    shutil.copytree(ROOT / "docs", folder / "docs")
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--strict", "--clean"]
    built = subprocess.run(
        command, cwd=folder, env=os.environ | {"NO_COLOR": "1"}, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "var" / "site"


def _is_elsewhere(address: str) -> bool:
    return re.match(r"(?:[a-z][a-z0-9+.-]*:)?//|mailto:", address, re.IGNORECASE) is not None


def test_pages_load_nothing_from_another_host(site: Path) -> None:
    """Scripts, styles, icons and images are files of the site; only links lead elsewhere."""
    pages = {path: _Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 20
    assert {path: [one for one in page.loaded if _is_elsewhere(one)] for path, page in pages.items()} == {
        path: [] for path in pages
    }
    # The theme's script would fetch a drawing library for these.
    assert not [path for path, page in pages.items() if "mermaid" in page.classes]
    styles = {path: path.read_text() for path in site.rglob("*.css")}
    assert styles
    assert not [path for path, text in styles.items() if re.search(r"url\(\s*[\"']?(?:https?:)?//|@import", text)]


def test_links_between_pages_lead_somewhere(site: Path) -> None:
    """Each relative address of a page is a file of the site, also where a page names a file of the repository."""
    for path in site.rglob("*.html"):
        if path.name == "404.html":  # its addresses start at the root of a host
            continue
        page = _Page(path)
        near = [address for address in page.links + page.loaded if not _is_elsewhere(address)]
        files = {address.partition("#")[0].partition("?")[0] for address in near} - {""}
        assert [file for file in sorted(files) if not (path.parent / file).exists()] == [], path


def test_the_navigation_names_every_page_once() -> None:
    """Every page is in the navigation: a reader of the site finds no other."""
    nav = YAML(typ="safe").load(ROOT / "mkdocs.yml")["nav"]
    listed = sorted(_pages_of(nav))
    assert listed == sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))


def test_the_navigation_has_the_four_kinds() -> None:
    """Readers learn, do, look up or understand: each kind of page has its place."""
    nav = YAML(typ="safe").load(ROOT / "mkdocs.yml")["nav"]
    kinds = [next(iter(entry)) for entry in nav if isinstance(entry, dict)]
    assert kinds == ["Tutorial", "How-to", "Reference", "Explanation"]


def _pages_of(entry: object) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    assert not isinstance(parts, str)
    return [page for part in parts for page in _pages_of(part)]  # type: ignore[attr-defined] # YAML's nested lists
