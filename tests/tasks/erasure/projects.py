"""A project whose places all hold rows of an entity."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from config.settings import Settings
from core.erasure.outcome import ErasureOutcome
from core.references import DataVersion
from store.database import open_database
from store.log.labels import Label, record_labels
from store.registry.registrations import RegisteredVersion, record_versions
from store.scored.batches import ScoredBatch, record_scored_batch
from tasks.erasure.forget import ForgetRequest, forget
from tasks.score.staging import output_digest
from tasks.validation.results import RESULT
from tasks.validation.validate import PAGE, QUARANTINE
from tasks.versions.versions import version_data, write_batch
from tests.factories import add_credit_model, credit_config
from tests.tasks.served.traffic import log_rows
from tests.tasks.versions.staging import TYPES, credit_rows, stage

KEY = "SECRET-4711"
"""A text that stands nowhere by chance, not even in a compressed file."""

CREDIT = credit_config()
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def add_batch(settings: Settings, rows: Sequence[dict[str, Any]]) -> DataVersion:
    """Write rows as a batch and version them."""
    settings.var.mkdir(exist_ok=True)
    write_batch(stage([*rows], settings.var), CREDIT, settings)
    for path in settings.var.glob("staged-*"):
        path.unlink()
    return version_data(CREDIT, settings)


def train_on(settings: Settings, data: DataVersion, version: int = 1) -> None:
    """Record a version that was trained on a data version."""
    trained = RegisteredVersion("credit", version, "m" * 64, "r" * 64, data.version, "manual", "trained", AT)
    record_versions(open_database(settings.database_url), [trained])


def scored(settings: Settings, output: Path, keys: Sequence[str], *, column: str = "id") -> ScoredBatch:
    """Write an output as a scoring would, and record it; a folder has a file for each row."""
    table = pa.table(
        {
            column: [*keys],
            "note": ['a "quoted"\nnote'] * len(keys),
            "row": range(len(keys)),
            "prediction_id": [
                f"019b76da-a800-7000-8000-0000{abs(hash(str(output))) % 10**4:04d}{n:04x}" for n in range(len(keys))
            ],
            "value": [n / 8 for n in range(len(keys))],
        }
    )
    if output.suffix == ".csv":
        pc.write_csv(table, output)
    elif output.suffix == ".parquet":
        pq.write_table(table, output, row_group_size=2)
    else:
        output.mkdir()
        for place in range(len(keys)):
            pq.write_table(table.slice(place, 1), output / f"part-{place:05}.parquet")
    engine = open_database(settings.database_url)
    return record_scored_batch(engine, entry(output, len(keys), sha256=output_digest(output)))


def entry(output: Path | str, n: int, **given: Any) -> ScoredBatch:
    """Return the record of a scoring."""
    facts = {
        "id": f"{abs(hash(str(output))):064x}",
        "model": "credit",
        "version": 1,
        "manifest": "m" * 64,
        "run": "r" * 64,
        "input": "rows.csv",
        "input_sha256": "i" * 64,
        "output": str(output),
        "output_sha256": given.pop("sha256", "o" * 64),
        "set_aside": None,
        "features": True,
        "n_rows": n,
        "n_scored": n,
        "n_set_aside": 0,
        "predicted_at": AT,
        "recorded_at": AT,
    }
    return ScoredBatch(**{**facts, **given})


@dataclass(frozen=True)
class Held:
    """What the project of :func:`fill` has: data versions before and after the batch with the entity's rows."""

    trained: DataVersion
    newest: DataVersion


def fill(settings: Settings) -> Held:
    """Let every place of a project hold rows of the entity, among rows of others; version 1 was trained without."""
    add_credit_model(settings)
    engine = open_database(settings.database_url)
    trained = add_batch(settings, credit_rows(0, 40))
    train_on(settings, trained)
    newest = add_batch(settings, [*credit_rows(40, 60), *credit_rows(60, 62, id=KEY), *credit_rows(62, 70)])
    keys = ["k1", KEY, "k2", KEY]
    sent = pd.DataFrame({"id": keys, "income": [1.0, 2.0, 3.0, 4.0]})
    ids = log_rows(engine, sent, [[0.5, 0.5]] * 4, AT, key="id", per_request=4)
    log_rows(engine, sent, [[0.5, 0.5]] * 4, AT + timedelta(hours=1), key="id", variant="shadow")
    labels = [Label("id", one, "1") for one in ids] + [Label("key", key, "0", AT) for key in ("k1", KEY)]
    record_labels(engine, "credit", labels, "branch", AT)
    for name in ("scores.csv", "scores.parquet", "scores"):
        output = scored(settings, settings.root / name, keys)
    with_label = pq.read_table(settings.root / "scores" / "part-00001.parquet")["prediction_id"].to_pylist()
    record_labels(engine, "credit", [Label("id", one, "1") for one in with_label], "branch", AT)
    assert output.n_rows == 4
    folder = settings.var / "reports" / "credit" / "validation" / "0123456789ab"
    folder.mkdir(parents=True)
    rows = [*credit_rows(0, 3), *credit_rows(3, 4, id=KEY)]
    pq.write_table(pa.Table.from_pylist(rows, schema=TYPES), folder / QUARANTINE)
    outcome = {"column": "id", "description": "id must be unique", "observed": f"2 of 9 rows fail, e.g. {KEY}"}
    (folder / RESULT).write_text(json.dumps({"accepted": True, "reasons": [], "outcomes": [outcome]}))
    (folder / PAGE).write_text(f"<p>2 of 9 rows fail, e.g. {KEY}</p>")
    left = settings.var / "work" / "credit"
    left.mkdir(parents=True)
    (left / "staged.csv").write_text(KEY)
    return Held(trained, newest)


def forgotten(settings: Settings, key: str = KEY, **given: Any) -> ErasureOutcome:
    """Forget an entity of the project."""
    return forget(ForgetRequest("credit", key), settings, **given)


def numbers(outcome: ErasureOutcome) -> dict[str, int]:
    """Numbers of what was removed, by kind."""
    return dict(outcome.record()["removed"])


def traces(settings: Settings, key: str = KEY) -> list[str]:
    """Return the files of a project in which the key stands, also in a compressed column of Parquet."""
    return [
        str(path.relative_to(settings.root))
        for path in sorted(settings.root.rglob("*"))
        if path.is_file() and _has(path, key)
    ]


def _has(path: Path, key: str) -> bool:
    content = path.read_bytes()
    if content[:4] == b"PAR1":
        return key in str(pq.read_table(path).to_pylist())
    return key.encode() in content
