"""Batches and data versions become append-only, but for the hash of a batch's file, which is computed again."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

KEYS = {"batches": ("model", "name"), "data_versions": ("model", "version")}

FIXED = ("model", "name", "fingerprint", "source", "n_rows", "size_bytes", "n_quarantined", "ingested_at")
"""Columns of ``batches`` that never change; ``md5`` and ``file_state`` follow the file on disk."""


def upgrade() -> None:
    """Add the triggers that refuse changes, deletions and, in SQLite, replacements (see revision 0011)."""
    if op.get_bind().dialect.name == "sqlite":
        _refuse_in_sqlite()
    else:
        _refuse_in_postgres()


def _refuse_in_sqlite() -> None:
    same = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in FIXED)
    for table, key in KEYS.items():
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        changed = f"WHEN NOT ({same}) " if table == "batches" else ""
        op.execute(f"CREATE TRIGGER {table}_refuse_update BEFORE update ON {table} {changed}{refuse}")
        op.execute(f"CREATE TRIGGER {table}_refuse_delete BEFORE delete ON {table} {refuse}")
        equal = " AND ".join(f"{name} = NEW.{name}" for name in key)
        exists = f"EXISTS (SELECT 1 FROM {table} WHERE rowid = NEW.rowid OR ({equal}))"  # noqa: S608 - our own names
        op.execute(f"CREATE TRIGGER {table}_refuse_replacement BEFORE INSERT ON {table} WHEN {exists} {refuse}")


def _refuse_in_postgres() -> None:
    # The function is of migration 0002.
    op.execute(
        "CREATE TRIGGER data_versions_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON data_versions "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER batches_refuse_change BEFORE DELETE OR TRUNCATE ON batches "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    same = " AND ".join(f'NEW."{name}" IS NOT DISTINCT FROM OLD."{name}"' for name in FIXED)
    op.execute(
        sa.text(
            "CREATE TRIGGER batches_refuse_update BEFORE UPDATE ON batches FOR EACH ROW "
            f"WHEN (NOT ({same})) EXECUTE FUNCTION refuse_change()"
        )
    )
