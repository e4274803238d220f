"""The committed reference is what the code says."""

from pathlib import Path

import pytest

from reference.files import files

ROOT = Path(__file__).resolve().parents[2]
FILES = files()


@pytest.mark.parametrize("path", FILES)
def test_the_committed_file_is_the_generated_one(path: str) -> None:
    """A changed field, setting, command, route, event, metric or error is in the reference with the same commit."""
    assert (ROOT / path).read_text(encoding="utf-8") == FILES[path], "run 'make reference' and commit what it writes"


def test_every_page_of_the_folder_is_generated_but_the_index() -> None:
    """A page that no generator writes any more does not stay behind."""
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "reference").glob("*.md")}
    assert there - {"docs/reference/index.md"} == {path for path in FILES if path.endswith(".md")}
