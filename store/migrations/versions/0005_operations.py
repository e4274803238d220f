"""Triggers of retrainings, events of models, and alerts."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create triggers, events and alerts."""
    op.create_table(
        "triggers",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("sender", sa.String(255), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("leader", sa.String(255)),
        sa.Column("flow_run", sa.String(36)),
        sa.Column("deployed", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime()),
        sa.Column("started_at", sa.DateTime()),
        sa.Column("answered_at", sa.DateTime()),
        sa.Column("outcome", sa.String(16)),
        sa.Column("reason", sa.Text()),
        sa.Column("trained", sa.Boolean(), nullable=False),
        sa.Column("data_version", sa.String(36)),
        sa.Column("version", sa.Integer()),
    )
    op.create_index("ix_triggers_status", "triggers", ["status"])
    op.create_index("ix_triggers_model_received", "triggers", ["model", "received_at"])
    op.create_table(
        "events",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(), nullable=False),
        sa.Column("sent_at", sa.DateTime()),
        sa.Column("alerted_at", sa.DateTime()),
    )
    op.create_index("ix_events_sent_at", "events", ["sent_at"])
    op.create_index("ix_events_alerted_at", "events", ["alerted_at"])
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("title", sa.String(255), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("n_more", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime()),
        sa.Column("sent_at", sa.DateTime()),
    )
    op.create_index("ix_alerts_key_created", "alerts", ["key", "created_at"])
    op.create_index("ix_alerts_sent_at", "alerts", ["sent_at"])
