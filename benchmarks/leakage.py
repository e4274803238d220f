"""How often `perennial init` remarks on columns that are known only after the target, with leakage and without.

Each kind of data set is made with five seeds and two sizes. *Found* counts the sets in which each leaking group has a
column that is named in a remark or left out; *false* counts the sets in which another column is. Prints Markdown.

    python -m benchmarks.leakage
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import cross_val_predict

from config.settings import Settings
from tasks.init.model_file import init_model

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SEEDS = range(200, 205)
"""Not those on which the bounds were chosen."""

SIZES = (1_000, 10_000)
Random = np.random.Generator


@dataclass(frozen=True)
class LeakageSet:
    """Rows with a target ``y``.

    Parameters
    ----------
    frame
        The rows.
    leaks
        Groups of columns that leak: one of each group must be named.
    """

    frame: pd.DataFrame
    leaks: tuple[frozenset[str], ...] = ()

    @property
    def leaking(self) -> frozenset[str]:
        """All columns that leak."""
        return frozenset().union(*self.leaks)


def _groups(*groups: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(group.split()) for group in groups)


def flight_rows(rng: Random, n_rows: int) -> pd.DataFrame:
    """Make flights: plan, actual times, elapsed minutes and the delay at arrival in minutes."""
    scheduled = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 366 * 1440, n_rows), unit="min")
    distance = rng.integers(150, 2600, n_rows)
    planned = (30 + distance / 7.5).round()
    late_start = np.where(rng.random(n_rows) < 0.6, rng.normal(-3, 4, n_rows), rng.exponential(30, n_rows)).round()
    elapsed = (planned + rng.normal(-5, 12, n_rows)).round()
    arrival = scheduled + pd.to_timedelta(late_start + elapsed, unit="min")
    return pd.DataFrame(
        {
            "carrier": rng.choice(list("ABCDE"), n_rows),
            "distance": distance,
            "scheduled_departure": scheduled,
            "scheduled_arrival": scheduled + pd.to_timedelta(planned, unit="min"),
            "planned_elapsed": planned,
            "actual_departure": scheduled + pd.to_timedelta(late_start, unit="min"),
            "actual_arrival": arrival,
            "elapsed": elapsed,
            "y": late_start + elapsed - planned,
        }
    )


def flight_times(rng: Random, n_rows: int) -> LeakageSet:
    """Keep the arrival and the scheduled one, as dates."""
    rows = flight_rows(rng, n_rows)[["carrier", "distance", "scheduled_arrival", "actual_arrival", "y"]]
    return LeakageSet(rows, _groups("scheduled_arrival actual_arrival"))


def flight_clocks(rng: Random, n_rows: int) -> LeakageSet:
    """Give the same arrivals as times of day, such as 1745."""
    rows = flight_times(rng, n_rows).frame
    for name in ("scheduled_arrival", "actual_arrival"):
        rows[name] = rows[name].dt.hour * 100 + rows[name].dt.minute
    return LeakageSet(rows, _groups("scheduled_arrival actual_arrival"))


def late_flights(rng: Random, n_rows: int) -> LeakageSet:
    """Make two classes: later than a quarter of an hour, or not."""
    found = flight_times(rng, n_rows)
    return LeakageSet(found.frame.assign(y=(found.frame["y"] > 15).astype(int)), found.leaks)


def flight_classes(rng: Random, n_rows: int) -> LeakageSet:
    """Make three classes: early, in time, late."""
    found = flight_times(rng, n_rows)
    bands = pd.cut(found.frame["y"], [-np.inf, -10, 15, np.inf], labels=["early", "in time", "late"])
    return LeakageSet(found.frame.assign(y=bands.astype(str)), found.leaks)


def flight_elapsed(rng: Random, n_rows: int) -> LeakageSet:
    """Keep the elapsed minutes without the planned ones: they explain a part of the delay."""
    rows = flight_rows(rng, n_rows)[["carrier", "distance", "elapsed", "y"]]
    return LeakageSet(rows, _groups("elapsed"))


def flight_parts(rng: Random, n_rows: int) -> LeakageSet:
    """Keep three columns of numbers that make up the delay."""
    rows = flight_rows(rng, n_rows)
    rows["departure_delay"] = (rows["actual_departure"] - rows["scheduled_departure"]).dt.total_seconds() / 60
    rows = rows[["carrier", "distance", "planned_elapsed", "departure_delay", "elapsed", "y"]]
    return LeakageSet(rows, _groups("departure_delay distance planned_elapsed", "elapsed"))


def late_parts(rng: Random, n_rows: int) -> LeakageSet:
    """Make two classes of the same three columns."""
    found = flight_parts(rng, n_rows)
    return LeakageSet(found.frame.assign(y=(found.frame["y"] > 15).astype(int)), _groups(" ".join(found.leaking)))


def recoveries(rng: Random, n_rows: int) -> LeakageSet:
    """Add amounts that half of the defaulted loans have, and no other loan."""
    frame = _classes(rng, n_rows)
    paid = np.where((frame["y"] == 1) & (rng.random(n_rows) < 0.5), rng.lognormal(5, 1, n_rows).round(2), 0.0)
    return LeakageSet(frame.assign(v17=paid), _groups("v17"))


def taxi(rng: Random, n_rows: int) -> LeakageSet:
    """Make trips with the time of drop-off, and their duration in minutes."""
    pickup = pd.Timestamp("2024-03-01") + pd.to_timedelta(rng.integers(0, 30 * 86_400, n_rows), unit="s")
    distance = rng.lognormal(0.8, 0.7, n_rows).round(2)
    seconds = (distance * rng.lognormal(5.3, 0.35, n_rows) + 60).round()
    frame = pd.DataFrame({"pickup_datetime": pickup, "passengers": rng.integers(1, 6, n_rows), "distance": distance})
    frame["dropoff_datetime"] = pickup + pd.to_timedelta(seconds, unit="s")
    return LeakageSet(frame.assign(y=(seconds / 60).round(2)), _groups("dropoff_datetime pickup_datetime"))


def taxi_gaps(rng: Random, n_rows: int) -> LeakageSet:
    """Leave out a third of the drop-offs."""
    found = taxi(rng, n_rows)
    found.frame.loc[rng.random(n_rows) < 1 / 3, "dropoff_datetime"] = pd.NaT
    return found


def speed(rng: Random, n_rows: int) -> LeakageSet:
    """Add the mean speed of trips: distance divided by it is the duration."""
    rows = taxi(rng, n_rows).frame
    rows["mean_speed"] = (rows["distance"] / rows["y"] * 60).round(3)
    return LeakageSet(rows.drop(columns="dropoff_datetime"), _groups("mean_speed distance"))


def _customers(rng: Random, n_rows: int) -> pd.DataFrame:
    frame = pd.DataFrame(rng.normal(size=(n_rows, 8)).round(4), columns=[f"m{i}" for i in range(8)])
    frame["region"] = rng.choice(list("abcdef"), n_rows)
    frame["signal"] = frame["m0"] + 0.7 * frame["m1"] - 0.5 * frame["m2"] * (frame["region"] < "c")
    return frame


def _classes(rng: Random, n_rows: int) -> pd.DataFrame:
    frame = _customers(rng, n_rows)
    chance = 1 / (1 + np.exp(-(1.5 * frame.pop("signal") - 1)))
    return frame.assign(y=(rng.random(n_rows) < chance).astype(int))


def _amounts(rng: Random, n_rows: int) -> pd.DataFrame:
    frame = _customers(rng, n_rows)
    return frame.assign(y=(np.exp(3 + 0.5 * frame.pop("signal") + 0.2 * rng.normal(size=n_rows))).round(2))


def named_scores(rng: Random, n_rows: int) -> LeakageSet:
    """Add out-of-fold scores of an earlier model, as log odds, in a column with a telling name."""
    frame = _classes(rng, n_rows)
    scores = _earlier_model(frame)
    return LeakageSet(frame.assign(model_score=np.log(scores / (1 - scores)).round(4)), _groups("model_score"))


def unnamed_probabilities(rng: Random, n_rows: int) -> LeakageSet:
    """Add the same as probabilities, in a column whose name means nothing."""
    frame = _classes(rng, n_rows)
    return LeakageSet(frame.assign(v17=_earlier_model(frame).round(4)), _groups("v17"))


def unnamed_forecasts(rng: Random, n_rows: int) -> LeakageSet:
    """Add predictions of an amount, in a column whose name means nothing."""
    frame = _amounts(rng, n_rows)
    return LeakageSet(frame.assign(v17=_earlier_model(frame).round(2)), _groups("v17"))


def _earlier_model(frame: pd.DataFrame) -> Any:
    X = frame[[f"m{i}" for i in range(8)]]
    if frame["y"].nunique() == 2:
        model = HistGradientBoostingClassifier(max_iter=60, learning_rate=0.08, max_leaf_nodes=8)
        return cross_val_predict(model, X, frame["y"], cv=5, method="predict_proba")[:, 1].clip(0.001, 0.999)
    return cross_val_predict(HistGradientBoostingRegressor(max_iter=60), X, frame["y"], cv=5)


def totals(rng: Random, n_rows: int) -> LeakageSet:
    """Make bills: the target is one item, beside the total and the other item."""
    frame = _amounts(rng, n_rows)
    frame["base"] = rng.lognormal(5, 1, n_rows).round(2)
    return LeakageSet(frame.assign(billed=(frame["base"] + frame["y"]).round(2)), _groups("billed base"))


def lone_total(rng: Random, n_rows: int) -> LeakageSet:
    """Add the total alone, named so, without the other items."""
    frame = _amounts(rng, n_rows)
    other = rng.lognormal(2, 1, n_rows)
    return LeakageSet(frame.assign(total_amount=(frame["y"] + other).round(2)), _groups("total_amount"))


def units(rng: Random, n_rows: int) -> LeakageSet:
    """Add the target in other units, rounded."""
    frame = _amounts(rng, n_rows)
    return LeakageSet(frame.assign(local=(frame["y"] * 1.09 + 3).round(1)), _groups("local"))


def currencies(rng: Random, n_rows: int) -> LeakageSet:
    """Add the target in a currency that another column names."""
    frame = _amounts(rng, n_rows)
    rates = {"EUR": 0.92, "JPY": 151.0, "INR": 83.0, "GBP": 0.79}
    frame["currency"] = rng.choice(list(rates), n_rows)
    local = (frame["y"] * frame["currency"].map(rates)).round(2)
    return LeakageSet(frame.assign(local=local), _groups("local currency"))


def labels(rng: Random, n_rows: int) -> LeakageSet:
    """Add labels made of the target: a class above a bound, and bands."""
    frame = _amounts(rng, n_rows)
    frame["large"] = np.where(frame["y"] > frame["y"].quantile(0.85), "yes", "no")
    frame["band"] = pd.cut(frame["y"], [0, 10, 20, 40, np.inf], labels=list("ABCD")).astype(str)
    return LeakageSet(frame, _groups("large", "band"))


def honest_classes(rng: Random, n_rows: int) -> LeakageSet:
    """Make strong features of two classes."""
    return LeakageSet(_classes(rng, n_rows))


def honest_amounts(rng: Random, n_rows: int) -> LeakageSet:
    """Make strong features of an amount."""
    return LeakageSet(_amounts(rng, n_rows))


def honest_wide(rng: Random, n_rows: int) -> LeakageSet:
    """Add 200 columns of noise."""
    noise = pd.DataFrame(rng.normal(size=(n_rows, 200)).round(3), columns=[f"n{i}" for i in range(200)])
    return LeakageSet(pd.concat([noise, _classes(rng, n_rows)], axis=1))


def honest_rare(rng: Random, n_rows: int) -> LeakageSet:
    """Make a class of 3 % of the rows."""
    frame = _customers(rng, n_rows)
    chance = 1 / (1 + np.exp(-(1.5 * frame.pop("signal") - 5)))
    return LeakageSet(frame.assign(y=(rng.random(n_rows) < chance).astype(int)))


def strong_feature(rng: Random, n_rows: int) -> LeakageSet:
    """Make one feature that explains most: an AUC of 0.95."""
    frame = _customers(rng, n_rows)
    frame["y"] = (frame.pop("signal") * 0.2 + 2.2 * frame["m3"] + rng.normal(size=n_rows) > 1).astype(int)
    return LeakageSet(frame)


def honest_dates(rng: Random, n_rows: int) -> LeakageSet:
    """Make two dates known beforehand, whose difference (a tenure) is the strongest feature."""
    frame = _customers(rng, n_rows)
    tenure = rng.exponential(700, n_rows).round()
    applied = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 366, n_rows), unit="D")
    frame["applied"], frame["opened"] = applied, applied - pd.to_timedelta(tenure, unit="D")
    logit = 1.2 * frame.pop("signal") - tenure / 500
    return LeakageSet(frame.assign(y=(rng.random(n_rows) < 1 / (1 + np.exp(-logit))).astype(int)))


def honest_lags(rng: Random, n_rows: int) -> LeakageSet:
    """Make demand with the demand of the day before and of the week before."""
    noise, demand = rng.normal(size=n_rows + 7), np.zeros(n_rows + 7)
    for day in range(1, n_rows + 7):
        demand[day] = 0.9 * demand[day - 1] + noise[day]
    frame = pd.DataFrame({"lag_1": demand[6:-1], "lag_7": demand[:-7], "y": demand[7:]}).round(3)
    return LeakageSet(frame.assign(promotion=rng.integers(0, 2, n_rows), weather=rng.normal(size=n_rows)))


def honest_names(rng: Random, n_rows: int) -> LeakageSet:
    """Give ordinary features names that could mean leakage."""
    frame = _classes(rng, n_rows)
    names = {"m0": "credit_score", "m1": "previous_result", "m3": "contract_end", "m4": "total_visits"}
    return LeakageSet(frame.rename(columns=names))


def interaction(rng: Random, n_rows: int) -> LeakageSet:
    """Make two features that only together explain the target, with noise."""
    frame = _customers(rng, n_rows).drop(columns="signal")
    noise = 0.6 * rng.normal(size=n_rows)
    return LeakageSet(frame.assign(y=(frame["m0"] * frame["m1"] + noise > 0).astype(int)))


def area_price(rng: Random, n_rows: int) -> LeakageSet:
    """Make prices by area and rate of the district, with the usual noise."""
    frame = _customers(rng, n_rows).drop(columns="signal")
    frame["area"], frame["rate"] = rng.lognormal(4.4, 0.4, n_rows).round(1), rng.lognormal(8, 0.4, n_rows).round()
    return LeakageSet(frame.assign(y=(frame["area"] * frame["rate"] * rng.lognormal(0, 0.2, n_rows)).round(-2)))


def hypercube(rng: Random, n_rows: int) -> LeakageSet:
    """Make scikit-learn's clusters of two classes in four dimensions, beside six redundant and noisy columns."""
    X, y = datasets.make_classification(
        n_rows, 10, n_informative=4, n_redundant=3, class_sep=1.5, random_state=int(rng.integers(1 << 30))
    )
    return LeakageSet(pd.DataFrame(X.round(4), columns=[f"m{i}" for i in range(10)]).assign(y=y))


