"""Windows that were compared with their reference, and the verdicts on them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the history of drift; triggers make it append-only."""
    op.create_table(
        "drift_windows",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("champion", sa.Integer(), nullable=False),
        sa.Column("against", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("drifted", sa.Boolean(), nullable=False),
        sa.Column("retrain", sa.Boolean(), nullable=False),
        sa.Column("n_rows", sa.BigInteger(), nullable=False),
        sa.Column("first_time", sa.DateTime()),
        sa.Column("last_time", sa.DateTime()),
        sa.Column("since", sa.DateTime()),
        sa.Column("until", sa.DateTime()),
        sa.Column("batches", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("measured_at", sa.DateTime(), nullable=False),
    )
    op.create_index("ix_drift_windows_model_measured_at", "drift_windows", ["model", "measured_at"])
    _refuse_changes()


def _refuse_changes() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for change in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER drift_windows_refuse_{change} BEFORE {change} ON drift_windows "
                "BEGIN SELECT RAISE(ABORT, 'drift_windows is append-only'); END"
            )
        return
    # Migration 0002 created the function.
    op.execute(
        "CREATE TRIGGER drift_windows_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON drift_windows "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
