"""Bar D1: mutated CSV and Parquet files end in rows or in a reason, never in a crash or a hang.

``python -m benchmarks.mutated_files [--files N] [--first SEED] [--readers ingest]``. Each file is staged as
``perennial ingest`` reads it and inspected as ``perennial init`` does, in a process that is watched: a signal, an error
that is none of ours, a reason without words, or more than ten seconds of a processor is a failure, and is printed with
the seed that makes the file again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from config.schema import ModelConfig
from config.settings import Settings
from core.errors import PerennialError
from tasks.init.model_file import init_model
from tasks.source.stage import stage_rows
from tests.factories import credit_config
from tests.tasks.source.damaged_files import damaged_file

KINDS = ("csv", "parquet")
SECONDS = 10.0
"""Time of a processor after which a file hangs."""

WAITING = 30.0
"""The same for the time that passes, as a factor: other processes use the machine too."""

BAD = ("crash", "hang", "no reason")


class Job(NamedTuple):
    """A file, by what makes it, and what is done with it."""

    kind: str
    seed: int
    reader: str


class Result(NamedTuple):
    """What became of a file."""

    job: Job
    ended: str
    said: str
    seconds: float


def main() -> None:
    """Read the files and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--readers", nargs="*", default=list(READERS), choices=list(READERS))
    given = parser.parse_args()
    jobs = [
        Job(kind, seed, reader)
        for seed in range(given.first, given.first + given.files // 2)
        for kind in KINDS
        for reader in given.readers
    ]
    with tempfile.TemporaryDirectory() as folder:
        results = list(read_all(jobs, Path(folder)))
    print(table(results))
    sys.exit(any(result.ended in BAD for result in results))


def table(results: list[Result]) -> str:
    """Return one Markdown table: what became of the files, by kind and reader, and the longest time."""
    lines = ["| files | reader | number | read | refused | crashes | hangs | without a reason | longest, CPU s |"]
    lines.append("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for kind in KINDS:
        for reader in sorted({result.job.reader for result in results}):
            found = [result for result in results if (result.job.kind, result.job.reader) == (kind, reader)]
            counts = Counter(result.ended for result in found)
            ends = " | ".join(str(counts[end]) for end in ("read", "refused", *BAD))
            longest = max((result.seconds for result in found), default=0)
            lines.append(f"| {kind} | {reader} | {len(found)} | {ends} | {longest:.1f} |")
    return "\n".join(lines)


def read_all(jobs: list[Job], folder: Path, seconds: float = SECONDS) -> Iterator[Result]:
    """Read files in a process that is started again when one ends it or hangs."""
    waiting = list(reversed(jobs))
    while waiting:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(target=_work, args=(theirs, folder))
        process.start()
        theirs.close()
        try:
            yield from _while_it_answers(waiting, ours, seconds)
        finally:
            process.kill()
            process.join()


def _while_it_answers(waiting: list[Job], process: Connection, seconds: float) -> Iterator[Result]:
    while waiting:
        job = waiting.pop()
        process.send(job)
        result = Result(job, "hang", f"more than {seconds:.0f} s", seconds)
        try:
            if process.poll(WAITING * seconds):
                ended, said, took = process.recv()
                result = Result(job, "hang" if took > seconds else ended, said, took)
        except EOFError:
            result = Result(job, "crash", "the process ended", 0.0)
        if result.ended in BAD:
            print(f"{job}: {result.ended}: {result.said}", flush=True)
        yield result
        if result.ended in BAD[:2] and not result.said.startswith("Trace"):  # perhaps no process is left that answers
            return


def _work(asked: Connection, folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What libraries print about a file is not what we say of it.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    settings = Settings(root=folder, var=folder / "var", memory_limit_mb=512)
    while True:
        job, began = asked.recv(), time.process_time()
        asked.send((*read_one(job, settings), time.process_time() - began))


def read_one(job: Job, settings: Settings) -> tuple[str, str]:
    """Make a file and read it; return how that ended, and what was said."""
    path = settings.root / f"rows.{job.kind}"
    path.write_bytes(damaged_file(job.kind, job.seed)[0])
    try:
        return "read", READERS[job.reader](path, settings)
    except PerennialError as error:
        said = str(error)
        # A reason names the file, or what is wrong with a column; it has more to say than a library's number.
        return ("refused" if len(said) > 20 and type(error).exit_code == 2 else "no reason"), said
    except Exception:  # noqa: BLE001 - what is looked for
        return "crash", traceback.format_exc()


def _staged(path: Path, settings: Settings) -> str:
    content = credit_config().model_dump(mode="json")
    source = {"kind": path.suffix[1:], "uri": path.name}
    config = ModelConfig.model_validate(content | {"source": source})
    return f"{stage_rows(config, settings, settings.var / 'work').n_rows} rows"


def _inspected(path: Path, settings: Settings) -> str:
    return " ".join(map(str, init_model(str(path), "default", settings, key="id", name="credit", force=True).notes))


READERS = {"ingest": _staged, "init": _inspected}

if __name__ == "__main__":
    main()
