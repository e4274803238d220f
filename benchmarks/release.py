"""How often a staged release errs, what it finds, and after how many requests.

Run ``python -m benchmarks.release simulated``; prints one Markdown table, in about an hour on two cores;
``--share 0.1`` makes a tenth of the repetitions. All draws are seeded.

Requests are made, so that the truth is known: each goes to the challenger by chance at the share of the stage, fails
with a known probability, and has a latency and a prediction from known distributions. The decision is the one of the
service (``core.release``), after every 50 requests of the challenger.
"""

from __future__ import annotations

import argparse
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtr, ndtri
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # ships no types

from core.metrics.metrics import Floats
from core.release.checks import BREACHED_QUANTILES, performance_check
from core.release.decision import Look, decide
from core.release.observed import Observed
from core.release.plan import Guardrails, Plan, Stage
from core.release.routing import goes_to_challenger
from core.release.sequences import asymptotic_radius

LOOK = 50
"""Requests of the challenger between two looks."""

FULL_LOOK = 250
"""Requests after which a look is made in full where no estimate exceeds its limit, so that there can be no breach."""

MOST_REQUESTS = 4_000
"""Most requests of the challenger in a stage."""

EDGES = ndtri(np.linspace(0, 1, 11))
"""Deciles of the predictions of the reference."""

FIRST_STEP = Stage("step", 5)


@dataclass(frozen=True)
class World:
    """What the requests are like, and what the challenger does worse.

    Parameters
    ----------
    name
        For the table.
    errors
        Probability that a request of the champion fails.
    challenger_errors
        The same of the challenger; None is the champion's.
    slower
        Factor of the challenger's latencies.
    slower_tail
        Factor of its slowest percent alone.
    shift
        Standard deviations by which its predictions are moved.
    bursts
        Whether every 2,000th request starts 200 that fail in half of all cases and take ten times as long.
    cycle
        Whether errors and latencies rise and fall by 80 % within 10,000 requests.
    heavy
        Whether latencies are Pareto with the index 1.2, which has no variance.
    clients
        Mean number of requests of a client, which are alike; 1 is none repeated.
    effective
        Whether the repeated clients are told to the decision.
    """

    name: str
    errors: float = 0.01
    challenger_errors: float | None = None
    slower: float = 1.0
    slower_tail: float = 1.0
    shift: float = 0.0
    bursts: bool = False
    cycle: bool = False
    heavy: bool = False
    clients: int = 1
    effective: bool = True


@dataclass(frozen=True)
class Stream:
    """Requests in order: who answers, who asks, whether it fails, how long it takes, and the bin of the prediction."""

    challenger: npt.NDArray[np.bool_]
    client: npt.NDArray[np.int64]
    failed: npt.NDArray[np.bool_]
    latency_ms: Floats
    bin: npt.NDArray[np.int64]

    def observed(self, until: int, *, challenger: bool, effective: bool) -> Observed:
        """Return what one variant did among the first requests."""
        own = self.challenger[:until] == challenger
        repeats = np.bincount(np.unique(self.client[:until][own], return_inverse=True)[1]) if effective else None
        return Observed(
            n_requests=int(own.sum()),
            n_failures=int(self.failed[:until][own].sum()),
            latencies_ms=self.latency_ms[:until][own],
            predictions=np.bincount(self.bin[:until][own], minlength=10).astype(np.int64),
            n_effective=float(repeats.sum() ** 2 / (repeats**2).sum()) if repeats is not None and own.any() else None,
        )


