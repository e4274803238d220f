"""Streams whose change point is known: generators of the literature, and public data sets in time order.

The generators are written from their papers; the same rows are given to every detector. A change is *abrupt* (all rows
after the change point are of the new concept) or *gradual* (over :data:`WIDTH` rows). SEA and LED change gradually as a
mixture, in which the probability of the new concept rises linearly; the hyperplane rotates.

The public data sets have an earlier and a later period. Rows of the earlier one are shuffled, so that the training
rows, the holdout and the rows before the change point are of one distribution; rows of the later one follow in time
order.

References
----------
Street & Kim (2001), A streaming ensemble algorithm (SEA) for large-scale classification, KDD, 377-382.
Hulten, Spencer & Domingos (2001), Mining time-changing data streams, KDD, 97-106 (rotating hyperplane).
Breiman, Friedman, Olshen & Stone (1984), Classification and Regression Trees, section 2.6 (digits of a display, LED).
Bifet, Holmes, Kirkby & Pfahringer (2010), MOA: Massive Online Analysis, JMLR 11, 1601-1604 (LED with drift: attributes
that matter change places with others).
Gama, Zliobaite, Bifet, Pechenizkiy & Bouchachia (2014), A survey on concept drift adaptation, ACM Computing Surveys 46
(kinds of change).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.feature_contract import FeatureContract
from core.metrics.metrics import Floats

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

TRAIN, HOLDOUT, BEFORE, AFTER, QUIET = 4_000, 2_000, 4_000, 6_000, 10_000
"""Rows of the training, of the holdout, before and after a change, and of a stream without change."""

OFFSET = 1_000
"""The change point is delayed by a random number of rows below this, so that it has no fixed place in a window."""

WIDTH = 3_000
"""Rows from the beginning to the end of a gradual change."""

Kind = Literal["none", "abrupt", "gradual"]

DIGITS = np.array(
    [
        [1, 1, 1, 0, 1, 1, 1],
        [0, 0, 1, 0, 0, 1, 0],
        [1, 0, 1, 1, 1, 0, 1],
        [1, 0, 1, 1, 0, 1, 1],
        [0, 1, 1, 1, 0, 1, 0],
        [1, 1, 0, 1, 0, 1, 1],
        [1, 1, 0, 1, 1, 1, 1],
        [1, 0, 1, 0, 0, 1, 0],
        [1, 1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 0, 1, 1],
    ]
)
"""Segments of a display by digit: top, upper left, upper right, middle, lower left, lower right, bottom."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Features, and encoded targets, shape (n,)."""

    frame: pd.DataFrame
    y: npt.NDArray[Any]

    def part(self, start: int, stop: int) -> Rows:
        """Return the rows from ``start`` to before ``stop``."""
        return Rows(self.frame.iloc[start:stop].reset_index(drop=True), self.y[start:stop])

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False)
class Stream:
    """A champion's training rows and holdout, and the rows that follow.

    Parameters
    ----------
    change
        Number of rows before the first row of the change; None for a stream without change.
    """

    name: str
    kind: Kind
    contract: FeatureContract
    train: Rows
    holdout: Rows
    rows: Rows
    change: int | None


Generator = np.random.Generator
Draw = Callable[[Floats, Generator], Rows]
"""Draws one row for each value of the progress of the change, 0 (old concept) to 1 (new concept)."""


def sea(generator: Generator) -> Draw:
    """Return SEA: three uniform attributes on 0 to 10, positive if the first two sum to at most a threshold.

    10 % of the labels are inverted, as in the paper. The threshold is 9, then 7: its second and third concept.
    """
    del generator

    def draw(progress: Floats, rng: Generator) -> Rows:
        X = rng.uniform(0, 10, (len(progress), 3))
        threshold = np.where(rng.random(len(progress)) < progress, 7.0, 9.0)
        positive = X[:, 0] + X[:, 1] <= threshold
        return Rows(_numbered(X), (positive ^ (rng.random(len(X)) < 0.1)).astype("int64"))

    return draw


def hyperplane(generator: Generator) -> Draw:
    """Return the rotating hyperplane: ten uniform attributes, positive on one side; 5 % of the labels are inverted.

    The weights are uniform; those of five attributes turn to one minus their value. The plane halves the cube all the
    time, so that the share of positives stays one half.
    """
    old = generator.random(10)
    new = np.where(np.arange(10) < 5, 1 - old, old)

    def draw(progress: Floats, rng: Generator) -> Rows:
        X = rng.random((len(progress), 10))
        weights = old + progress[:, None] * (new - old)
        positive = (X * weights).sum(axis=1) >= weights.sum(axis=1) / 2
        return Rows(_numbered(X), (positive ^ (rng.random(len(X)) < 0.05)).astype("int64"))

    return draw


def led(generator: Generator) -> Draw:
    """Return LED: the segments of a digit, each inverted with 10 %, and 17 attributes without meaning.

    After the change, three of the seven segments have changed places with attributes without meaning.
    """
    moved, to = generator.permutation(7)[:3], 7 + generator.permutation(17)[:3]
    places = np.arange(24)
    places[moved], places[to] = to, moved

    def draw(progress: Floats, rng: Generator) -> Rows:
        y = rng.integers(0, 10, len(progress))
        segments = DIGITS[y] ^ (rng.random((len(y), 7)) < 0.1)
        X = np.column_stack([segments, rng.random((len(y), 17)) < 0.5]).astype("float64")
        new = rng.random(len(y)) < progress
        return Rows(_numbered(np.where(new[:, None], X[:, places], X)), y)

    return draw


