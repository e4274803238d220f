"""Bundles that were built here and the versions they were registered as, so that MLflow's tags need not be trusted."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

APPEND_ONLY = ("built_bundles", "registered_versions")


def upgrade() -> None:
    """Create both tables; triggers make them append-only. Earlier versions are recorded when their model is used."""
    op.create_table(
        "built_bundles",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("run_key", sa.String(64), primary_key=True),
        sa.Column("manifest", sa.String(64), primary_key=True),
        sa.Column("data_version", sa.String(64), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("built_at", sa.DateTime(), nullable=False),
    )
    op.create_table(
        "registered_versions",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("manifest", sa.String(64), nullable=False),
        sa.Column("run_key", sa.String(64), nullable=False),
        sa.Column("data_version", sa.String(64), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
    )
    op.create_index("ix_registered_versions_run_key", "registered_versions", ["model", "run_key"])
    _refuse_changes()


def _refuse_changes() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in APPEND_ONLY:
            for change in ("update", "delete"):
                op.execute(
                    f"CREATE TRIGGER {table}_refuse_{change} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
        return
    for table in APPEND_ONLY:  # the function is of migration 0002
        op.execute(
            f"CREATE TRIGGER {table}_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