def stream(world: World, share: float, n: int, rng: np.random.Generator) -> Stream:
    """Draw n requests at a share of the challenger."""
    client = np.arange(n) if world.clients == 1 else rng.integers(0, max(n // world.clients, 1), size=n)
    challenger = (rng.random(n) < share)[client]
    noise, score, luck = rng.normal(size=n), rng.normal(size=n), rng.random(n)
    if world.clients > 1:  # a client's requests fail alike, take alike and get the same answer
        noise, score, luck = noise[client], score[client], luck[client]
    latency = 20 * (1 - ndtr(noise)) ** (-1 / 1.2) if world.heavy else 20 * np.exp(0.5 * noise)
    latency = latency * np.where(challenger & (noise > ndtri(0.99)), world.slower_tail, 1.0)
    latency = latency * np.where(challenger, world.slower, 1.0)
    theirs = world.errors if world.challenger_errors is None else world.challenger_errors
    chance = np.where(challenger, theirs, world.errors)
    level = 1 + 0.8 * np.sin(np.arange(n) * (2 * np.pi / 10_000)) if world.cycle else np.ones(n)
    burst = (np.arange(n) % 2_000 < 200) & world.bursts
    latency = latency * level * np.where(burst, 10.0, 1.0)
    failed = luck < np.where(burst, 0.5, chance * level)
    answer = np.digitize(score + np.where(challenger, world.shift, 0.0), EDGES[1:-1])
    return Stream(challenger, client, failed, latency, answer)


def shadow_stream(world: World, n: int, rng: np.random.Generator) -> Stream:
    """Draw n requests that both variants answer, each with draws of its own."""
    both = [stream(world, share, n, rng) for share in (0.0, 1.0)]
    columns = (np.column_stack([getattr(one, name) for one in both]).ravel() for name in Stream.__annotations__)
    return Stream(*columns)


def looks(
    world: World, plan: Plan, stage: Stage, most: int, rng: np.random.Generator, before: Observed | None = None
) -> Iterator[tuple[int, Look, Observed]]:
    """Yield requests of the challenger, decision, and what the champion did, after every 50 of the challenger's."""
    if stage.kind == "shadow":
        drawn = shadow_stream(world, most, rng)
    else:
        drawn = stream(world, stage.share / 100, int(most * 100 / stage.share * 1.1), rng)
    hours = plan.bake_hours if stage.kind == "bake" else 1.0
    told = world.clients > 1 and world.effective
    for ends in (np.flatnonzero(drawn.challenger) + 1)[LOOK - 1 : most : LOOK]:
        challenger = drawn.observed(int(ends), challenger=True, effective=told)
        champion = before or drawn.observed(int(ends), challenger=False, effective=told)
        n = challenger.n_requests
        if n % FULL_LOOK == 0 or _may_breach(plan, champion, challenger):
            yield n, decide(plan, stage, champion, challenger, hours), champion


def _may_breach(plan: Plan, champion: Observed, challenger: Observed) -> bool:
    """Say whether an estimate of errors or latencies exceeds its limit; without, a lower bound does not either."""
    rise = (challenger.failure_rate or 0.0) - (champion.failure_rate or 0.0)
    before, after = (
        np.quantile(one.latencies_ms, BREACHED_QUANTILES, method="inverted_cdf") for one in (champion, challenger)
    )
    slow = bool((after > (plan.guardrails.latency_ratio or math.inf) * before).any())
    return rise > (plan.guardrails.error_rate or 0.0) or slow


def release(world: World, plan: Plan, seed: int) -> tuple[str, int]:
    """Run one release through all stages; return how it ended, and after how many requests of the challenger."""
    rng, total, champion = np.random.default_rng(seed), 0, None
    for stage in plan.stages:
        before = champion if stage.kind == "bake" else None
        made = list(_until_decided(looks(world, plan, stage, MOST_REQUESTS, rng, before)))
        n, look, champion = made[-1] if made else (0, None, None)
        total += n
        if look is None or look.outcome != "advance":
            return (look.outcome if look else "hold"), total
    raise AssertionError("the last stage never advances")


def _until_decided(made: Iterator[tuple[int, Look, Observed]]) -> Iterator[tuple[int, Look, Observed]]:
    for one in made:
        yield one
        if one[1].outcome != "hold":
            return


def step(world: World, plan: Plan, stage: Stage, most: int, seed: int) -> int | None:
    """Return the requests of the challenger after which one stage is rolled back; None if it is not within ``most``."""
    found = looks(world, plan, stage, most, np.random.default_rng(seed))
    return next((n for n, look, _ in found if look.outcome == "roll_back"), None)


def naive(world: World, seed: int) -> bool:
    """Say whether a two-proportion z-test or a t-test of latencies at 5 % cries wolf at any look of the first step."""
    drawn = stream(world, 0.05, MOST_REQUESTS * 22, np.random.default_rng(seed))
    for ends in (np.flatnonzero(drawn.challenger) + 1)[LOOK - 1 : MOST_REQUESTS : LOOK]:
        own = drawn.challenger[:ends]
        for values in (drawn.failed[:ends].astype(np.float64), drawn.latency_ms[:ends]):
            one, other = values[own], values[~own]
            error = math.sqrt(one.var() / len(one) + other.var() / len(other))
            if error and (one.mean() - other.mean()) / error > float(ndtri(0.95)):
                return True
    return False


def loss_found(loss: float, n_labels: int, seed: int) -> tuple[bool, float, float]:
    """Compare two models whose AUC differs by a loss on n labelled rows each: found, standard error, measured loss."""
    rng = np.random.default_rng(seed)
    sides = [_labelled(0.80 - lost, n_labels, rng) for lost in (0.0, loss)]
    plan = Plan(metric="roc_auc", min_labels=n_labels)
    check = performance_check(plan, Stage("step", 50), *sides)
    if check is None or check.estimate is None:
        raise AssertionError("the loss is not defined")
    error = math.sqrt(2 * 0.13 / n_labels)
    return check.state == "breached", error, check.estimate


def _labelled(auc: float, n: int, rng: np.random.Generator) -> Observed:
    """Scores of events and others that are normal with equal variance: the AUC is known."""
    labels = rng.binomial(1, 0.3, size=n)
    scores = expit(rng.normal(size=n) + labels * math.sqrt(2) * float(ndtri(auc)))
    return Observed(labels=labels, scores=np.column_stack([1 - scores, scores]))


def quiet(per_hour: float, plan: Plan, seed: int) -> tuple[str, float]:
    """Look at a release every hour at so few requests of both variants an hour; return its end and the hours."""
    rng = np.random.default_rng(seed)
    drawn = shadow_stream(World("quiet"), max(int(per_hour * 100), 1), rng)
    for hour in range(1, 97):
        until = 2 * int(per_hour * hour)
        champion, challenger = (drawn.observed(until, challenger=own, effective=False) for own in (False, True))
        look = decide(plan, plan.stages[0], champion, challenger, waited_hours=float(hour))
        if look.outcome != "hold":
            return look.outcome, float(hour)
    return "hold", 96.0


Map = Callable[..., Iterator[Any]]
Row = tuple[str, str, str]


def simulated(share: float, runs: Map) -> Iterator[Row]:
    """Yield the rows of the table: what, aim, measured."""
    yield from _routing()
    few = max(int(100 * share), 4)
    found = [
        n for n in runs(partial(step, World("", challenger_errors=0.05), Plan(), FIRST_STEP, 2_000), range(few)) if n
    ]
    yield "5 % against 1 % errors", "≥ 99 of 100 before 2,000 requests", f"{_found(found, few)}"
    found = [n for n in runs(partial(step, World("", challenger_errors=0.5), Plan(), FIRST_STEP, 500), range(few)) if n]
    yield "50 % errors, by the decision alone", "within 200 requests", f"{_found(found, few)}"
    half, all_slow = max(few // 2, 4), World("", slower=3.0)
    found = [n for n in runs(partial(step, all_slow, Plan(), FIRST_STEP, 2_000), range(half)) if n]
    yield "all latencies times 3", "≥ 95 % of 50", _found(found, half)
    slow_tail = World("", slower_tail=3.0)
    found = [n for n in runs(partial(step, slow_tail, Plan(), Stage("step", 25), 12_000), range(half)) if n]
    yield "the slowest percent times 3, at 25 %", "≥ 95 % of 50", _found(found, half)
    many = max(int(500 * share), 8)
    yield "predictions moved by 0.5 sd", "never promoted in 500", _ends(World("", shift=0.5), many, runs)
    yield from _losses(share, runs)
    yield from _quiet()
    yield "identical variants, all stages", "≤ 5 % of 500 rolled back", _ends(World(""), many, runs)
    yield from _hard_worlds(share, runs)


def _routing() -> Iterator[Row]:
    subjects = [f"client-{number}" for number in range(20_000)]
    five, more = ([goes_to_challenger("release-1", subject, share) for subject in subjects] for share in (5, 25))
    yield "20,000 requests at 5 %", "5 ± 0.5 points", f"{100 * np.mean(five):.2f} %"
    kept = sum(after for before, after in zip(five, more, strict=True) if before) / sum(five)
    yield "of the 5 %, those in the 25 %", "100 %", f"{100 * kept:.0f} %"


def _losses(share: float, runs: Map) -> Iterator[Row]:
    repeats, level = max(int(200 * share), 8), Plan(metric="roc_auc").alpha
    for n_labels in (2_000, 5_000, 10_000, 20_000):
        found = list(runs(partial(loss_found, 0.03, n_labels), range(repeats)))
        error = float(np.std([measured for *_, measured in found]))
        radius = _radius(error, n_labels, level)
        predicted = float(ndtr((0.03 - 0.01 - radius) / error))
        power = np.mean([one for one, *_ in found])
        said = f"{100 * power:.0f} % of {repeats} (by the normal approximation {100 * predicted:.0f} %)"
        yield f"a loss of 0.03 AUC, {n_labels:,} labels each", "as predicted", said


def _radius(error: float, n_labels: int, alpha: float) -> float:
    return asymptotic_radius(error, n_labels / 2, alpha)


def _quiet() -> Iterator[Row]:
    for name, per_hour in (("one request a minute in the shadow", 60.0), ("none for a day", 0.0)):
        back, waits = (quiet(per_hour, Plan(at_deadline=what), 1) for what in ("roll_back", "wait"))
        said = f"{back[0]} after {back[1]:.0f} h; with wait: {waits[0]} after {waits[1]:.0f} h"
        yield name, "no abort before the deadline, no promotion without evidence", said


def _hard_worlds(share: float, runs: Map) -> Iterator[Row]:
    repeats = max(int(100 * share), 8)
    worlds = (
        World("bursts that hit both", bursts=True),
        World("a daily cycle", cycle=True),
        World("heavy-tailed latencies", heavy=True),
        World("clients with 20 requests each", clients=20),
        World("the same, not told", clients=20, effective=False),
    )
    for world in (World("identical variants"), *worlds):
        wrong = sum(runs(partial(naive, world), range(repeats)))
        # Without limits that leave room: a rise of any size is a breach.
        strict = Plan(guardrails=Guardrails(error_rate=0.0, latency_ratio=1.0, prediction_psi=None))
        ours = len([n for n in runs(partial(step, world, strict, FIRST_STEP, MOST_REQUESTS), range(repeats)) if n])
        default = len([n for n in runs(partial(step, world, Plan(), FIRST_STEP, MOST_REQUESTS), range(repeats)) if n])
        said = f"{default} of {repeats}; with limits 0 and 1: {ours}; z- and t-test at every look: {wrong}"
        yield f"no harm: {world.name}", "≤ 5 % rolled back in the step", said


def _found(found: list[int], runs: int) -> str:
    if not found:
        return f"0 of {runs}"
    return f"{len(found)} of {runs}, after {int(np.median(found)):,} (median), at most {max(found):,}"


def _ends(world: World, repeats: int, runs: Map) -> str:
    ended = list(runs(partial(release, world, Plan()), range(repeats)))
    counts = Counter(end for end, _ in ended)
    middle = int(np.median([n for _, n in ended]))
    return f"{', '.join(f'{n} {end}' for end, n in counts.most_common())}, of {repeats}; {middle:,} requests (median)"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How often a staged release errs, and what it finds.")
    parser.add_argument("what", choices=["simulated"])
    parser.add_argument("--share", type=float, default=1.0, help="share of the repetitions")
    chosen = parser.parse_args()
    print("| what | aim | measured |\n|---|---|---|")
    with ProcessPoolExecutor(os.cpu_count(), initializer=threadpool_limits, initargs=(1,)) as pool:
        for row in simulated(chosen.share, pool.map):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
