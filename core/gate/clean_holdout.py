"""The clean holdout: the holdout rows that neither champion nor challenger has trained on."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from config.schema import ModelConfig
from core.data.rolling_origin import Indices
from core.data.rows import Rows
from core.data.seen_rows import SeenRows, identities
from core.data.split import Hashes, Split
from core.feature_contract import FeatureContract
from core.gate.decision import HoldoutFacts
from core.gate.looks import HoldoutSketch

MIN_PER_CLASS = 10
"""Fewest clean rows of each of two classes; with fewer, the order of a few rows decides the metric."""


@dataclass(frozen=True, eq=False)
class CleanHoldout:
    """Holdout rows that neither model has trained on.

    Parameters
    ----------
    rows
        Positions in the frame, ascending.
    facts
        Numbers of clean and removed rows, why rows were removed, and whether the clean rows are enough.
    sketch
        For counting later looks at the same rows.
    """

    rows: Indices
    facts: HoldoutFacts
    sketch: HoldoutSketch


def clean_holdout(
    rows: Rows,
    split: Split,
    y: npt.NDArray[Any],
    contract: FeatureContract,
    config: ModelConfig,
    *,
    challenger: SeenRows,
    challenger_contents: Hashes,
    champion: SeenRows | None = None,
    champion_contents: Hashes | None = None,
) -> CleanHoldout:
    """Take the holdout's rows that neither model has trained on.

    ``gate.min_rows`` are enough; a classifier also needs ten rows of each of two classes. The number needed is in
    clean rows; where a class has too few, it is computed from the class's share of the clean rows.

    Parameters
    ----------
    rows
        The labelled rows.
    split
        Split of these rows by ``config``.
    y
        Encoded target of all rows, shape (n_rows,): class codes, int64; regression: numbers, float64.
    contract
        Task and classes of the rows.
    config
        The model file.
    challenger, champion
        Hashes of the rows that each was trained on; champion None if there is none yet.
    challenger_contents, champion_contents
        Hashes of the holdout's rows over each model's own features, in the split's order, from
        :func:`core.data.split.feature_hashes` of a frame that has them in that model's kinds. Where the model file has
        changed since and names no key, the declared columns and with them a row's identity have changed; then only
        its content shows that it was trained on.
    """
    held = identities(rows, config)[split.holdout]
    by_challenger = challenger.holds(held, challenger_contents)
    by_champion = np.zeros(len(held), dtype=bool)
    if champion is not None:
        by_champion = champion.holds(held, champion_contents)
    clean = ~(by_challenger | by_champion)
    tally = _Tally(
        n_rows=int(clean.sum()),
        n_holdout=len(held),
        by_champion=int(by_champion.sum()),
        by_challenger=int(by_challenger.sum()),
        has_champion=champion is not None,
        champion_is_newer=_champion_is_newer(rows, split, config, by_champion),
        scarce=_scarce_class(y[split.holdout], clean, contract),
    )
    return CleanHoldout(split.holdout[clean], _facts(tally, split, config, held[clean]), HoldoutSketch.of(held[clean]))


@dataclass(frozen=True)
class _ScarceClass:
    """The second most frequent class: a comparison needs two.

    ``share`` counts one row where there is none, so the rows needed are always more than there are.
    """

    label: str
    n_rows: int
    share: float


@dataclass(frozen=True)
class _Tally:
    n_rows: int
    n_holdout: int
    by_champion: int
    by_challenger: int
    has_champion: bool
    champion_is_newer: bool
    scarce: _ScarceClass | None

    @property
    def lacks_a_class(self) -> bool:
        return self.scarce is not None and self.scarce.n_rows < MIN_PER_CLASS

    def n_needed(self, min_rows: int) -> int:
        if self.scarce is None or not self.lacks_a_class:
            return min_rows
        return max(min_rows, math.ceil(MIN_PER_CLASS / self.scarce.share))


def _champion_is_newer(rows: Rows, split: Split, config: ModelConfig, by_champion: npt.NDArray[np.bool_]) -> bool:
    """Return whether the champion was trained on the newest rows of this holdout, so on data that end later."""
    if config.time is None or split.boundary is None or not by_champion.any():
        return False
    times = rows.frame[config.time].to_numpy(dtype="datetime64[us]")[split.holdout]
    return bool(by_champion[times == times.max()].all())


def _scarce_class(y: npt.NDArray[Any], clean: npt.NDArray[np.bool_], contract: FeatureContract) -> _ScarceClass | None:
    if not contract.classes:
        return None
    counts = np.bincount(y[clean], minlength=len(contract.classes))
    # Without a clean row, the class frequencies of the whole holdout are used.
    sample = counts if clean.any() else np.bincount(y, minlength=len(contract.classes))
    code = int(np.argsort(-sample, kind="stable")[1])
    return _ScarceClass(contract.classes[code], int(counts[code]), max(1, int(sample[code])) / max(1, sample.sum()))


def _facts(tally: _Tally, split: Split, config: ModelConfig, held: Hashes) -> HoldoutFacts:
    needed = tally.n_needed(config.gate.min_rows)
    enough = tally.n_rows >= needed
    return HoldoutFacts(
        n_rows=tally.n_rows,
        n_holdout=tally.n_holdout,
        n_seen_by_champion=tally.by_champion,
        n_seen_by_challenger=tally.by_challenger,
        n_needed=needed,
        enough=enough,
        reason=_counted(tally) if enough else f"{_counted(tally)}; {_shortage(tally, needed, split, config)}",
        rule=split.rule,
        fingerprint=hashlib.sha256(np.sort(held).astype("<u8").tobytes()).hexdigest(),
        champion_is_newer=tally.champion_is_newer,
    )


def _counted(tally: _Tally) -> str:
    seen = (("champion", tally.by_champion), ("challenger", tally.by_challenger))
    removed = " and ".join(f"{count:,} that the {name} has trained on" for name, count in seen if count)
    if removed:
        return f"{tally.n_rows:,} of {tally.n_holdout:,} holdout rows are clean; removed: {removed}"
    who = "neither model has" if tally.has_champion else "the challenger has not"
    return f"all {tally.n_holdout:,} holdout rows are clean: {who} trained on any of them"


def _shortage(tally: _Tally, needed: int, split: Split, config: ModelConfig) -> str:
    lack = f"{needed:,} are needed"
    if tally.champion_is_newer:
        return f"{lack}; the champion was trained on newer data than these rows"
    if tally.scarce is not None and tally.lacks_a_class:
        lack = (
            f"{tally.scarce.n_rows} of them are of class {tally.scarce.label!r} and {MIN_PER_CLASS} are needed, "
            f"which takes about {_rounded_up(needed):,} clean rows"
        )
    more = _rounded_up(math.ceil((needed - tally.n_rows) / config.training.holdout))
    advice = f"add about {more:,} more labelled rows"
    if tally.by_champion and split.boundary is None:
        # A split by hash never moves a row, so a champion has trained on holdout rows only if these settings differed.
        advice += ", or train with the training.seed and training.holdout that the champion was trained with"
    return f"{lack}; {advice}"


def _rounded_up(number: int) -> int:
    """Two leading digits: the estimate is not more precise than that."""
    unit: int = 10 ** max(0, len(str(number)) - 2)
    return math.ceil(number / unit) * unit
