"""Windows whose performance is known, for ``benchmarks.estimates``: generated worlds, and public data in time order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from core.feature_contract import FeatureContract
from core.metrics.metrics import METRICS, Floats

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
ROWS = 1_000
TRAIN, HOLDOUT = 8_000, 4_000
TRUTH_ROWS = 30_000
TOLERATED = 0.02


@dataclass(frozen=True, eq=False)
class Labelled:
    """Rows with labels and a champion's predictions."""

    frame: pd.DataFrame
    y: npt.NDArray[Any]
    output: Floats

    def take(self, places: Any) -> Labelled:
        """Take some of the rows."""
        return Labelled(self.frame.iloc[places], self.y[places], self.output[places])


@dataclass(frozen=True, eq=False)
class Case:
    """A window and the holdout of its champion.

    Parameters
    ----------
    group
        Name of the row of the table.
    metric
        ``roc_auc`` or ``rmse``.
    holdout, window
        Labelled rows; the window's labels are for the truth alone.
    contract
        Kinds of the columns.
    loss
        True loss as a share of the holdout's value; None for real rows, where the labels of the window say it.
    """

    group: str
    metric: str
    holdout: Labelled
    window: Labelled
    contract: FeatureContract
    loss: float | None


@dataclass(frozen=True)
class Change:
    """What happens to a generated world: shifts of its features, in standard deviations, and its relation."""

    name: str
    shifts: tuple[tuple[int, float], ...] = ()
    concept: bool = False


CHANGES = (
    Change("quiet"),
    Change("easier rows", ((2, 0.5),)),
    Change("slightly harder rows", ((2, -0.25),)),
    Change("harder rows", ((2, -0.8),)),
    Change("rows outside the support", ((0, 3.0), (2, -1.0))),
    Change("concept drift", concept=True),
)


def generated(seed: int) -> Iterator[Case]:
    """Yield one window of each change, for a classifier and for a regression, from one world."""
    for metric in ("roc_auc", "rmse"):
        rows = _classes if metric == "roc_auc" else _numbers
        generator = np.random.default_rng([seed, metric == "rmse"])
        model = HistGradientBoostingClassifier if metric == "roc_auc" else HistGradientBoostingRegressor
        trained = model(max_iter=60, learning_rate=0.1, random_state=0).fit(*rows(TRAIN, CHANGES[0], generator))

        def labelled(n: int, change: Change, draw: Any = rows, fitted: Any = trained, g: Any = generator) -> Labelled:
            X, y = draw(n, change, g)
            output = fitted.predict_proba(X) if hasattr(fitted, "predict_proba") else fitted.predict(X)
            return Labelled(pd.DataFrame(X, columns=[f"x{place}" for place in range(X.shape[1])]), y, output)

        holdout, truth = labelled(HOLDOUT, CHANGES[0]), labelled(TRUTH_ROWS, CHANGES[0])
        for change in CHANGES:
            after = labelled(TRUTH_ROWS, change)
            before, now = (METRICS[metric].value(one.y, one.output) for one in (truth, after))
            loss = METRICS[metric].loss(before, now) / before
            contract = kinds_of(holdout.frame)
            yield Case(f"generated, {change.name}", metric, holdout, after.take(slice(ROWS)), contract, loss)


def _features(n: int, change: Change, generator: np.random.Generator) -> Floats:
    X = generator.normal(size=(n, 5))
    for place, shift in change.shifts:
        X[:, place] += shift
    return X


def _classes(n: int, change: Change, generator: np.random.Generator) -> tuple[Floats, npt.NDArray[Any]]:
    """Draw classes that the third feature makes clearer; the first one means the contrary beyond 3."""
    X = _features(n, change, generator)
    first = 0.4 * X[:, 0] if change.concept else np.where(X[:, 0] > 3, -1.5, 1.5) * X[:, 0]
    odds = np.exp(0.6 * X[:, 2]) * (first + 0.8 * X[:, 1]) - 0.5
    return X, (generator.random(n) < 1 / (1 + np.exp(-odds))).astype("int64")


