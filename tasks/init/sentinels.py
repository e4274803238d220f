"""Find the repeated extreme values of columns of numbers, and the texts that the source has for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from core.init.sentinels import MAX_SENTINELS, MIN_ROWS, Sentinel, date_remark, sentinel_remarks, sentinels
from tasks.init.inspection.aggregates import aggregates
from tasks.init.inspection.inspected import RAW_TABLE, TABLE, InspectedTable, Inspection


@dataclass
class _Side:
    """Extreme values of one column, the most extreme first; the last one is not counted yet."""

    name: str
    alias: str
    is_low: bool
    values: list[tuple[float, int]] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether a further value is wanted: so far all are repeated."""
        return len(self.values) <= MAX_SENTINELS and all(n >= MIN_ROWS for _, n in self.values[:-1])

    @property
    def cells(self) -> tuple[str, str]:
        """Expressions of the count of the last value, and of the next value."""
        last = repr(self.values[-1][0])
        pick, beyond = ("min", ">") if self.is_low else ("max", "<")
        equal, next_value = f"{self.alias} = {last}::DOUBLE", f"{self.alias} {beyond} {last}::DOUBLE"
        return (
            f"count(*) FILTER ({equal})",
            f"{pick}({self.alias}) FILTER ({next_value} AND isfinite({self.alias}))",
        )

    def add(self, n_rows: int, following: float | None) -> None:
        """Note the count of the last value, and the next value if there is one."""
        self.values[-1] = (self.values[-1][0], n_rows)
        if following is not None:
            self.values.append((following, 0))


def found_sentinels(inspection: Inspection, names: Iterable[str]) -> tuple[dict[str, list[Sentinel]], list[str]]:
    """Return the numbers that may mean no value, by column, and remarks on them.

    Parameters
    ----------
    inspection
        The rows and their statistics.
    names
        Columns of numbers.
    """
    sides = _sides(inspection, names)
    _fill(inspection.table, sides)
    ends: dict[str, dict[bool, list[tuple[float, int]]]] = {}
    for side in sides:
        ends.setdefault(side.name, {})[side.is_low] = side.values
    found = {name: sentinels(inspection.named(name), end[True], end[False]) for name, end in ends.items()}
    found = {name: values for name, values in found.items() if values}
    texts = {
        name: [(_as_written(inspection.table, name, value.value), value) for value in values]
        for name, values in found.items()
    }
    remarks = []
    for is_text in (True, False):
        some = {name: values for name, values in texts.items() if inspection.table.one(name).is_text == is_text}
        remarks += sentinel_remarks(some, is_text=is_text)
    return found, remarks


def date_sentinels(inspection: Inspection, names: Iterable[str]) -> list[str]:
    """Return remarks on repeated dates far from the others, which may mean no date.

    Parameters
    ----------
    inspection
        The rows and their statistics.
    names
        Columns of dates.
    """
    known = [(inspection.named(name), inspection.table.one(name).alias) for name in names]
    asked = [
        sql
        for column, alias in known
        for pick, sign, day in (("min", ">", column.earliest), ("max", "<", column.latest))
        for sql in (
            f"count(*) FILTER ({alias} = '{day}'::TIMESTAMP)",
            f"{pick}({alias}) FILTER ({alias} {sign} '{day}'::TIMESTAMP)",
        )
    ]
    found = iter(aggregates(inspection.table.connection, TABLE, asked))
    remarks = [
        date_remark(column, day, next(found), next(found), end)
        for column, _ in known
        for day, end in ((column.earliest, column.latest), (column.latest, column.earliest))
        if day is not None and end is not None
    ]
    return [remark for remark in remarks if remark]


def _sides(inspection: Inspection, names: Iterable[str]) -> list[_Side]:
    found = []
    for name in names:
        column, alias = inspection.named(name), inspection.table.one(name).alias
        if column.minimum is not None and column.maximum is not None:
            found += [_Side(name, alias, True, [(column.minimum, 0)]), _Side(name, alias, False, [(column.maximum, 0)])]
    return found


def _fill(table: InspectedTable, sides: Iterable[_Side]) -> None:
    """Add values and their counts, one pass over the rows for one value of each side."""
    waiting = list(sides)
    for _ in range(MAX_SENTINELS):
        if not waiting:
            return
        found = aggregates(table.connection, TABLE, [cell for side in waiting for cell in side.cells])
        for side, n_rows, following in zip(waiting, found[::2], found[1::2], strict=True):
            side.add(int(n_rows), following)
        waiting = [side for side in waiting if side.is_open and not side.values[-1][1]]


def _as_written(table: InspectedTable, name: str, value: float) -> str:
    """Return the most frequent text of a number in the source."""
    column = table.one(name)
    sql = (
        f"SELECT {column.alias}::VARCHAR FROM {RAW_TABLE} "  # noqa: S608 - names of our own
        f"WHERE {column.read_as('DOUBLE')} = {value!r}::DOUBLE "
        "GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
    )
    return str(table.connection.execute(sql).fetchall()[0][0])
