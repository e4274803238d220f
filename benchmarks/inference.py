"""What share of a stranger's columns is read right, beside other readers of CSV.

Run ``python -m benchmarks.inference``; ``--list READER`` lists the columns that a reader does not read right. The
columns are those of the public data sets and of :mod:`benchmarks.inference_collection`;
``docs/benchmarks/inference.md`` defines what is right.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.inference_collection import collection
from benchmarks.inference_ours import read_tables
from benchmarks.inference_peers import read_converted, read_duckdb, read_guessed, read_pandas, read_polars
from benchmarks.inference_public import public_tables
from benchmarks.inference_truth import Read, Score, Table, verdict

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
OURS = "perennial init"
Reader = Callable[[Sequence[Table], Path], list[dict[str, Read]]]
READERS: dict[str, Reader] = {
    OURS: read_tables,
    "pandas": read_pandas,
    "pandas, convert_dtypes": read_converted,
    "pandas, dateutil": read_guessed,
    "Polars, try_parse_dates": read_polars,
    "DuckDB": read_duckdb,
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", metavar="READER", choices=READERS, help="list what this reader does not read right")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of the public data sets")
    parser.add_argument("--seed", type=int, default=0, help="of the generated values")
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        tables = public_tables(arguments.data, _made(Path(name) / "public"))
        tables += collection(_made(Path(name) / "files"), arguments.seed)
        if arguments.list:
            _print_list(_scores(tables, READERS[arguments.list](tables, _made(Path(name) / "work"))))
            return
        _print_tables(tables, Path(name))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _scores(tables: Sequence[Table], reads: Sequence[dict[str, Read]]) -> list[Score]:
    return [
        Score(table.path.stem, column, *verdict(column, read[column.name]), read[column.name])
        for table, read in zip(tables, reads, strict=True)
        for column in table.columns
    ]


def _print_list(scores: Sequence[Score]) -> None:
    for score in scores:
        if score.verdict != "right":
            example = next((cell for cell in score.column.cells if cell.strip()), "")
            why = score.why.partition("\n")[0]
            print(f"{score.verdict} | {score.table} | {score.column.name} ({example!r}) | {score.read.kind} | {why}")


def _print_tables(tables: Sequence[Table], folder: Path) -> None:
    n_columns = sum(len(table.columns) for table in tables)
    print(f"{n_columns} columns in {len(tables)} files\n")
    print("| reader | right | not read, or remarked upon | silently wrong | seconds |")
    print("|---|---:|---:|---:|---:|")
    by_reader = {}
    for place, (name, reader) in enumerate(READERS.items()):
        started = time.perf_counter()
        by_reader[name] = _scores(tables, reader(tables, _made(folder / f"work_{place}")))
        seconds = time.perf_counter() - started
        counts = Counter(score.verdict for score in by_reader[name])
        shares = " | ".join(f"{100 * counts[one] / n_columns:.1f} %" for one in ("right", "remarked", "wrong"))
        print(f"| {name} | {shares} | {seconds:.0f} |", flush=True)
    _print_groups(by_reader)


def _print_groups(by_reader: dict[str, list[Score]]) -> None:
    """Print by group of columns how many are right and how many are silently wrong."""
    print("\nRight + silently wrong, of the columns of a group:\n")
    print(f"| columns | n | {' | '.join(by_reader)} |")
    print(f"|---|---:|{'---:|' * len(by_reader)}")
    for group in dict.fromkeys(_group(score) for score in by_reader[OURS]):
        found = [[score.verdict for score in scores if _group(score) == group] for scores in by_reader.values()]
        cells = (f"{verdicts.count('right')} + {verdicts.count('wrong')}" for verdicts in found)
        print(f"| {group} | {len(found[0])} | {' | '.join(cells)} |")


def _group(score: Score) -> str:
    return score.column.group.partition(":")[0]


if __name__ == "__main__":
    main()
