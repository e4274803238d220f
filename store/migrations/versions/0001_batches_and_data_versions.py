"""Batches, data versions and where they were pushed."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first tables."""
    op.create_table(
        "batches",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("fingerprint", sa.String(128), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("n_rows", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("n_quarantined", sa.BigInteger()),
        sa.Column("ingested_at", sa.DateTime()),
        sa.Column("md5", sa.String(32)),
        sa.Column("file_state", sa.String(96)),
    )
    op.create_table(
        "data_versions",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("version", sa.String(36), primary_key=True),
        sa.Column("n_rows", sa.BigInteger(), nullable=False),
        sa.Column("n_batches", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("git_commit", sa.String(64), nullable=False),
    )
    op.create_index("ix_data_versions_version", "data_versions", ["version"])
    op.create_table(
        "data_pushes",
        sa.Column("tree", sa.String(36), primary_key=True),
        sa.Column("remote", sa.String(512), primary_key=True),
        sa.Column("pushed_at", sa.DateTime(), nullable=False),
    )
