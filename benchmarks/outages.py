"""Minutes without Prefect's server, MLflow's, or the database, in the middle of a retraining and of predictions.

``python -m benchmarks.outages [--seconds N]``. The whole platform runs on this machine with PostgreSQL. A webhook is
delivered, its run begins, then what it needs is stopped; a second webhook is delivered meanwhile. Counted from the
moment it is back: the seconds until each of them is answered, and how many runs and versions there are. Meanwhile the
service, whose prediction log is ``async``, is asked for predictions; each that is not answered 200 is counted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from store.database import open_database
from tasks.platform.processes import is_healthy, services
from tests.e2e.chaos import (
    MODEL,
    Sender,
    add_small_model,
    await_answer,
    grow,
    hook_secrets,
    start_service,
    stop_service,
    tally,
    trigger_id,
)
from tests.e2e.stage import Stage, await_value, platform
from tests.factories import make_project
from tests.postgres import PostgresServer, postgres_server
from tests.store.trigger_samples import find_trigger

AIM_SECONDS = 90.0
INTO_THE_RUN_SECONDS = 6.0
"""The run has claimed its trigger by then, and reads rows or trains."""


PREDICTIONS_PER_SECOND = 5


def main() -> None:
    """Take each away and bring it back, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, postgres_server() as postgres:
        stage = Stage(make_project(Path(folder)), postgres.address, hook_secrets() | {"PERENNIAL_SERVE_LOG": "async"})
        add_small_model(stage)
        with platform(stage):
            Sender.of(stage).deliver("start")
            await_answer(stage, "start", seconds=900)
            await_value(lambda: stage.ask(f"/v1/models/{MODEL}"), 120, "the first version is served")
            for number, name in enumerate(("prefect", "mlflow", "database")):
                rows.append(_outage(stage, postgres, name, number, given.seconds))
                print(rows[-1], flush=True)
    print("\n| stopped component | s | first result after its return, s | second, s | runs | versions | lost | asked |")
    print("|---|--:|--:|--:|--:|--:|--:|---|")
    print("\n".join(rows))


def _outage(stage: Stage, postgres: PostgresServer, name: str, number: int, seconds: float) -> str:
    first, second = f"{name}_1", f"{name}_2"
    sender = Sender.of(stage)
    grow(stage, 2 * number)
    sender.deliver(first)
    await_value(lambda: _status(stage, first) == "running", 180, f"{first} runs")
    time.sleep(INTO_THE_RUN_SECONDS)
    stop, start = _switch(stage, postgres, name)
    with _predictions(stage) as answers:
        stop()
        gone = time.monotonic()
        grow(stage, 2 * number + 1)
        # Without the database the service answers 503, and the sender tries again, as senders do.
        taken = sender.once(second) == 202
        time.sleep(max(0.0, seconds - (time.monotonic() - gone)))
        start()
    back = time.monotonic()
    if not taken:
        sender.deliver(second)
    times = []
    for one in (first, second):
        await_answer(stage, one, seconds=900)
        times.append(time.monotonic() - back)
    found = tally(stage, [first, second]).values()
    runs, versions = sum(one.runs for one in found), sum(one.versions for one in found)
    lost = sum(_status(stage, one) != "answered" for one in (first, second))
    asked = f"{answers[200]:,} of {sum(answers.values()):,} predictions"
    return f"| {name} | {seconds:.0f} | {times[0]:.0f} | {times[1]:.0f} | {runs} | {versions} | {lost} | {asked} |"


@contextmanager
def _predictions(stage: Stage) -> Iterator[Counter[int]]:
    """Ask for predictions in a thread until the block ends; counts the answers by status, 0: there was none."""
    address = f"http://127.0.0.1:{stage.state.serving_port}/v1/models/{MODEL}"
    body = json.dumps(stage.ask(f"/v1/models/{MODEL}/example")).encode()
    answers, ended = Counter[int](), threading.Event()
    thread = threading.Thread(target=_ask, args=(f"{address}/predict", body, answers, ended))
    thread.start()
    try:
        yield answers
    finally:
        ended.set()
        thread.join()


def _ask(url: str, body: bytes, answers: Counter[int], ended: threading.Event) -> None:
    with httpx.Client(headers={"content-type": "application/json"}, timeout=10, trust_env=False) as client:
        while not ended.wait(1 / PREDICTIONS_PER_SECOND):
            try:
                answers[client.post(url, content=body).status_code] += 1
            except httpx.HTTPError:
                answers[0] += 1


def _switch(stage: Stage, postgres: PostgresServer, name: str) -> tuple[Callable[[], object], Callable[[], object]]:
    if name == "database":
        return postgres.stop, postgres.start
    return (lambda: stop_service(stage, name)), (lambda: _start(stage, name))


def _start(stage: Stage, name: str) -> None:
    began = time.time()
    start_service(stage, name)
    [service] = [one for one in services(stage.state) if one.name == name]
    await_value(lambda: is_healthy(service, stage.state, began, stage.settings), 120, f"{name} is back")


def _status(stage: Stage, delivery_id: str) -> str:
    found = find_trigger(open_database(stage.state.database_url), MODEL, trigger_id(delivery_id))
    return found.status if found is not None else "unknown"


if __name__ == "__main__":
    main()
