"""How files are measured and removed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tasks.prune.found import folders, half_removed, remove_files, remove_folder, remove_tree, tree_facts
from tests.tasks.prune.files import age, aged


def test_a_folder_is_as_young_as_its_youngest_file(tmp_path: Path) -> None:
    """A file that is written again does not change its folder's own time."""
    aged(tmp_path / "run" / "old.txt", 30)
    aged(tmp_path / "run" / "new.txt", 2, "y" * 50)
    age(tmp_path / "run", 30)
    at, size = tree_facts(tmp_path / "run")
    assert abs(at - (datetime.now(UTC) - timedelta(days=2))) < timedelta(minutes=1)
    assert size == 150


def test_read_only_folders_are_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    """A snapshot is read-only; a link's target stays."""
    outside = aged(tmp_path / "outside" / "kept.txt", 1)
    snapshot = tmp_path / "snapshots" / "a"
    aged(snapshot / "rows.parquet", 1)
    (snapshot / "link").symlink_to(outside.parent)
    (tmp_path / "snapshots" / "b").symlink_to(outside.parent)
    snapshot.chmod(0o555)
    assert folders(tmp_path / "snapshots") == [snapshot]
    for path in (snapshot, tmp_path / "snapshots" / "b", tmp_path / "snapshots" / "none"):
        remove_tree(path)
    assert list((tmp_path / "snapshots").iterdir()) == []
    assert outside.exists()


def test_a_folder_is_renamed_before_anything_in_it_is_removed(tmp_path: Path) -> None:
    """A kill in between leaves a name that nothing uses, and that the next removal finds."""
    aged(tmp_path / "run" / "page.html", 9)
    (tmp_path / "run").rename(tmp_path / ".removed-run")
    assert half_removed(tmp_path) == [tmp_path / ".removed-run"]
    aged(tmp_path / "run" / "page.html", 1)
    remove_folder(tmp_path / "run")
    remove_folder(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_emptied_folder_is_removed(tmp_path: Path) -> None:
    """One that still holds something stays."""
    gone, kept = aged(tmp_path / "a" / "page.html", 1), aged(tmp_path / "b" / "page.html", 1)
    aged(tmp_path / "b" / "rows.parquet", 1)
    remove_files([gone, kept])
    assert [path.name for path in folders(tmp_path)] == ["b"]
    assert folders(tmp_path / "none") == []
