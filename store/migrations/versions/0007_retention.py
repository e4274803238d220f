"""Documents of old drift decisions may be shortened; everything else of the history stays append-only."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

FIXED = (
    "id",
    "model",
    "champion",
    "against",
    "status",
    "drifted",
    "retrain",
    "n_rows",
    "first_time",
    "last_time",
    "since",
    "until",
    "batches",
    "measured_at",
)


def upgrade() -> None:
    """Replace the trigger that refuses every update by one that lets a document become shorter."""
    if op.get_bind().dialect.name == "sqlite":
        _change_sqlite()
    else:
        _change_postgres()
    op.create_index("ix_events_occurred_at", "events", ["occurred_at"])
    op.create_index("ix_labels_received_at", "labels", ["received_at"])


def _change_sqlite() -> None:
    same = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in FIXED)
    op.execute("DROP TRIGGER drift_windows_refuse_update")
    op.execute(
        "CREATE TRIGGER drift_windows_refuse_update BEFORE UPDATE ON drift_windows "
        f"WHEN NOT ({same} AND length(NEW.document) < length(OLD.document)) "
        "BEGIN SELECT RAISE(ABORT, 'drift_windows is append-only'); END"
    )


def _change_postgres() -> None:
    same = " AND ".join(f'NEW."{name}" IS NOT DISTINCT FROM OLD."{name}"' for name in FIXED)
    op.execute("DROP TRIGGER drift_windows_refuse_change ON drift_windows")
    op.execute(
        "CREATE TRIGGER drift_windows_refuse_change BEFORE DELETE OR TRUNCATE ON drift_windows "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    # Executed as text: a colon or a percent sign would be taken for a parameter.
    op.execute(
        sa.text(
            "CREATE TRIGGER drift_windows_refuse_update BEFORE UPDATE ON drift_windows FOR EACH ROW "
            f"WHEN (NOT ({same} AND length(NEW.document) < length(OLD.document))) EXECUTE FUNCTION refuse_change()"
        )
    )
