"""Bar D4: poisoned batches leave the champion where it is, and clean batches are not refused.

``python -m benchmarks.poisoned_batches [--seeds N] [--first SEED] [--only WORDS]``. Per seed: a champion is trained on
six months of the simulated applications, then each kind of poisoned seventh month is delivered, each to the same
project: it is read, validated, versioned, trained on, and judged by the steps of the flows, without Prefect and without
the drift page. Clean months are delivered the same way, and only validated. Where the champion changed, both models
score rows that neither has seen: a challenger of more clean rows may be better although its batch is poisoned.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from config.load import load_model_config
from config.schema import ModelConfig, SimulatedSource
from config.settings import Settings
from core.data.simulate import simulate_month
from core.errors import SchemaError
from core.metrics.evaluation import predict_output
from store.champions import current_champion
from store.database import open_database
from tasks.gate.judgement import load_contestant
from tasks.registry.fetch import fetched
from tasks.source.stage import stage_rows
from tasks.validation.validate import validate_rows
from tasks.versions.versions import has_batches, known_batch, read_before, version_data, write_batch
from tests.factories import make_project
from tests.tasks.crash_points import import_what, in_fork
from tests.tasks.judging import train
from tests.warm import use_warm_steps, warmed

ROOT = Path(__file__).resolve().parents[1]
TARGET = "default_next_month"
MONTHS = 6
ROWS = 1_000
CLEAN = 5
SHARE = 0.2
"""Part of the labels that are flipped."""
OUTLIERS = 0.05
"""Part of the rows that are outliers."""

Poison = Callable[[list[pd.DataFrame], pd.DataFrame, np.random.Generator], pd.DataFrame]


def _flipped(_before: list[pd.DataFrame], month: pd.DataFrame, chance: np.random.Generator) -> pd.DataFrame:
    wrong = chance.random(len(month)) < SHARE
    return month.assign(**{TARGET: np.where(wrong, 1 - month[TARGET], month[TARGET])})


def _far_outliers(_before: list[pd.DataFrame], month: pd.DataFrame, chance: np.random.Generator) -> pd.DataFrame:
    """Return rows of which some have all numbers a hundred times too large."""
    return _scaled(month, chance, 100.0, ("age", "income", "loan_amount", "savings", "interest_rate"))


def _near_outliers(_before: list[pd.DataFrame], month: pd.DataFrame, chance: np.random.Generator) -> pd.DataFrame:
    """Return rows of which some have numbers that are too large but within the suite's bounds."""
    return _scaled(month, chance, 30.0, ("income", "savings"))


def _scaled(month: pd.DataFrame, chance: np.random.Generator, factor: float, columns: tuple[str, ...]) -> pd.DataFrame:
    rows = chance.random(len(month)) < OUTLIERS
    return month.assign(**{name: month[name].where(~rows, month[name] * factor) for name in columns})


def _stale(before: list[pd.DataFrame], _month: pd.DataFrame, chance: np.random.Generator) -> pd.DataFrame:
    """Return the rows of the first month once more, in another order."""
    return before[0].sample(frac=1, random_state=chance)


def _stale_as_new(before: list[pd.DataFrame], month: pd.DataFrame, _chance: np.random.Generator) -> pd.DataFrame:
    """Return the rows of the first month under the keys and dates of the new one."""
    return before[0].assign(application_id=month["application_id"], application_date=month["application_date"])


def _duplicates(_before: list[pd.DataFrame], month: pd.DataFrame, _chance: np.random.Generator) -> pd.DataFrame:
    return pd.concat([month, month])


def _duplicates_as_new(_before: list[pd.DataFrame], month: pd.DataFrame, chance: np.random.Generator) -> pd.DataFrame:
    """Return a tenth of the rows ten times, each under a key of its own."""
    rows = month.sample(frac=0.1, random_state=chance)
    copies = pd.concat([rows] * 10)
    return copies.assign(application_id=month["application_id"].to_numpy()[: len(copies)])


def _duplicates_in_other_digits(
    _before: list[pd.DataFrame], month: pd.DataFrame, chance: np.random.Generator
) -> pd.DataFrame:
    """Return a tenth of the rows ten times under new keys, as another format would round them."""
    copies = _duplicates_as_new(_before, month, chance)
    fractions = {str(name): copies[name].astype("float32") for name in copies if copies[name].dtype == "float64"}
    exact = copies.duplicated(_features(month))
    return copies.assign(**{name: copies[name].where(~exact, column) for name, column in fractions.items()})