def _numbers(n: int, change: Change, generator: np.random.Generator) -> tuple[Floats, npt.NDArray[Any]]:
    """Draw numbers with noise that the third feature makes smaller; the first one bends beyond 3."""
    X = _features(n, change, generator)
    first = X[:, 0] if change.concept else np.where(X[:, 0] > 3, 12 - 2 * X[:, 0], 2 * X[:, 0])
    return X, first + X[:, 1] + np.exp(-0.5 * X[:, 2]) * generator.normal(size=n)


@dataclass(frozen=True)
class Source:
    """A public data set: its metric, unused columns, the order, and where the holdout begins and ends."""

    folder: str
    metric: str
    dropped: tuple[str, ...]
    order: str | None
    start: int
    end: int
    every: int = 1


MONTHS = ("Feb", "Mar", "May", "June", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SOURCES = (
    Source("bank_marketing", "roc_auc", ("duration", "event_month", "month"), "event_month", 14_000, 18_000, 3),
    Source("online_shoppers", "roc_auc", ("Month",), "Month", 4_000, 6_000),
    Source("default_credit_card_tw", "roc_auc", ("ID",), None, 12_000, 16_000, 2),
    Source(
        "bike_sharing", "rmse", ("event_time", "dteday", "instant", "casual", "registered"), "event_time", 6_000, 9_000
    ),
)


def public(source: Source, shuffled: bool) -> Iterator[Case]:
    """Yield the windows after the holdout, in time order or in random order."""
    frame, y = _read(source, shuffled)
    fitted = champion(frame, y, source.start, source.metric)
    output = fitted.predict_proba(frame) if source.metric == "roc_auc" else fitted.predict(frame)
    rows, name = Labelled(frame, y, output), source.folder.replace("_", " ")
    holdout = rows.take(slice(source.start, source.end))
    order = "random order" if shuffled or source.order is None else "time order"
    for start in range(source.end, len(frame) - ROWS + 1, ROWS * source.every):
        window = rows.take(slice(start, start + ROWS))
        yield Case(f"{name}, {order}", source.metric, holdout, window, kinds_of(frame), None)


@cache
def _parquet(folder: str) -> pd.DataFrame:
    return pd.read_parquet(SHARED / folder / "ready.parquet")


def _read(source: Source, shuffled: bool) -> tuple[pd.DataFrame, npt.NDArray[Any]]:
    frame = _parquet(source.folder)
    if shuffled or source.order is None:
        frame = frame.sample(frac=1.0, random_state=0)
    else:
        key: Callable[[Any], Any] | None = (
            (lambda months: months.map(MONTHS.index)) if source.order == "Month" else None
        )
        frame = frame.sort_values(source.order, kind="stable", key=key)
    y = frame["target"].to_numpy(dtype="float64" if source.metric == "rmse" else "int64")
    return frame.drop(columns=["target", *source.dropped]).reset_index(drop=True), y


def champion(frame: pd.DataFrame, y: npt.NDArray[Any], n_rows: int, metric: str) -> Any:
    """Fit a model on the first rows: a classifier for ``roc_auc``, otherwise a regression."""
    texts = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    model = HistGradientBoostingClassifier if metric == "roc_auc" else HistGradientBoostingRegressor
    steps = make_column_transformer((codes, texts), remainder="passthrough")
    return make_pipeline(steps, model(max_iter=60, random_state=0)).fit(frame[:n_rows], y[:n_rows])


def kinds_of(frame: pd.DataFrame) -> FeatureContract:
    """Return the columns by kind, as a contract has them."""
    kinds: dict[str, list[str]] = {"numeric": [], "categorical": [], "boolean": [], "dates": []}
    for name in frame:
        number = pd.api.types.is_numeric_dtype(frame[name]) and not pd.api.types.is_bool_dtype(frame[name])
        kinds["numeric" if number else "categorical"].append(str(name))
    return cast("FeatureContract", _Kinds(**{kind: tuple(names) for kind, names in kinds.items()}))


@dataclass(frozen=True)
class _Kinds:
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    boolean: tuple[str, ...]
    dates: tuple[str, ...]

    @property
    def raw_columns(self) -> tuple[str, ...]:
        return self.numeric + self.categorical
