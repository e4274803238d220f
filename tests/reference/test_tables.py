"""The script of a new operational database is generated."""

from reference.tables import script
from store.scripts.prepared import SCRIPT


def test_the_committed_script_is_what_the_migrations_make() -> None:
    """A new migration comes with its script."""
    assert SCRIPT.read_text(encoding="utf-8") == script(), "run 'make reference' and commit what it writes"
