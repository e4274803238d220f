"""Every label that was ever known, with the time it became known and the time it is about."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

# The value of event_at of a label without a time: part of a primary key, so it cannot be null.
NO_EVENT = "0001-01-01 00:00:00.000000"

# The newest known label of each prediction and of each event of an entity, as the table of this name was before.
VIEW = f"""
CREATE VIEW labels AS
SELECT h.model, h.kind, h.reference, h.label, h.sender, h.received_at,
       CASE WHEN h.event_at = '{NO_EVENT}' THEN NULL ELSE h.event_at END AS event_at
FROM label_history AS h
WHERE h.number = (SELECT max(n.number) FROM label_history AS n
                  WHERE n.model = h.model AND n.kind = h.kind AND n.reference = h.reference
                    AND n.event_at = h.event_at)
"""  # noqa: S608 - our own text


def upgrade() -> None:
    """Replace the table of the newest labels by one of all labels, and a view of the newest."""
    op.create_table(
        "label_history",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("kind", sa.String(3), primary_key=True),
        sa.Column("reference", sa.String(255), primary_key=True),
        sa.Column("event_at", sa.DateTime(), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("label", sa.String(255), nullable=False),
        sa.Column("sender", sa.String(255), nullable=False),
        sa.Column("received_at", sa.DateTime(), nullable=False),
    )
    op.execute(
        "INSERT INTO label_history (model, kind, reference, event_at, number, label, sender, received_at) "  # noqa: S608 - our own text
        f"SELECT model, kind, reference, '{NO_EVENT}', 1, label, sender, received_at FROM labels"
    )
    op.drop_table("labels")
    op.create_index("ix_label_history_model_received_at", "label_history", ["model", "received_at"])
    op.execute(VIEW)
