"""The rules that a verdict was made by, so that a version can be judged again when the rules change."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

COLUMNS = (
    sa.Column("model", sa.String(63), primary_key=True),
    sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("champion_sequence", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("champion", sa.Integer()),
    sa.Column("decision", sa.String(16), nullable=False),
    sa.Column("mode", sa.String(16), nullable=False),
    sa.Column("n_rows", sa.BigInteger(), nullable=False),
    sa.Column("holdout", sa.String(64), nullable=False),
    sa.Column("sketch", sa.Text(), nullable=False),
    sa.Column("manifest", sa.String(64), nullable=False),
    sa.Column("document", sa.Text(), nullable=False),
    sa.Column("judged_at", sa.DateTime(), nullable=False),
)
KEPT = ", ".join(column.name for column in COLUMNS)


def upgrade() -> None:
    """Add ``number`` to the key of verdicts, and ``rules``; the rules of existing verdicts are unknown."""
    if op.get_bind().dialect.name == "sqlite":
        _rebuild()
        return
    op.add_column("verdicts", sa.Column("number", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("verdicts", sa.Column("rules", sa.String(64), nullable=False, server_default=""))
    op.alter_column("verdicts", "number", server_default=None)
    op.alter_column("verdicts", "rules", server_default=None)
    op.drop_constraint("verdicts_pkey", "verdicts")
    op.create_primary_key("verdicts_pkey", "verdicts", ["model", "version", "champion_sequence", "number"])


def _rebuild() -> None:
    """Copy the table: SQLite cannot change a primary key, and the table's triggers refuse changes of rows."""
    op.create_table(
        "verdicts_by_rules",
        *COLUMNS,
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("rules", sa.String(64), nullable=False),
    )
    op.execute(
        f"INSERT INTO verdicts_by_rules ({KEPT}, number, rules) "  # noqa: S608 - our own names
        f"SELECT {KEPT}, 1, '' FROM verdicts"
    )
    op.drop_table("verdicts")
    op.rename_table("verdicts_by_rules", "verdicts")
    for change in ("update", "delete"):
        op.execute(
            f"CREATE TRIGGER verdicts_refuse_{change} BEFORE {change} ON verdicts "
            "BEGIN SELECT RAISE(ABORT, 'verdicts is append-only'); END"
        )
