"""Rows of the prediction log without their names: lists of values, with the names once per request."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

# As in revision 0004, for both forms of rows. ``->`` keeps the text of a number, and true and false.
SQLITE_VIEW = """
CREATE VIEW predictions AS
SELECT substr(r.id, 1, 32) || printf('%04x', e.key) AS id, r.model, r.version, r.variant, r.at, r.latency_ms,
       json_extract(r.entity_keys, '$[' || e.key || ']') AS entity_key,
       CASE WHEN r.columns IS NULL THEN e.value
            ELSE (SELECT json_group_object(n.value, e.value -> n.key) FROM json_each(r.columns) AS n)
       END AS features,
       json_extract(r.outputs, '$[' || e.key || ']') AS output
FROM prediction_requests AS r, json_each(r.rows) AS e
"""
POSTGRES_VIEW = """
CREATE VIEW predictions AS
SELECT substr(r.id, 1, 32) || lpad(to_hex(e.place - 1), 4, '0') AS id, r.model, r.version, r.variant, r.at,
       r.latency_ms, r.entity_keys::json ->> (e.place - 1)::int AS entity_key,
       CASE WHEN r.columns IS NULL THEN e.value::text
            ELSE (SELECT json_object_agg(n.value, e.value -> (n.place - 1)::int ORDER BY n.place)::text
                  FROM json_array_elements_text(r.columns::json) WITH ORDINALITY AS n(value, place))
       END AS features,
       r.outputs::json ->> (e.place - 1)::int AS output
FROM prediction_requests AS r, json_array_elements(r.rows::json) WITH ORDINALITY AS e(value, place)
"""


def upgrade() -> None:
    """Add the names of a request's columns. Requests from before have none: their rows contain the names."""
    op.execute("DROP VIEW predictions")
    op.add_column("prediction_requests", sa.Column("columns", sa.Text()))
    op.execute(SQLITE_VIEW if op.get_bind().dialect.name == "sqlite" else POSTGRES_VIEW)