def friedman(rng: Random, n_rows: int) -> LeakageSet:
    """Make Friedman's first function, of five columns of ten."""
    X, y = datasets.make_friedman1(n_rows, 10, noise=1.0, random_state=int(rng.integers(1 << 30)))
    return LeakageSet(pd.DataFrame(X.round(4), columns=[f"m{i}" for i in range(10)]).assign(y=y.round(3)))


def impedance(rng: Random, n_rows: int) -> LeakageSet:
    """Make Friedman's second function: physics of four columns, with noise."""
    X, y = datasets.make_friedman2(n_rows, noise=50.0, random_state=int(rng.integers(1 << 30)))
    return LeakageSet(pd.DataFrame(X.round(4), columns=["r", "w", "l", "c"]).assign(y=y.round(2)))


def rings(rng: Random, n_rows: int) -> LeakageSet:
    """Make three classes by distance from the origin in ten dimensions."""
    X, y = datasets.make_gaussian_quantiles(
        n_samples=n_rows, n_features=10, n_classes=3, random_state=int(rng.integers(1 << 30))
    )
    return LeakageSet(pd.DataFrame(X.round(4), columns=[f"m{i}" for i in range(10)]).assign(y=y))


LEAKING: tuple[Callable[[Random, int], LeakageSet], ...] = (
    flight_times,
    flight_clocks,
    late_flights,
    flight_classes,
    flight_elapsed,
    flight_parts,
    late_parts,
    recoveries,
    taxi,
    taxi_gaps,
    speed,
    named_scores,
    unnamed_probabilities,
    unnamed_forecasts,
    totals,
    lone_total,
    units,
    currencies,
    labels,
)
HONEST: tuple[Callable[[Random, int], LeakageSet], ...] = (
    honest_classes,
    honest_amounts,
    honest_wide,
    honest_rare,
    strong_feature,
    honest_dates,
    honest_lags,
    honest_names,
    interaction,
    area_price,
    hypercube,
    friedman,
    impedance,
    rings,
)


