"""Releases, their steps and looks, and the answers of the prediction log that no client has."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

APPEND_ONLY = ("releases", "release_steps", "release_trips")

# As in revision 0009, without failures and without the shadow's answers, which no client has.
SQLITE_VIEW = """
CREATE VIEW predictions AS
SELECT substr(r.id, 1, 32) || printf('%04x', e.key) AS id, r.model, r.version, r.variant, r.at, r.latency_ms,
       json_extract(r.entity_keys, '$[' || e.key || ']') AS entity_key,
       CASE WHEN r.columns IS NULL THEN e.value
            ELSE (SELECT json_group_object(n.value, e.value -> n.key) FROM json_each(r.columns) AS n)
       END AS features,
       json_extract(r.outputs, '$[' || e.key || ']') AS output
FROM prediction_requests AS r, json_each(r.rows) AS e
WHERE r.failure IS NULL AND r.variant <> 'shadow'
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
WHERE r.failure IS NULL AND r.variant <> 'shadow'
"""


def upgrade() -> None:
    """Create the tables of releases, and add what the log tells about answers that no client has."""
    _create_tables()
    _refuse_changes()
    op.execute("DROP VIEW predictions")
    op.add_column("prediction_requests", sa.Column("failure", sa.Text()))
    op.add_column("prediction_requests", sa.Column("served_id", sa.String(36)))
    op.drop_index("ix_prediction_requests_model_at", "prediction_requests")
    op.create_index("ix_prediction_requests_model_at", "prediction_requests", ["model", "at", "variant"])
    op.execute(SQLITE_VIEW if op.get_bind().dialect.name == "sqlite" else POSTGRES_VIEW)


def _create_tables() -> None:
    op.create_table(
        "releases",
        *_place("model", "number"),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("manifest", sa.String(64), nullable=False),
        sa.Column("champion", sa.Integer(), nullable=False),
        sa.Column("champion_sequence", sa.Integer(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("salt", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
    )
    op.create_table(
        "release_steps",
        *_place("model", "number", "sequence"),
        sa.Column("stage", sa.String(8), nullable=False),
        sa.Column("share", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
    )
    op.create_table(
        "release_looks",
        *_place("model", "number", "sequence"),
        sa.Column("looks", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
    )
    op.create_table(
        "release_trips",
        *_place("model", "number"),
        sa.Column("instance", sa.String(255), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
    )


def _place(*names: str) -> list[sa.Column[Any]]:
    sorts = {"model": sa.String(63)}
    return [sa.Column(name, sorts.get(name, sa.Integer()), primary_key=True, autoincrement=False) for name in names]


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
