"""Erasure of an entity's rows: a record of each, and the only changes of append-only tables that it needs.

A scoring's record may follow its output, from which rows were taken, while an erasure of its model holds its door open;
an old record may be deleted by retention. Everything else stays append-only. A logged request of several rows may
become several, each with the id of its first prediction, so that the other rows keep their ids.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

OPEN = "EXISTS (SELECT 1 FROM erasures AS e WHERE e.model = OLD.model AND e.door)"

# Of a scoring's record, everything but the digest of its output and the numbers of rows.
FIXED = (
    "id",
    "model",
    "version",
    "manifest",
    "run",
    "input",
    "input_sha256",
    "output",
    "set_aside",
    "features",
    "predicted_at",
    "recorded_at",
)

# Of an erasure's record, everything but its door and, once, its end.
STARTED = ("id", "model", "actor", "reason", "started_at")
ENDED = ("finished_at", "document", "door")

YOUNG_DAYS = 7  # the lower bound of PERENNIAL_RETENTION_SCORED_DAYS

# As in revision 0010, but the last four digits of a request's id are the place of its first row.
_FIRST = " + ".join(
    f"{16**power} * (instr('0123456789abcdef', substr(r.id, {36 - power}, 1)) - 1)" for power in (3, 2, 1, 0)
)
SQLITE_VIEW = f"""
CREATE VIEW predictions AS
SELECT substr(r.id, 1, 32) || printf('%04x', e.key + {_FIRST}) AS id,
       r.model, r.version, r.variant, r.at, r.latency_ms,
       json_extract(r.entity_keys, '$[' || e.key || ']') AS entity_key,
       CASE WHEN r.columns IS NULL THEN e.value
            ELSE (SELECT json_group_object(n.value, e.value -> n.key) FROM json_each(r.columns) AS n)
       END AS features,
       json_extract(r.outputs, '$[' || e.key || ']') AS output
FROM prediction_requests AS r, json_each(r.rows) AS e
WHERE r.failure IS NULL AND r.variant <> 'shadow'
"""  # noqa: S608 - our own text
POSTGRES_VIEW = """
CREATE VIEW predictions AS
SELECT substr(r.id, 1, 32) || lpad(to_hex(e.place - 1 + ('x' || substr(r.id, 33, 4))::bit(16)::int), 4, '0') AS id,
       r.model, r.version, r.variant, r.at,
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
    """Create the table of erasures, open the two doors, and let a request begin at any of its rows."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime()),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("door", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_erasures_model_started_at", "erasures", ["model", "started_at"])
    if is_sqlite:
        _guard_in_sqlite()
    else:
        _guard_in_postgres()
    op.execute("DROP VIEW predictions")
    op.execute(SQLITE_VIEW if is_sqlite else POSTGRES_VIEW)


def _guard_in_sqlite() -> None:
    same, started, ended = (" AND ".join(f"NEW.{name} IS OLD.{name}" for name in n) for n in (FIXED, STARTED, ENDED))
    young = f"julianday('now') - julianday(OLD.recorded_at) < {YOUNG_DAYS}"
    op.execute("DROP TRIGGER scored_batches_refuse_update")
    op.execute("DROP TRIGGER scored_batches_refuse_delete")
    _refuse_in_sqlite("scored_batches", "update", f"NOT ({same} AND {OPEN})")
    _refuse_in_sqlite("scored_batches", "delete", young)
    _refuse_in_sqlite("erasures", "update", f"NOT ({started} AND (OLD.finished_at IS NULL OR ({ended})))")
    _refuse_in_sqlite("erasures", "delete", "true")
    exists = "EXISTS (SELECT 1 FROM erasures WHERE rowid = NEW.rowid OR id = NEW.id)"
    op.execute(
        f"CREATE TRIGGER erasures_refuse_replacement BEFORE INSERT ON erasures WHEN {exists} "
        "BEGIN SELECT RAISE(ABORT, 'erasures is append-only'); END"
    )


def _refuse_in_sqlite(table: str, change: str, condition: str) -> None:
    op.execute(
        f"CREATE TRIGGER {table}_refuse_{change} BEFORE {change} ON {table} WHEN {condition} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    )


def _guard_in_postgres() -> None:
    same, started, ended = (
        " AND ".join(f'NEW."{name}" IS NOT DISTINCT FROM OLD."{name}"' for name in names)
        for names in (FIXED, STARTED, ENDED)
    )
    op.execute("DROP TRIGGER scored_batches_refuse_change ON scored_batches")
    # The condition of a trigger cannot look at another table, a function can.
    op.execute(
        sa.text(
            "CREATE FUNCTION refuse_change_of_scoring() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF {same} AND {OPEN} THEN RETURN NEW; END IF; "
            "RAISE EXCEPTION USING MESSAGE = 'scored_batches is append-only'; END $$"
        )
    )
    op.execute(
        "CREATE TRIGGER scored_batches_refuse_update BEFORE UPDATE ON scored_batches "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change_of_scoring()"
    )
    young = f"OLD.recorded_at > (now() AT TIME ZONE 'UTC') - interval '{YOUNG_DAYS} days'"
    op.execute(
        f"CREATE TRIGGER scored_batches_refuse_delete BEFORE DELETE ON scored_batches FOR EACH ROW WHEN ({young}) "
        "EXECUTE FUNCTION refuse_change()"
    )
    refused = f"NOT ({started} AND (OLD.finished_at IS NULL OR ({ended})))"
    op.execute(
        sa.text(
            f"CREATE TRIGGER erasures_refuse_update BEFORE UPDATE ON erasures FOR EACH ROW WHEN ({refused}) "
            "EXECUTE FUNCTION refuse_change()"
        )
    )
    op.execute(
        "CREATE TRIGGER scored_batches_refuse_truncate BEFORE TRUNCATE ON scored_batches "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER erasures_refuse_change BEFORE DELETE OR TRUNCATE ON erasures "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
