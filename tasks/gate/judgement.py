"""Compare two registered versions of a model on the same rows: all evidence that the gate needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from config.schema import Features, ModelConfig
from config.settings import Settings
from core.data.seen_rows import SeenRows
from core.data.split import Hashes, feature_hashes
from core.errors import BundleError, ModelNotFoundError, SchemaError, TrainingError
from core.feature_contract import KINDS, FeatureContract
from core.gate.clean_holdout import CleanHoldout, clean_holdout
from core.gate.comparable import aligned, incomparable_reason
from core.gate.comparison import Comparison, compare
from core.gate.decision import Evidence, GateVerdict, decide
from core.gate.looks import HoldoutSketch, effective_looks
from core.gate.negative_controls import SelfTest, degraded, self_test, shuffled_model, trial_reference
from core.metrics.bootstrap import Estimate
from core.metrics.clusters import Clusters, row_clusters
from core.metrics.evaluation import predict_output
from core.metrics.metrics import Floats
from core.train.training_run import TrainingRun
from core.train.trust import trusted_types
from serving.bundle.predictor import load_pipeline
from serving.bundle.reader import load_contract, read_document
from tasks.registry.fetch import Fetched, fetched
from tasks.serving.rehearse import Rehearsal, rehearsed
from tasks.train.bench import Bench, open_bench
from tasks.train.training_rows import TRAINING_ROWS, read_training_rows
from tasks.versions.rows import load_rows


@dataclass(frozen=True)
class Baseline:
    """What a version is compared with.

    Parameters
    ----------
    version
        The champion; None if there is none yet.
    sequence
        Sequence number of the champion's tenure; 0 if there is none.
    earlier
        Holdouts on which earlier challengers of this champion were compared.
    """

    version: int | None
    sequence: int = 0
    earlier: Sequence[HoldoutSketch] = ()


@dataclass(frozen=True, eq=False)
class Judgement:
    """A verdict, and what is recorded with it.

    Parameters
    ----------
    verdict
        The gate's decision with its reasons.
    sketch
        Sketch of the compared rows; None if nothing was compared.
    manifest
        SHA-256 of the challenger's manifest.
    """

    verdict: GateVerdict
    sketch: HoldoutSketch | None
    manifest: str


@dataclass(frozen=True, eq=False)
class Contestant:
    """A version as loaded from its bundle.

    Parameters
    ----------
    pipeline, contract
        The fitted pipeline and its feature contract.
    seen
        The rows it was trained on.
    estimate, n_holdout
        The gate's metric on its own holdout, and the number of rows of that holdout.
    leading
        Its most important feature; None if importance was not measured.
    """

    pipeline: Any
    contract: FeatureContract
    seen: SeenRows
    estimate: Estimate
    n_holdout: int
    leading: str | None


def judgement(run: TrainingRun, version: int, baseline: Baseline, settings: Settings) -> Judgement:
    """Compare a registered version with the champion on the run's clean holdout, and rehearse its serving.

    Nothing is recorded or moved. A champion that cannot be loaded or cannot predict leaves the gate undecided; a
    challenger that cannot is an error.

    Raises
    ------
    BundleError
        The challenger's bundle is broken.
    ModelNotFoundError
        There is no such version.
    """
    config = run.config
    trusted = trusted_types(config.training.trusted_types)
    with ExitStack() as stack:
        bench = open_bench(run)
        rehearsal = stack.enter_context(bench.take_rehearsal())
        files = stack.enter_context(fetched(config.model, version, settings))

        def ask(rehearsal: Rehearsal) -> None:
            rehearsal.ask(files.folder, files.manifest_sha256, trusted, config.gate)

        ask(rehearsal)
        contest = Contest(bench, load_contestant(files, config))
        incomparable = None if baseline.version is None else contest.admit(baseline.version, settings)
        champion, facts = contest.champion, contest.clean.facts
        comparison = contest.comparison(champion, baseline.earlier) if champion and facts.enough else None
        evidence = Evidence(
            version=version,
            champion=baseline.version,
            champion_sequence=baseline.sequence,
            estimate=contest.challenger.estimate,
            n_holdout=contest.challenger.n_holdout,
            holdout=facts,
            comparison=comparison,
            incomparable=incomparable,
            self_test=contest.self_test(comparison) if contest.can_test(baseline) else None,
            serving=rehearsed(ask, rehearsal),
        )
    return Judgement(decide(evidence, config), contest.clean.sketch if comparison else None, files.manifest_sha256)


def load_contestant(files: Fetched, config: ModelConfig) -> Contestant:
    """Read a version from its bundle.

    Raises
    ------
    BundleError
        A file is damaged or missing, or the bundle is older than the gate.
    """
    evaluation: dict[str, Any] = json.loads(read_document(files.folder, "evaluation.json"))
    metric = evaluation["metrics"].get(config.gate.metric) or {"value": None, "low": None, "high": None}
    value = np.nan if metric["value"] is None else metric["value"]
    return Contestant(
        pipeline=load_pipeline(files.folder, trusted_types(config.training.trusted_types)),
        contract=load_contract(files.folder),
        seen=read_training_rows(files.folder / TRAINING_ROWS),
        estimate=Estimate(value, metric["low"], metric["high"]),
        n_holdout=evaluation["n_rows"],
        leading=next((item["feature"] for item in evaluation["importance"]), None),
    )


class Contest:
    """A challenger, the admitted champion, and the holdout rows that neither was trained on.

    Parameters
    ----------
    bench
        The snapshot's rows and their split.
    challenger
        The version to judge; it is scored on the holdout rows that neither version was trained on.
    """

    def __init__(self, bench: Bench, challenger: Contestant) -> None:
        self.bench, self.challenger = bench, challenger
        self.champion: Contestant | None = None
        self._frames: dict[FeatureContract, pd.DataFrame] = {}
        self._outputs: dict[Contestant, Floats] = {}

    def admit(self, version: int, settings: Settings) -> str | None:
        """Admit a champion to the comparison; return the reason if it cannot be compared, else None."""
        config = self.bench.run.config
        try:
            with fetched(config.model, version, settings) as files:
                champion = load_contestant(files, config)
            reason = incomparable_reason(champion.contract, self.challenger.contract) or self._lacks(champion.contract)
            if reason is None:
                self.champion = champion
                self.output(champion)
        except (BundleError, ModelNotFoundError, SchemaError, TrainingError) as error:
            reason = str(error)
        if reason is not None:
            self._dismiss()
        return reason

    @cached_property
    def clean(self) -> CleanHoldout:
        """Holdout rows that neither version was trained on."""
        bench = self.bench
        return clean_holdout(
            bench.rows,
            bench.split,
            bench.y,
            bench.contract,
            bench.run.config,
            challenger=self.challenger.seen,
            challenger_contents=self._contents(self.challenger),
            champion=self.champion.seen if self.champion else None,
            champion_contents=self._contents(self.champion) if self.champion else None,
        )

    def comparison(self, champion: Contestant, earlier: Sequence[HoldoutSketch]) -> Comparison:
        """Measure the gain on the clean rows, with the correction for earlier looks at them."""
        return compare(
            self._y(),
            self.output(champion),
            self.output(self.challenger),
            self.bench.rows.frame[list(self.bench.run.config.evaluation.slices)].take(self.clean.rows),
            self.bench.run.config,
            looks=effective_looks(self.clean.sketch, earlier),
            clusters=self._clusters(),
        )

    def can_test(self, baseline: Baseline) -> bool:
        """Whether the negative controls are run: on enough clean rows; for a first champion, on any."""
        facts = self.clean.facts
        return facts.enough or (baseline.version is None and facts.n_rows > 0)

    def self_test(self, comparison: Comparison | None) -> SelfTest:
        """Judge the negative controls, which the gate must reject.

        They are the reference itself, the reference on degraded rows, and a model fitted to shuffled labels.
        """
        bench, config = self.bench, self.bench.run.config
        who = trial_reference(comparison, config)
        reference = self.champion if self.champion and who == "champion" else self.challenger
        worse = degraded(self._rows(reference.contract), reference.contract, config.training.seed, reference.leading)
        train_y = bench.y[bench.split.train]
        shuffled = shuffled_model(config, bench.contract, bench.train_frame, train_y, config.training.seed)
        return self_test(
            self._y(),
            self.output(reference),
            self._aligned(predict_output(reference.pipeline, worse, reference.contract), reference),
            predict_output(shuffled, self._rows(bench.contract), bench.contract),
            config,
            of=who,
            clusters=self._clusters(),
        )

    def output(self, contestant: Contestant) -> Floats:
        """Predictions of a contestant for the clean rows: probabilities of the snapshot's classes, or numbers."""
        if contestant not in self._outputs:
            answer = predict_output(contestant.pipeline, self._rows(contestant.contract), contestant.contract)
            self._outputs[contestant] = self._aligned(answer, contestant)
        return self._outputs[contestant]

    def _dismiss(self) -> None:
        self.champion = None
        # Without a champion, the set of clean rows is different.
        self._outputs.clear()
        self.__dict__.pop("clean", None)

    def _lacks(self, contract: FeatureContract) -> str | None:
        """Return a reason that names the contract's columns missing from the rows; None if all are present."""
        frame = self._held(contract)
        undeclared = set(contract.raw_columns) - set(self.bench.run.config.columns)
        lacking = sorted(column for column in undeclared if frame[column].isna().all())
        if not lacking:
            return None
        return f"the champion needs {', '.join(map(repr, lacking))}, which these rows do not contain"

    def _held(self, contract: FeatureContract) -> pd.DataFrame:
        return self._frame(contract)[list(contract.raw_columns)].take(self.bench.split.holdout)

    def _contents(self, contestant: Contestant) -> Hashes:
        return feature_hashes(self._held(contestant.contract), contestant.contract.raw_columns)

    def _aligned(self, output: Floats, contestant: Contestant) -> Floats:
        return aligned(output, contestant.contract.classes, self.bench.contract.classes)

    def _clusters(self) -> Clusters:
        config, frame = self.bench.run.config, self.bench.rows.frame
        columns = [column for column in (config.key, config.time) if column is not None]
        return row_clusters(frame[columns].take(self.clean.rows), config.key, config.time)

    def _y(self) -> Any:
        return self.bench.y[self.clean.rows]

    def _rows(self, contract: FeatureContract) -> pd.DataFrame:
        return self._frame(contract)[list(contract.raw_columns)].take(self.clean.rows)

    def _frame(self, contract: FeatureContract) -> pd.DataFrame:
        """Rows of the snapshot with the columns of a contract, in the kinds it declares."""
        features = self.bench.run.config.features
        if all(set(getattr(contract, kind)) <= set(getattr(features, kind)) for kind in KINDS):
            return self.bench.rows.frame
        if contract not in self._frames:
            asked = Features(**{kind: getattr(contract, kind) for kind in KINDS})
            config = self.bench.run.config.model_copy(update={"features": asked})
            self._frames[contract] = load_rows(self.bench.run.snapshot, config).frame
        return self._frames[contract]