def _holdout_as_old(before: list[pd.DataFrame], month: pd.DataFrame, _chance: np.random.Generator) -> pd.DataFrame:
    """Return the newest rows under new keys and the dates of the first month, so that they are trained on."""
    rows = before[-1].assign(application_date=before[0]["application_date"].to_numpy())
    return rows.assign(application_id=month["application_id"].to_numpy())


def _all_null(_before: list[pd.DataFrame], month: pd.DataFrame, _chance: np.random.Generator) -> pd.DataFrame:
    return month.assign(**dict.fromkeys(_features(month), None))


def _one_null(_before: list[pd.DataFrame], month: pd.DataFrame, chance: np.random.Generator) -> pd.DataFrame:
    return month.assign(**{str(chance.choice(_features(month))): None})


def _features(month: pd.DataFrame) -> list[str]:
    return [str(name) for name in month if name not in ("application_id", "application_date", TARGET)]


POISONS: dict[str, Poison] = {
    "20 % of labels flipped": _flipped,
    "5 % far outliers": _far_outliers,
    "5 % outliers within bounds": _near_outliers,
    "stale, same keys": _stale,
    "stale, new keys and dates": _stale_as_new,
    "each row twice": _duplicates,
    "a tenth ten times, new keys": _duplicates_as_new,
    "a tenth ten times, other digits": _duplicates_in_other_digits,
    "newest rows, old dates": _holdout_as_old,
    "all features null": _all_null,
    "one feature null": _one_null,
}

ENDS = ("refused", "nothing new", "not better", "champion changed", "of these worse")
TRUTH_MONTHS = 20
"""Months by which the truth is measured where the champion changed."""

Counts = dict[str, dict[str, int]]


def main() -> None:
    """Poison and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=600.0, help="Begin no further seed after these.")
    parser.add_argument("--only", default="", help="Deliver only the batches whose names contain this.")
    given = parser.parse_args()
    counts: Counts = defaultdict(lambda: defaultdict(int))
    with tempfile.TemporaryDirectory() as folder, warmed(Path(folder)) as warm:
        use_warm_steps(warm)
        import_what(_rehearse)
        _run(given, counts)
    sys.exit(any(found["champion changed"] for found in counts.values()) or _blocked(counts) > 0.05)


def _run(given: argparse.Namespace, counts: Counts) -> None:
    began = time.monotonic()
    for done, seed in enumerate(range(given.first, given.first + given.seeds), start=1):
        if time.monotonic() - began > 60 * given.minutes:
            return
        with tempfile.TemporaryDirectory() as folder:
            run_seed(seed, Path(folder), counts, given.only)
        print(f"{done} seeds\n{table(counts)}", flush=True)


def table(counts: Counts) -> str:
    """Return one Markdown table: how each kind of batch ended."""
    lines = [f"| batch | number | {' | '.join(ENDS)} |", f"|---|{'--:|' * 6}"]
    lines += [_line(name, [counts[name][end] for end in ENDS]) for name in POISONS if name in counts]
    clean = counts["clean"]
    share = f"{_blocked(counts):.1%} of {sum(clean.values())} clean batches were refused"
    return "\n".join([*lines, "", share])


def _line(name: str, numbers: list[int]) -> str:
    return f"| {name} | {sum(numbers[:-1])} | {' | '.join(map(str, numbers))} |"


def _blocked(counts: Counts) -> float:
    clean = counts["clean"]
    return clean["refused"] / max(sum(clean.values()), 1)


def run_seed(seed: int, folder: Path, counts: Counts, only: str = "") -> None:
    """Train a champion, deliver each kind of batch to a copy of its project, and count how each ended."""
    source = SimulatedSource(kind="simulated", start="2024-01-01", months=36, rows_per_month=ROWS, seed=seed)
    trial, months = Trial(folder, source), [simulate_month(source, number) for number in range(MONTHS + CLEAN)]
    ended = trial.deliver(pd.concat(months[:MONTHS]))
    if ended != "champion changed":
        sys.exit(f"seed {seed}: no first champion ({ended})")
    trial.keep()
    chance = np.random.default_rng(seed)
    for name, poison in POISONS.items():
        batch = poison(months, months[MONTHS], chance)
        if only not in name:
            continue
        trial.restore()
        ended = trial.deliver(batch)
        counts[name][ended] += 1
        truth = trial.true_gain() if ended == "champion changed" else ""
        counts[name]["of these worse"] += truth.startswith("-")
        print(f"seed {seed}, {name}: {ended}{truth and f', truly by {truth}'}", flush=True)
    for month in months[MONTHS:] if not only else ():
        trial.restore()
        counts["clean"][trial.deliver(month, trains=False)] += 1


class Trial:
    """A project, and a copy of it in its first state.

    What is done in it is done in forks: MLflow keeps connections to a database that is replaced between deliveries.
    """

    def __init__(self, folder: Path, source: SimulatedSource) -> None:
        self.settings, self.config = project(folder)
        self.source, self._kept, self._answer = source, folder / "kept", folder / "answer"

    def deliver(self, rows: pd.DataFrame, *, trains: bool = True) -> str:
        """Deliver rows; return how it ended."""
        return self._asked(lambda: delivered(rows, self.settings, self.config, trains=trains))

    def true_gain(self) -> str:
        """Return the gain in AUC of the champion over the first one, on later months that neither has seen."""
        return self._asked(lambda: true_gain(self.settings, self.config, self.source))

    def keep(self) -> None:
        """Keep the present state."""
        shutil.copytree(self.settings.root, self._kept, symlinks=True)

    def restore(self) -> None:
        """Return to the state that was kept."""
        restore(self._kept, self.settings)

    def _asked(self, work: Callable[[], str]) -> str:
        if in_fork(lambda: self._answer.write_text(work())):
            sys.exit("a delivery ended with an error")
        return self._answer.read_text()


def _rehearse() -> None:
    """Train once, so that the forks start with what a training imports."""
    with tempfile.TemporaryDirectory() as folder:
        settings, config = project(Path(folder))
        source = SimulatedSource(kind="simulated", start="2024-01-01", months=1, rows_per_month=4 * ROWS, seed=0)
        delivered(simulate_month(source, 0), settings, config)


def project(folder: Path) -> tuple[Settings, ModelConfig]:
    """Make a project with the demonstration's model file, which reads deliveries from files."""
    settings = make_project(folder)
    shutil.copytree(ROOT / "config" / "expectations", settings.root / "config" / "expectations", dirs_exist_ok=True)
    content = load_model_config(ROOT, "credit").model_dump(mode="json")
    content["source"] = {"kind": "parquet", "uri": "rows.parquet"}
    content["training"] |= {"cv": 0, "params": content["training"]["params"] | {"max_iter": 60}}
    # How long a row takes to score is about the machine, and this is about rows.
    content["gate"]["max_latency_ms"] = 60_000
    return settings, ModelConfig.model_validate(content)


