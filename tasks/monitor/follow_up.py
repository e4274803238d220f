"""What follows a decision on drift: its run in MLflow, and Evidently's plots where they are wanted.

``python -m tasks.monitor.follow_up`` does what is pending, in a process of its own, so that no decision waits for the
import of MLflow and Evidently. What is pending stands in a file beside the page, written before the decision is
recorded: whatever ends this process, that of the next decision, or of the same command again, goes on with it. Nothing
here changes a decision.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from config.background import start_in_background
from config.private_file import append_privately
from config.settings import PACKAGES, Settings, load_settings
from config.var_folder import make_var
from core.errors import PerennialError, StorageError
from core.storage_failure import storage_errors
from store.database import open_database
from store.drift import find_window

if TYPE_CHECKING:
    from core.drift.verdict import DriftVerdict
    from tasks.reports.drift import ReportFiles

_log = logging.getLogger("perennial.follow_up")

COMMAND = (sys.executable, "-m", "tasks.monitor.follow_up")
PENDING = "pending.json"
LOG = "follow-up.log"
MAX_ATTEMPTS = 3
"""Attempts at the plots of a decision: a process that a library or the kernel ends leaves no error to judge."""

NICE = 10
"""Lower priority than commands, for which a person may wait."""


@dataclass(frozen=True)
class Pending:
    """What is to be done about a decision.

    Parameters
    ----------
    id
        Id of the decision.
    plots
        Whether Evidently's plots are wanted.
    attempts
        Times that the plots were begun.
    """

    id: str
    plots: bool
    attempts: int = 0


def put_off(folder: Path, pending: Pending) -> None:
    """Note in a report's folder what is to be done; a repeat replaces it."""
    part = folder / f".{PENDING}.{os.getpid()}"
    part.write_text(json.dumps(asdict(pending)), encoding="utf-8")
    part.replace(folder / PENDING)


def start_follow_up(settings: Settings) -> None:
    """Start a process for what is pending, as the setting ``follow_up`` says; its failure changes nothing here."""
    if settings.follow_up == "later":
        return
    # Without the variables of a flow run: nothing may take this process for one of the run's.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT__")}
    environment |= {"PERENNIAL_ROOT": str(settings.root), "PERENNIAL_VAR": str(settings.var)}
    environment |= {"PYTHONPATH": str(PACKAGES)}
    try:
        with append_privately(settings.var / "log" / LOG) as output:
            if settings.follow_up == "beside":
                start_in_background(COMMAND, environment, output, settings.root)
            else:
                _run(environment, output, settings.root)
    except OSError as error:
        _log.warning("the process that follows the decision did not start: %s; 'perennial report' does its work", error)


def go_on(folder: Path, settings: Settings) -> None:
    """Start a process again for a recorded decision that it was ended for; a repeat changes nothing.

    Parameters
    ----------
    folder
        Of the decision's page.
    """
    if (folder / PENDING).is_file():
        start_follow_up(settings)


def _run(environment: Mapping[str, str], output: BinaryIO, folder: Path) -> None:
    subprocess.run(  # noqa: S603 - our own interpreter and module
        COMMAND, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=folder, check=False
    )


def report_now(verdict: DriftVerdict, settings: Settings) -> ReportFiles:
    """Draw a decision's page with Evidently's plots in this process, and leave its copy in MLflow to another one.

    Raises
    ------
    PerennialError
        See :func:`tasks.monitor.reports.draw_report`.
    """
    from tasks.monitor.reports import draw_report

    files = draw_report(verdict, settings)
    put_off(files.html.parent, Pending(verdict.id, plots=False))
    start_follow_up(settings)
    return files


def follow_up(settings: Settings) -> None:
    """Do what is pending, the newest decision first; a repeat, and one beside another, changes nothing.

    At most one process works and one waits for it: a third ends at once, because the one that waits has yet to look.
    """
    from filelock import FileLock, Timeout

    make_var(settings)
    locks = settings.var / "locks"
    locks.mkdir(exist_ok=True)
    waiting = FileLock(locks / "follow-up-next.lock", timeout=0)
    try:
        waiting.acquire()
    except Timeout:
        return
    with FileLock(locks / "follow-up.lock"):
        waiting.release()
        for folder in _folders(settings):
            _follow(folder, settings)


def _folders(settings: Settings) -> list[Path]:
    found = (settings.var / "reports").glob(f"*/drift/*/{PENDING}")
    return [path.parent for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)]


def _follow(folder: Path, settings: Settings) -> None:
    """Finish one decision; what a later attempt may mend stays pending."""
    pending = _pending(folder)
    if pending is None:
        return
    try:
        with storage_errors():
            if _finished(folder, pending, settings):
                (folder / PENDING).unlink(missing_ok=True)
    except FileNotFoundError:
        _log.info("decision %s: retention removed %s meanwhile", pending.id[:12], folder)
    except StorageError as error:
        _log.warning("decision %s in %s stays pending: %s", pending.id[:12], folder, error)


def _pending(folder: Path) -> Pending | None:
    try:
        return Pending(**json.loads((folder / PENDING).read_bytes()))
    except (OSError, ValueError, TypeError):  # pruned meanwhile, or no file of ours
        return None


def _finished(folder: Path, pending: Pending, settings: Settings) -> bool:
    """Log the decision, draw its plots, log them; return False if the decision is not recorded yet."""
    from tasks.monitor.mlflow_run import log_pages, log_verdict
    from tasks.monitor.recorded import PAGES, verdict_of

    entry = find_window(open_database(settings.database_url), pending.id)
    if entry is None:
        return False
    verdict = verdict_of(entry)
    pages = {name: folder / name for name in PAGES if (folder / name).is_file()}
    run_id = log_verdict(verdict, pages, settings)
    if pending.plots and pending.attempts < MAX_ATTEMPTS:
        put_off(folder, replace(pending, attempts=pending.attempts + 1))
        with _final_errors(folder):
            from tasks.monitor.reports import draw_report

            draw_report(verdict, settings)
    log_pages(run_id, pages, settings)
    return True


@contextmanager
def _final_errors(folder: Path) -> Iterator[None]:
    """Log an error that no other attempt would mend, such as rows that were removed; the page without plots stays."""
    try:
        yield
    except StorageError:
        raise
    except PerennialError as error:
        _log.warning("no plots for the page in %s: %s", folder, error)


def main() -> None:
    """Do what is pending."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    os.nice(NICE)
    follow_up(load_settings())


if __name__ == "__main__":
    main()