def made_stream(name: str, make: Callable[[Generator], Draw], classes: int, kind: Kind, seed: int) -> Stream:
    """Draw a stream of a generator.

    Parameters
    ----------
    name
        Of the generator, for tables.
    make
        The generator.
    classes
        Number of its classes.
    kind
        How it changes.
    seed
        The same seed gives the same rows.
    """
    rng = np.random.default_rng(seed)
    draw = make(rng)
    before = QUIET if kind == "none" else BEFORE + int(rng.integers(OFFSET))
    change = None if kind == "none" else before
    n_rows = before + (0 if kind == "none" else AFTER)
    train, holdout, rows = (
        draw(one, rng) for one in (np.zeros(TRAIN), np.zeros(HOLDOUT), progress(n_rows, change, kind))
    )
    labels = tuple(str(code) for code in range(classes))
    return Stream(name, kind, contract(train.frame, labels), train, holdout, rows, change)


def progress(n_rows: int, change: int | None, kind: Kind) -> Floats:
    """Return how far the change is at each row, shape (n_rows,), 0 to 1."""
    if change is None:
        return np.zeros(n_rows)
    past = np.arange(n_rows) - change
    return (past >= 0).astype("float64") if kind == "abrupt" else np.clip((past + 1) / WIDTH, 0.0, 1.0)


def bank(kind: Kind, seed: int) -> Stream:
    """Return the bank's calls: May to August 2008, then from October 2008, the month of the financial crisis, on."""
    found = pd.read_parquet(SHARED / "bank_marketing" / "ready.parquet")
    early = found["event_month"] < pd.Timestamp("2008-09-01")
    # The duration of a call is known with its result; the month is the time itself.
    known = found.drop(columns=["duration", "month", "event_month", "target"])
    frame = known.rename(columns=lambda name: name.replace(".", "_"))
    return _public_stream(
        "bank marketing", frame, found["target"], early, ("0", "1"), kind, seed, (6_000, 2_000, 4_000)
    )


def bike(kind: Kind, seed: int) -> Stream:
    """Return the hourly rentals: 2011, then 2012, when the scheme had grown (a regression)."""
    found = pd.read_parquet(SHARED / "bike_sharing" / "ready.parquet")
    used = ["mnth", "hr", "holiday", "weekday", "workingday", "weathersit", "temp", "atemp", "hum", "windspeed"]
    frame = found[used].astype("float64")
    return _public_stream(
        "bike sharing", frame, found["target"], found["yr"] == 0, (), kind, seed, (3_000, 1_500, 2_000)
    )


def _public_stream(
    name: str,
    frame: pd.DataFrame,
    target: pd.Series[Any],
    early: pd.Series[bool],
    classes: tuple[str, ...],
    kind: Kind,
    seed: int,
    sizes: tuple[int, int, int],
) -> Stream:
    rng = np.random.default_rng(seed)
    y = target.to_numpy("int64" if classes else "float64")
    first = rng.permutation(np.flatnonzero(early.to_numpy()))
    n_train, n_holdout, n_before = sizes
    start, before = n_train + n_holdout, n_before + int(rng.integers(OFFSET))
    after = np.flatnonzero(~early.to_numpy())[:AFTER]
    rest = first[start:] if kind == "none" else np.concatenate([first[start : start + before], after])
    train, holdout, rows = (
        Rows(frame.iloc[at].reset_index(drop=True), y[at]) for at in (first[:n_train], first[n_train:start], rest)
    )
    change = None if kind == "none" else min(before, len(first) - start)
    return Stream(name, kind, contract(frame, classes), train, holdout, rows, change)


def contract(frame: pd.DataFrame, classes: tuple[str, ...]) -> FeatureContract:
    """Return the contract of a frame: its numbers, and its texts as categories."""
    names = list(map(str, frame))
    numeric = tuple(name for name in names if pd.api.types.is_numeric_dtype(frame[name]))
    task = "regression" if not classes else "binary" if len(classes) == 2 else "multiclass"
    texts = tuple(name for name in names if name not in numeric)
    return FeatureContract(task, "target", classes, numeric, texts, (), ())


def _numbered(X: Floats) -> pd.DataFrame:
    return pd.DataFrame(X, columns=[f"x{place}" for place in range(X.shape[1])])


GENERATORS: dict[str, tuple[Callable[[Generator], Draw], int]] = {
    "SEA": (sea, 2),
    "hyperplane": (hyperplane, 2),
    "LED": (led, 10),
}
PUBLIC: dict[str, Callable[[Kind, int], Stream]] = {"bank marketing": bank, "bike sharing": bike}
KINDS: dict[str, tuple[Kind, ...]] = {
    **dict.fromkeys(GENERATORS, ("none", "abrupt", "gradual")),
    **dict.fromkeys(PUBLIC, ("none", "abrupt")),
}


def stream(name: str, kind: Kind, seed: int) -> Stream:
    """Return a stream by name: of a generator, or of a public data set."""
    if name in PUBLIC:
        return PUBLIC[name](kind, seed)
    make, classes = GENERATORS[name]
    return made_stream(name, make, classes, kind, seed)
