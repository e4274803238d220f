"""The prediction log, the labels, and the API keys."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# One row per prediction, for people and tools that read SQL. The id is built in the same way as in serving/ids.py.
SQLITE_VIEW = """
CREATE VIEW predictions AS
SELECT substr(r.id, 1, 32) || printf('%04x', e.key) AS id, r.model, r.version, r.variant, r.at, r.latency_ms,
       json_extract(r.entity_keys, '$[' || e.key || ']') AS entity_key, e.value AS features,
       json_extract(r.outputs, '$[' || e.key || ']') AS output
FROM prediction_requests AS r, json_each(r.rows) AS e
"""
POSTGRES_VIEW = """
CREATE VIEW predictions AS
SELECT substr(r.id, 1, 32) || lpad(to_hex(e.place - 1), 4, '0') AS id, r.model, r.version, r.variant, r.at,
       r.latency_ms, r.entity_keys::json ->> (e.place - 1)::int AS entity_key, e.value::text AS features,
       r.outputs::json ->> (e.place - 1)::int AS output
FROM prediction_requests AS r, json_array_elements(r.rows::json) WITH ORDINALITY AS e(value, place)
"""


def upgrade() -> None:
    """Create the prediction log with its view, the labels, and the API keys."""
    op.create_table(
        "prediction_requests",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("variant", sa.String(16), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("n_rows", sa.Integer(), nullable=False),
        sa.Column("latency_ms", sa.Float(), nullable=False),
        sa.Column("rows", sa.Text(), nullable=False),
        sa.Column("outputs", sa.Text(), nullable=False),
        sa.Column("entity_keys", sa.Text()),
    )
    op.create_index("ix_prediction_requests_model_at", "prediction_requests", ["model", "at"])
    op.create_table(
        "labels",
        sa.Column("model", sa.String(63), primary_key=True),
        sa.Column("kind", sa.String(3), primary_key=True),
        sa.Column("reference", sa.String(255), primary_key=True),
        sa.Column("label", sa.String(255), nullable=False),
        sa.Column("sender", sa.String(255), nullable=False),
        sa.Column("received_at", sa.DateTime(), nullable=False),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("secret_sha256", sa.String(64), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("models", sa.Text(), nullable=False),
        sa.Column("rate", sa.Float()),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime()),
        sa.Column("revoked_at", sa.DateTime()),
    )
    op.execute(SQLITE_VIEW if op.get_bind().dialect.name == "sqlite" else POSTGRES_VIEW)