def delivered(rows: pd.DataFrame, settings: Settings, config: ModelConfig, *, trains: bool = True) -> str:
    """Deliver rows by the steps of ``flows/ingest.py`` and ``flows/train.py``; return how it ended."""
    rows.to_parquet(settings.root / "rows.parquet", index=False)
    work = settings.var / "work" / "credit"
    before, later = read_before(config, settings), has_batches(config, settings)
    try:
        staged = stage_rows(config, settings, work, before, needs_labels=not later)
    except SchemaError:  # a column without any value
        return "refused"
    if known_batch(staged, config, settings) is not None:
        return "nothing new"
    validation = validate_rows(staged, config, settings, work)
    if not validation.accepted:
        return "refused"
    if not trains:
        return "accepted"
    if not write_batch(validation.rows, config, settings, validation.n_quarantined).is_new:
        return "nothing new"
    champion = _champion(settings)
    train(settings, config, version_data(config, settings).version)
    return "not better" if _champion(settings) == champion else "champion changed"


def true_gain(settings: Settings, config: ModelConfig, source: SimulatedSource) -> str:
    """Return the gain in AUC of the champion over the first one, on later months that neither has seen."""
    months = (simulate_month(source, MONTHS + CLEAN + number) for number in range(1, TRUTH_MONTHS + 1))
    rows = pd.concat(months).assign(**{TARGET: lambda frame: frame[TARGET].astype(str)})
    found = [_auc(version, rows, settings, config) for version in (1, _champion(settings) or 1)]
    return f"{found[1] - found[0]:+.4f}"


def _auc(version: int, rows: pd.DataFrame, settings: Settings, config: ModelConfig) -> float:
    with fetched(config.model, version, settings) as files:
        contestant = load_contestant(files, config)
    output = predict_output(contestant.pipeline, rows[list(contestant.contract.raw_columns)], contestant.contract)
    return float(roc_auc_score(rows[TARGET] == config.positive, output[:, 1]))


def restore(kept: Path, settings: Settings) -> None:
    """Put a project back; MLflow's addresses of files are absolute, so it stays at its place."""
    for path in settings.root.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(settings.root)
    shutil.copytree(kept, settings.root, symlinks=True)


def _champion(settings: Settings) -> int | None:
    found = current_champion(open_database(settings.database_url), "credit")
    return found.version if found else None


if __name__ == "__main__":
    main()
