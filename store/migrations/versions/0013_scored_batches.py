"""Scored batches: one row per scoring of an input, with where its rows are. The history is append-only."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

TABLE = "scored_batches"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("manifest", sa.String(64), nullable=False),
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("input_sha256", sa.String(64), nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("output_sha256", sa.String(64), nullable=False),
        sa.Column("set_aside", sa.Text()),
        sa.Column("features", sa.Boolean(), nullable=False),
        sa.Column("n_rows", sa.BigInteger(), nullable=False),
        sa.Column("n_scored", sa.BigInteger(), nullable=False),
        sa.Column("n_set_aside", sa.BigInteger(), nullable=False),
        sa.Column("predicted_at", sa.DateTime(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
    )
    op.create_index("ix_scored_batches_model_recorded_at", TABLE, ["model", "recorded_at"])
    _refuse_changes()


def _refuse_changes() -> None:
    if op.get_bind().dialect.name != "sqlite":  # the function is of migration 0002
        op.execute(
            f"CREATE TRIGGER {TABLE}_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {TABLE} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return
    for change in ("update", "delete"):
        op.execute(
            f"CREATE TRIGGER {TABLE}_refuse_{change} BEFORE {change} ON {TABLE} "
            f"BEGIN SELECT RAISE(ABORT, '{TABLE} is append-only'); END"
        )
    # As in migration 0011, for writers without recursive_triggers.
    exists = f"EXISTS (SELECT 1 FROM {TABLE} WHERE rowid = NEW.rowid OR id = NEW.id)"  # noqa: S608 - our own name
    op.execute(
        f"CREATE TRIGGER {TABLE}_refuse_replacement BEFORE INSERT ON {TABLE} WHEN {exists} "
        f"BEGIN SELECT RAISE(ABORT, '{TABLE} is append-only'); END"
    )