def named_columns(rows: pd.DataFrame, target: str = "y") -> tuple[frozenset[str], float]:
    """Return the columns that `perennial init` suspects of leakage, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(root=Path(folder), var=Path(folder) / "var")
        (settings.root / "config" / "models").mkdir(parents=True)
        rows.to_parquet(settings.root / "rows.parquet", index=False)
        started = time.perf_counter()
        result = init_model(str(settings.root / "rows.parquet"), target, settings)
        seconds = time.perf_counter() - started
    said = [note for note in result.notes if "when predicting" in note or "leaks the target" in note]
    return frozenset(name for name in rows.columns if any(repr(name) in note for note in said)), seconds


def public_sets() -> Iterator[tuple[str, pd.DataFrame, tuple[frozenset[str], ...]]]:
    """Yield public data sets with their known leaks."""
    for name in ("iris", "wine", "breast_cancer", "diabetes", "digits"):
        yield name, getattr(datasets, f"load_{name}")(as_frame=True).frame, ()
    known = {"bank_marketing": _groups("duration"), "bike_sharing": _groups("casual", "registered")}
    for name in ("bank_marketing", "bike_sharing", "default_credit_card_tw", "online_shoppers"):
        path = SHARED / name / "ready.parquet"
        if path.exists():
            yield name, pd.read_parquet(path), known.get(name, ())


def _share(hits: Iterable[bool]) -> str:
    counted = list(hits)
    return f"{sum(counted)} of {len(counted)}"


def main() -> None:
    """Print the tables."""
    print("| made set | rows | found | false |\n|---|---:|---:|---:|")
    for make in (*LEAKING, *HONEST):
        for n_rows in SIZES:
            made = [make(np.random.default_rng(seed), n_rows) for seed in SEEDS]
            named = [named_columns(one.frame)[0] for one in made]
            found = _share(all(g & names for g in one.leaks) for one, names in zip(made, named, strict=True))
            false = _share(bool(names - one.leaking) for one, names in zip(made, named, strict=True))
            print(f"| {make.__name__} | {n_rows:,} | {found if make in LEAKING else '–'} | {false} |")
    print("\n| public set | rows x columns | named | known leaks | init s |\n|---|---:|---|---|---:|")
    for name, frame, leaks in public_sets():
        names, seconds = named_columns(frame, "target")
        known = ", ".join(sorted(frozenset().union(*leaks)))
        shape = f"{len(frame):,} x {frame.shape[1]}"
        print(f"| {name} | {shape} | {', '.join(sorted(names)) or '–'} | {known or '–'} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
