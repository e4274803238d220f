"""Simulated credit applications with a known distribution and known drift; docs/simulator.md has the equations.

The data is bit-identical on every machine: values are computed from PCG64's uniform draws by + - * / and comparisons
only, which IEEE 754 rounds in the same way everywhere, one NumPy call each, so that no compiler fuses two of them.
Nonlinear functions (the normal quantile, exp) are tables whose knots are rounded far above the last bits, in which
mathematical libraries differ. Only the label's probability uses such a library: a difference in its last bits changes
about one label in 10**15.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, ndtri

from config.schema import SimulatedDrift, SimulatedSource

Floats = npt.NDArray[np.float64]
Columns = Mapping[str, npt.NDArray[Any]]
"""Columns by name; a categorical column as codes into its :data:`LEVELS`, -1 for missing."""

TARGET = "default_next_month"
LEVELS: dict[str, tuple[str, ...]] = {
    "region": ("north", "north_east", "east", "south_east", "south", "south_west", "west", "north_west"),
    "purpose": ("car", "debt_consolidation", "home_improvement", "furniture", "education", "medical", "other"),
    "housing": ("rent", "mortgage", "own"),
    "employment": ("unemployed", "temporary", "permanent", "self_employed", "retired"),
    "channel": ("branch", "online", "broker"),
}
NUMERIC = (
    "age",
    "income",
    "employment_years",
    "loan_amount",
    "loan_term_months",
    "interest_rate",
    "credit_utilisation",
    "n_open_accounts",
    "n_delinquencies",
    "months_since_delinquency",
    "savings",
    "debt_to_income",
)
COLUMNS = ("application_id", "application_date", *NUMERIC, *LEVELS, "has_guarantor", TARGET)

# Part of the definition of the data, not a tuning parameter: each block has its own random stream.
BLOCK_ROWS = 65_536

# Shares of the levels in percent (docs/simulator.md has the rest of P(x)); they sum to 100.
REGION_PERCENT = (18, 8, 14, 16, 13, 9, 15, 7)
PURPOSE_PERCENT = (25, 22, 18, 13, 8, 6, 8)
CHANNEL_PERCENT = (35, 45, 20)
HOUR_PERCENT = (1, 1, 0, 0, 0, 1, 1, 3, 5, 7, 8, 8, 7, 6, 7, 7, 7, 6, 6, 6, 5, 4, 3, 1)
TYPICAL_LOAN = np.array([14_000.0, 11_000.0, 16_000.0, 4_000.0, 9_000.0, 5_000.0, 6_000.0])  # by purpose
INCOME_FACTOR = np.array([0.55, 0.8, 1.0, 1.1, 0.75])  # by employment
TERMS_MONTHS = np.array([12, 24, 36, 48, 60, 72, 84])
SAVINGS_MISSING = np.array([0.03, 0.07, 0.20])  # by channel: brokers' forms skip the question

# Effects on the log-odds of default; the last entry of each array is the effect of a missing value.
INTERCEPT = -2.34
UTILISATION_SLOPE = 0.6
REGION_EFFECT = np.array([0.10, 0.05, 0.0, -0.10, -0.05, 0.0, -0.05, 0.15, 0.0])
PURPOSE_EFFECT = np.array([-0.15, 0.25, -0.10, 0.0, 0.10, 0.30, 0.05, 0.0])
HOUSING_EFFECT = np.array([0.20, 0.0, -0.25, 0.05])
EMPLOYMENT_EFFECT = np.array([0.65, 0.30, -0.10, 0.20, 0.0, 0.0])
CHANNEL_EFFECT = np.array([0.0, -0.05, 0.20, 0.0])


def simulate(source: SimulatedSource) -> Iterator[pd.DataFrame]:
    """Yield one frame per month, oldest first, so that memory holds one month at a time.

    Parameters
    ----------
    source
        First month, number of months, rows per month, seed, and the drifts.
    """
    return (simulate_month(source, month) for month in range(source.months))


def simulate_month(source: SimulatedSource, month: int) -> pd.DataFrame:
    """Simulate the applications of one month; they depend on no other month and not on ``source.months``.

    Parameters
    ----------
    source
        Parameters of the simulation.
    month
        Index of the month, 0 for the calendar month that holds ``source.start``.

    Returns
    -------
    pandas.DataFrame
        ``source.rows_per_month`` rows in order of arrival, with the columns :data:`COLUMNS`; the target is 0 or 1.

    Examples
    --------
    >>> frame = simulate_month(SimulatedSource(kind="simulated", rows_per_month=3), month=1)
    >>> list(frame["application_id"])
    ['A-2024-02-000001', 'A-2024-02-000002', 'A-2024-02-000003']
    """
    calendar = np.datetime64(source.start, "M") + month
    arrived = _arrivals(_stream(source.seed, month, 0), calendar, source.rows_per_month)
    rows = _accepted_rows(source, month)
    frame = {"application_id": _identifiers(calendar, len(arrived)), "application_date": arrived}
    frame |= {name: rows[name] for name in NUMERIC}
    frame |= {name: pd.array(levels, dtype="str").take(rows[name], allow_fill=True) for name, levels in LEVELS.items()}
    return pd.DataFrame(frame | {"has_guarantor": rows["has_guarantor"], TARGET: rows[TARGET]})


def default_probability(frame: pd.DataFrame, month: int, drifts: Sequence[SimulatedDrift]) -> Floats:
    """Compute the true probability of default of each row, given its features and the month: the known truth.

    Parameters
    ----------
    frame
        n rows with the feature columns of :func:`simulate_month`, or as read back from storage; a level that is not
        in :data:`LEVELS` counts as missing.
    month
        Index of the month, from 0, at which the probability is computed.
    drifts
        The drifts of the simulation. A covariate drift has no effect here: it changes features only.

    Returns
    -------
    numpy.ndarray
        Shape (n,), float64, between 0 and 1.
    """
    columns: dict[str, npt.NDArray[Any]] = {
        name: frame[name].to_numpy(dtype="float64", na_value=np.nan) for name in (*NUMERIC, "has_guarantor")
    }
    columns |= {name: pd.Index(levels).get_indexer(pd.Index(frame[name])) for name, levels in LEVELS.items()}
    log_odds = _log_odds(columns, _total_size(drifts, "concept", month)) + _total_size(drifts, "prior", month)
    return np.asarray(expit(log_odds))


def drift_size(drift: SimulatedDrift, month: int) -> float:
    """Return the size of a drift in a month: 0 before ``drift.month``, full size ``over_months`` later, linear between.

    Examples
    --------
    >>> drift = SimulatedDrift(kind="prior", month=6, over_months=2, size=0.9)
    >>> [round(drift_size(drift, month), 2) for month in (5, 6, 7, 8, 9)]
    [0.0, 0.3, 0.6, 0.9, 0.9]
    """
    share = (month - drift.month + 1) / (drift.over_months + 1)
    return drift.size * min(max(share, 0.0), 1.0)


def _total_size(drifts: Sequence[SimulatedDrift], kind: str, month: int) -> float:
    return sum(drift_size(drift, month) for drift in drifts if drift.kind == kind)


def _accepted_rows(source: SimulatedSource, month: int) -> Columns:
    """Draw blocks of labelled rows, thinned for the prior drift, until the month has its number of rows."""
    blocks: list[Columns] = []
    n_accepted = 0
    while n_accepted < source.rows_per_month:
        block = _block(source, month, len(blocks))
        blocks.append(block)
        n_accepted += len(block[TARGET])
    return {name: np.concatenate([block[name] for block in blocks])[: source.rows_per_month] for name in blocks[0]}


def _block(source: SimulatedSource, month: int, number: int) -> Columns:
    stream = _stream(source.seed, month, number + 1)
    draws = _Draws(stream, min(BLOCK_ROWS, source.rows_per_month))
    columns = _features(draws, _total_size(source.drifts, "covariate", month))
    log_odds = _log_odds(columns, _total_size(source.drifts, "concept", month))
    default = draws.uniform() < expit(log_odds)
    prior = _total_size(source.drifts, "prior", month)
    # Thinning one class by exp(-|prior|) multiplies the odds of default by exp(prior) and does not change P(x | y).
    keep = (default == (prior > 0)) | (draws.uniform() < math.exp(-abs(prior)))
    return {name: values[keep] for name, values in {**columns, TARGET: default.astype("int64")}.items()}


class _Draws:
    """Columns of independent draws from one stream; the order of the calls is part of the definition of the data."""

    def __init__(self, stream: np.random.Generator, n_rows: int) -> None:
        self._stream = stream
        self._n_rows = n_rows

    def uniform(self) -> Floats:
        return self._stream.random(self._n_rows)

    def normal(self) -> Floats:
        return _normal_quantile()(self.uniform())

    def correlated(self, latent: Floats) -> Floats:
        """Draw standard normals that correlate 0.6 with the latent factor (0.6² + 0.8² = 1)."""
        return 0.6 * latent + 0.8 * self.normal()

    def code(self, percent: Sequence[int]) -> npt.NDArray[np.int8]:
        codes: npt.NDArray[np.int8] = np.repeat(np.arange(len(percent), dtype="int8"), percent)
        return np.asarray(codes[(self.uniform() * 100).astype("int64")])


def _features(draws: _Draws, covariate: float) -> dict[str, npt.NDArray[Any]]:
    credit = draws.normal()  # the latent factor: the applicant's creditworthiness
    columns = _person(draws, credit)
    columns |= _loan(draws, credit, columns)
    columns |= _history(draws, credit, covariate)
    return columns | _means(draws, credit, covariate, columns)


def _person(draws: _Draws, credit: Floats) -> dict[str, npt.NDArray[Any]]:
    age = np.floor(42 + 12 * _normal_quantile()(0.03 + 0.96 * draws.uniform()))
    housing = np.searchsorted([-0.2, 0.6], 0.03 * (age - 42) + draws.correlated(credit)).astype("int8")
    housing[draws.uniform() < 0.01] = -1
    employment = _employment(draws, credit, age)
    tenure = draws.uniform()
    years = np.where(employment == 0, 0.0, np.round((age - 18) * (tenure * tenure), 1))
    years[draws.uniform() < 0.02] = np.nan
    return {
        "age": age.astype("int64"),
        "employment_years": years,
        "region": draws.code(REGION_PERCENT),
        "housing": housing,
        "employment": employment,
        "channel": draws.code(CHANNEL_PERCENT),
        "has_guarantor": draws.uniform() < np.where(credit < -0.5, 0.22, 0.08),
    }


def _employment(draws: _Draws, credit: Floats, age: Floats) -> npt.NDArray[np.int8]:
    code: npt.NDArray[np.int8] = np.searchsorted([-1.45, -0.75], draws.correlated(credit)).astype("int8")
    code[(code == 2) & (draws.uniform() < 0.13)] = 3
    code[age >= 65] = 4
    return code


def _loan(draws: _Draws, credit: Floats, person: Columns) -> dict[str, npt.NDArray[Any]]:
    purpose = draws.code(PURPOSE_PERCENT)
    wanted = TYPICAL_LOAN[purpose] * _exponential()(0.55 * draws.correlated(credit))
    amount = np.maximum(np.round(wanted, -2), 500.0)
    longer = np.floor(amount / 5_000) + np.floor(3 * draws.uniform())
    term = TERMS_MONTHS[np.minimum(longer, 6).astype("int64")]
    broker = np.where(person["channel"] == 2, 0.8, 0.0)
    rate = 7.5 - 1.3 * credit + 0.02 * (term - 48) + broker + 1.2 * draws.normal()
    return {
        "purpose": purpose,
        "loan_amount": amount,
        "loan_term_months": term,
        "interest_rate": np.round(np.maximum(rate, 1.9), 2),
    }


def _history(draws: _Draws, credit: Floats, covariate: float) -> dict[str, npt.NDArray[Any]]:
    odds = _exponential()(1.1 * (draws.correlated(-credit) + covariate) - 0.5)
    n_delinquencies = np.searchsorted([0.9, 1.5, 2.0, 2.5, 3.0, 3.5], draws.correlated(-credit))
    ago = draws.uniform()
    months = np.floor(72 * (ago * ago)) + 1
    return {
        "credit_utilisation": np.round(odds / (1 + odds), 3),
        "n_open_accounts": np.floor(1 + 2.5 * _exponential()(0.55 * draws.normal())).astype("int64"),
        "n_delinquencies": n_delinquencies,
        "months_since_delinquency": np.where(n_delinquencies > 0, months, np.nan),
    }


def _means(draws: _Draws, credit: Floats, covariate: float, known: Columns) -> dict[str, npt.NDArray[Any]]:
    earned = draws.correlated(credit)
    scale = 36_000 * INCOME_FACTOR[known["employment"]] * np.where(known["age"] < 25, 0.8, 1.0)
    income = np.round(scale * _exponential()(0.45 * (earned - covariate)), -1)
    # Existing debts were taken on before the drift, so they depend on the income without drift.
    other_debts = 0.14 * (scale / 12) * _exponential()(0.45 * earned + 0.6 * draws.normal())
    instalment = known["loan_amount"] / known["loan_term_months"]
    instalment = instalment + known["loan_amount"] * known["interest_rate"] / 2_400
    savings = np.round(4_000 * _exponential()(0.9 * draws.correlated(credit)), -1)
    savings[draws.uniform() < SAVINGS_MISSING[known["channel"]]] = np.nan
    ratio = (other_debts + instalment) / (income / 12)
    return {"income": income, "savings": savings, "debt_to_income": np.round(np.minimum(ratio, 5.0), 3)}


def _log_odds(columns: Columns, concept: float) -> Floats:
    """Compute the log-odds of default without prior drift: the equation of docs/simulator.md, line by line."""
    total = INTERCEPT + _means_effect(columns) + _loan_effect(columns) + _person_effect(columns)
    return total + _history_effect(columns, UTILISATION_SLOPE - concept)


def _person_effect(columns: Columns) -> Floats:
    age, years = columns["age"], columns["employment_years"]
    young_or_old = 0.035 * np.maximum(30 - age, 0) + 0.025 * np.maximum(age - 60, 0)
    tenure = np.where(np.isnan(years), -0.12, -0.4 * years / (years + 4))
    levels = REGION_EFFECT[columns["region"]] + HOUSING_EFFECT[columns["housing"]]
    levels = levels + EMPLOYMENT_EFFECT[columns["employment"]] + CHANNEL_EFFECT[columns["channel"]]
    return np.asarray(young_or_old + tenure + levels - 0.4 * columns["has_guarantor"])


def _means_effect(columns: Columns) -> Floats:
    savings, ratio = columns["savings"], columns["debt_to_income"]
    richness = np.clip(np.log(columns["income"] / 36_000) / 0.45, -3, 3)
    saved = np.where(np.isnan(savings), -0.15, -0.5 * savings / (savings + 4_000))
    return np.asarray(-0.3 * richness + saved + 1.5 * np.maximum(np.minimum(ratio, 1.2) - 0.35, 0))


def _loan_effect(columns: Columns) -> Floats:
    amount = columns["loan_amount"]
    size = 0.15 * np.log(amount / 10_000) + 0.006 * (columns["loan_term_months"] - 48)
    price = 0.06 * (columns["interest_rate"] - 7.5)
    insecure = (columns["employment"] == 0) | (columns["employment"] == 1)
    burden = np.clip(amount / columns["income"] - 0.3, 0, 1.2)
    return np.asarray(size + price + PURPOSE_EFFECT[columns["purpose"]] + 0.9 * insecure * burden)


def _history_effect(columns: Columns, slope: float) -> Floats:
    utilisation, months = columns["credit_utilisation"], columns["months_since_delinquency"]
    used = slope * (utilisation - 0.4) / 0.22 + 2.5 * np.maximum(utilisation - 0.85, 0)
    delinquent = 0.4 * np.minimum(columns["n_delinquencies"], 3)
    recent = np.where(np.isnan(months), 0.0, 0.7 * 12 / (12 + months))
    accounts = 0.05 * np.minimum(np.abs(columns["n_open_accounts"] - 4), 8)
    return np.asarray(used + delinquent + recent + accounts)


def _arrivals(stream: np.random.Generator, calendar: np.datetime64, n_rows: int) -> npt.NDArray[np.datetime64]:
    """Draw sorted times within a month, to the second, more by day than by night."""
    first = calendar.astype("datetime64[s]")
    n_days = ((calendar + 1).astype("datetime64[s]") - first) // np.timedelta64(1, "D")
    draws = _Draws(stream, n_rows)
    seconds = np.floor(draws.uniform() * n_days) * 86_400 + draws.code(HOUR_PERCENT) * 3_600.0
    seconds = np.sort(seconds + np.floor(draws.uniform() * 3_600))
    return np.asarray(first + seconds.astype("timedelta64[s]"), dtype="datetime64[us]")


def _identifiers(calendar: np.datetime64, n_rows: int) -> Any:
    number = np.arange(1, n_rows + 1)
    # Concatenating entries of two short tables is ten times as fast as formatting every number.
    thousands: Any = pd.array([f"A-{calendar}-{k:03d}" for k in range(n_rows // 1_000 + 1)], dtype="str")
    ones: Any = pd.array([f"{k:03d}" for k in range(1_000)], dtype="str")
    return thousands.take(number // 1_000) + ones.take(number % 1_000)


def _stream(seed: int, month: int, part: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(month, part))))


@dataclass(frozen=True, eq=False)
class _Curve:
    """A function given by equally spaced knots: linear between them, constant beyond them."""

    low: float
    per_unit: int
    knots: Floats

    @classmethod
    def of(cls, function: Callable[[Floats], Floats], low: float, high: float, per_unit: int, decimals: int) -> _Curve:
        places = low + np.arange(round((high - low) * per_unit) + 1) / per_unit
        return cls(low, per_unit, np.round(function(places), decimals))

    def __call__(self, values: Floats) -> Floats:
        # Not np.interp: its compiled formula may be fused into one rounding on some processors.
        position = np.clip((values - self.low) * self.per_unit, 0, len(self.knots) - 1)
        cell = np.minimum(position.astype("int64"), len(self.knots) - 2)
        rise = np.diff(self.knots)[cell]
        return np.asarray(self.knots[cell] + (position - cell) * rise)


@cache
def _normal_quantile() -> _Curve:
    """Return the quantile function of the standard normal; its outermost cells end at ±4, which keeps their mean."""
    return _Curve.of(lambda share: np.clip(ndtri(share), -4.0, 4.0), 0, 1, per_unit=4096, decimals=6)


@cache
def _exponential() -> _Curve:
    return _Curve.of(np.exp, -10, 10, per_unit=64, decimals=6)
