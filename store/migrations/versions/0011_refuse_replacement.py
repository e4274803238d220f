"""SQLite refuses a row whose key exists already in the append-only tables, also from writers with other pragmas."""

from alembic import op

revision = "0011"
down_revision = "0010"

KEYS = {
    "built_bundles": ("model", "run_key", "manifest"),
    "champions": ("model", "sequence"),
    "drift_windows": ("id",),
    "registered_versions": ("model", "version"),
    "release_steps": ("model", "number", "sequence"),
    "release_trips": ("model", "number", "instance", "kind"),
    "releases": ("model", "number"),
    "reviews": ("id",),
    "verdicts": ("model", "version", "champion_sequence", "number"),
}


def upgrade() -> None:
    """Add a trigger per table. PostgreSQL has no statement that replaces a row without its triggers."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for table, key in KEYS.items():
        same = " AND ".join(f"{name} = NEW.{name}" for name in key)
        # INSERT OR REPLACE deletes rows without the trigger for deletions, unless the writer's connection has
        # recursive_triggers. It deletes the row of an equal rowid too; NEW.rowid is -1 where none is given.
        exists = f"EXISTS (SELECT 1 FROM {table} WHERE rowid = NEW.rowid OR ({same}))"  # noqa: S608 - our own names
        op.execute(
            f"CREATE TRIGGER {table}_refuse_replacement BEFORE INSERT ON {table} WHEN {exists} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
