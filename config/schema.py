"""The shape of a model file: frozen, bounded, unknown keys refused."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from config.date_formats import EPOCHS, format_problem
from config.names import MODEL_NAME
from config.similar_names import closest_text


def _cron(expression: str) -> str:
    from cronsim import CronSim, CronSimError

    try:
        CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ValueError("expected five fields: minute, hour, day of month, month, day of week") from error
    return expression


def _selector(text: str) -> str:
    """Check that a selector is one: the query around it adds the range."""
    if not re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})?", text):
        raise ValueError('expected a metric with matchers, such as requests_total{version="$version"}')
    unknown = set(re.findall(r"\$(\w*)", text)) - {"version", "variant", "backend"}
    if unknown:
        raise ValueError(f"expected $version, $variant or $backend, found ${sorted(unknown)[0]}")
    if "$" not in text:
        raise ValueError("expected $version, $variant or $backend in a matcher, or both versions are the same")
    return text


def _date_format(given: str) -> str:
    if problem := format_problem(given):
        raise ValueError(problem)
    return given


def _unit_text(unit: str) -> str:
    if unit != unit.strip() or not any(character.isalpha() or character in UNIT_SIGNS for character in unit):
        raise ValueError("expected a text such as '%' or 'EUR', without spaces around it")
    return unit


Task = Literal["binary", "multiclass", "regression"]
Encoding = Literal[
    "utf-8",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "cp1252",
    "latin-1",
    "cp1250",
    "iso-8859-2",
    "iso-8859-15",
    "cp1254",
    "cp1257",
    "cp850",
    "mac-roman",
    "cp1251",
    "koi8-r",
    "cp1253",
    "shift_jis",
    "gb18030",
    "big5",
    "euc-kr",
    "euc-jp",
]
GateMode = Literal["enabled", "dry_run", "manual"]
_MODEL = f"^{MODEL_NAME}$"
_VARIABLE = r"^[A-Z][A-Z0-9_]*$"
_IMPORT = r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$"
_ESTIMATOR = rf"^auto$|{_IMPORT}"
_CANDIDATE = r"^[a-z][a-z0-9_]{0,30}$"
_LABEL = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
_KUBERNETES = r"^([a-z0-9]|[a-z0-9][-a-z0-9.]{0,251}[a-z0-9])$"
_DOTTED = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$"
PATTERNS = {
    _MODEL: "a small letter, then at most 62 small letters, digits, '_' or '-'",
    _VARIABLE: "the name of an environment variable: capital letters, digits and '_'",
    _IMPORT: "an import path, such as sklearn.linear_model.LogisticRegression",
    _ESTIMATOR: "auto or an import path, such as sklearn.linear_model.LogisticRegression",
    _CANDIDATE: "a small letter, then at most 30 small letters, digits or '_'",
    _LABEL: "the name of a label: letters, digits and '_'",
    _KUBERNETES: "the name of a Kubernetes object: small letters, digits, '-' and '.'",
    _DOTTED: "a type with its module, such as package.module.Class",
}
"""What a text must be, by the pattern it is checked with."""

Name = Annotated[str, Field(pattern=_MODEL)]
KubernetesName = Annotated[str, Field(pattern=_KUBERNETES)]
Column = Annotated[str, Field(min_length=1, max_length=1024)]
Cron = Annotated[str, Field(max_length=100), AfterValidator(_cron)]
Selector = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_selector)]
DateFormat = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_date_format)]
Unit = Annotated[str, Field(min_length=1, max_length=16), AfterValidator(_unit_text)]
ImportPath = Annotated[str, Field(pattern=_IMPORT)]
CandidateName = Annotated[str, Field(pattern=_CANDIDATE)]
DottedName = Annotated[str, Field(pattern=_DOTTED, max_length=255)]

AUTO = "auto"
"""Value of ``training.estimator`` for the best of ``training.search.candidates``."""

AVERAGE = "average"
"""Name of the mean of all candidates' predictions."""

APPEND = "every row that was not delivered before is new; otherwise rows of earlier batches are recognised and left out"
CLASSIFICATION_METRICS = ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1")
REGRESSION_METRICS = ("rmse", "mae", "r2")
_METRIC_BOUNDS = dict.fromkeys(("roc_auc", "average_precision", "accuracy", "f1"), (0.0, 1.0)) | {
    "log_loss": (0.0, math.inf),
    "brier": (0.0, 2.0),
    "rmse": (0.0, math.inf),
    "mae": (0.0, math.inf),
    "r2": (-math.inf, 1.0),
}


def _unit(text: str) -> dict[str, JsonValue]:
    """Name what a number counts, for the reference and for editors; a field whose name ends in a unit needs none."""
    return {"unit": text}


class Section(BaseModel):
    """A section of a model file."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


UNIT_SIGNS = "%‰°$€£¥₹₽₩"
"""Characters other than letters by which a text is a unit."""

DecimalMark = Literal[".", ","]
ThousandsMark = Literal["", ".", ",", " ", "'"]


class TabularSource(Section):
    """What the texts of any source mean."""

    missing: tuple[str, ...] = Field(default=("",), description="texts that mean a missing value")
    decimal: DecimalMark | dict[Column, DecimalMark] = Field(
        default=".", description="mark before the fraction in texts of numbers, for all columns or by column"
    )
    thousands: ThousandsMark | dict[Column, ThousandsMark] = Field(
        default="", description="mark between groups of digits in texts of numbers, for all columns or by column"
    )
    units: dict[Column, Unit] = Field(
        default={}, description="by column, the text before or after every number, such as '%'"
    )
    dates: dict[Column, tuple[DateFormat, ...]] = Field(
        default={},
        description="by column, strptime formats of its dates, or seconds, milliseconds or microseconds since 1970",
    )

    @field_validator("dates", mode="before")
    @classmethod
    def _one_or_more_formats(cls, dates: Any) -> Any:
        if not isinstance(dates, dict):
            return dates
        return {column: [given] if isinstance(given, str) else given for column, given in dates.items()}

    @model_validator(mode="after")
    def _notations_are_unambiguous(self) -> Self:
        for column, formats in self.dates.items():
            _refuse(not formats, f"dates.{column}: expected at least one format")
            _refuse(len(formats) > 1 and bool(EPOCHS.keys() & formats), f"dates.{column}: {formats[0]!r} stands alone")
        columns: tuple[str | None, ...] = (None, *_named(self.decimal), *_named(self.thousands))
        for name in columns:
            decimal, thousands = _mark(self.decimal, name, "."), _mark(self.thousands, name, "")
            of_column = "" if name is None else f" of {name!r}"
            _refuse(decimal == thousands, f"decimal and thousands{of_column} are both {decimal!r}")
        return self


class CsvSource(TabularSource):
    """Delimited text: one file, a glob or any fsspec address."""

    kind: Literal["csv"] = Field(description="kind of the source")
    uri: str = Field(min_length=1, description="path (relative to the project), glob or fsspec address")
    delimiter: str | None = Field(default=None, min_length=1, max_length=1, description="detected when left out")
    encoding: Encoding = Field(default="utf-8", description="encoding of the text")
    append: bool = Field(default=False, description=APPEND)


class ParquetSource(TabularSource):
    """Parquet: one file, a folder, a glob or any fsspec address."""

    kind: Literal["parquet"] = Field(description="kind of the source")
    uri: str = Field(min_length=1, description="path (relative to the project), folder, glob or fsspec address")
    append: bool = Field(default=False, description=APPEND)


class SqlSource(TabularSource):
    """A query against any SQLAlchemy address."""

    kind: Literal["sql"] = Field(description="kind of the source")
    uri_env: str = Field(
        pattern=_VARIABLE,
        description="environment variable that holds the SQLAlchemy address (addresses carry passwords)",
    )
    query: str = Field(min_length=1, description="SELECT statement whose rows are read")
    append: bool = Field(default=False, description=APPEND)


class SklearnSource(TabularSource):
    """A data set bundled with scikit-learn; the target column is named ``target``."""

    kind: Literal["sklearn"] = Field(description="kind of the source")
    name: Literal["breast_cancer", "diabetes", "iris", "wine"] = Field(description="name of the data set")


class OpenmlSource(TabularSource):
    """A data set of openml.org by its id."""

    kind: Literal["openml"] = Field(description="kind of the source")
    data_id: int = Field(gt=0, description="id of the data set", json_schema_extra=_unit("–"))
    missing: tuple[str, ...] = Field(default=("", "?"), description="texts that mean a missing value")


class SimulatedDrift(Section):
    """One change of the simulated distribution, at a given month (see ``core.data.simulate``)."""

    kind: Literal["covariate", "prior", "concept"] = Field(description="what changes: features, event rate, relation")
    month: int = Field(
        ge=0,
        le=1199,
        description="index of the first month it shows in, 0 = the first month",
        json_schema_extra=_unit("month index"),
    )
    over_months: int = Field(default=0, ge=0, le=120, description="0: sudden; n: grows linearly over n months")
    size: float = Field(
        ge=-3.0,
        le=3.0,
        description="size of the change",
        json_schema_extra=_unit("standard deviations (covariate) or log-odds (prior, concept)"),
    )


class SimulatedSource(TabularSource):
    """Simulated credit applications (see ``core.data.simulate``)."""

    kind: Literal["simulated"] = Field(description="kind of the source")
    start: date = Field(default=date(2024, 1, 1), description="first day of the first month")
    months: int = Field(default=12, ge=1, le=1200, description="number of simulated months")
    rows_per_month: int = Field(default=1000, ge=1, le=10_000_000, description="applications in each month")
    seed: int = Field(
        default=7, ge=0, le=2**32 - 1, description="seed of the random numbers", json_schema_extra=_unit("–")
    )
    drifts: tuple[SimulatedDrift, ...] = Field(default=(), description="changes of the simulated world")


Source = Annotated[
    CsvSource | ParquetSource | SqlSource | SklearnSource | OpenmlSource | SimulatedSource,
    Field(discriminator="kind"),
]


def delivers_new_rows_only(source: Source) -> bool:
    """Return whether each delivery of a source holds new rows only, by the model file."""
    return isinstance(source, CsvSource | ParquetSource | SqlSource) and source.append


class Features(Section):
    """The columns a model is trained on, by kind, and the ignored columns."""

    numeric: tuple[Column, ...] = Field(default=(), description="columns of numbers")
    categorical: tuple[Column, ...] = Field(default=(), description="columns of levels, stored as text")
    boolean: tuple[Column, ...] = Field(default=(), description="columns of true and false")
    dates: tuple[Column, ...] = Field(default=(), description="calendar parts of these columns become features")
    ignored: tuple[Column, ...] = Field(default=(), description="stored with the data, not used by the model")

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the model's features, in the order of the contract."""
        return self.numeric + self.categorical + self.boolean + self.dates

    @field_validator("*", mode="before")
    @classmethod
    def _empty_list(cls, value: object) -> object:
        # YAML reads a key whose last item was moved elsewhere as null.
        return () if value is None else value

    @model_validator(mode="after")
    def _each_column_has_one_kind(self) -> Self:
        names = self.used + self.ignored
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"columns listed twice: {', '.join(twice)}")
        if not self.used:
            raise ValueError("at least one feature is needed")
        return self


class Validation(Section):
    """Conditions that a batch must meet before it is versioned."""

    suite: str = Field(min_length=1, description="Great Expectations suite, path relative to the project")
    max_quarantine: float = Field(
        default=0.02,
        ge=0.0,
        le=1.0,
        description="quarantined rows that are tolerated in a batch",
        json_schema_extra=_unit("share of rows"),
    )


class Candidate(Section):
    """An estimator that is compared with others on the training rows."""

    estimator: ImportPath = Field(description="import path of the estimator")
    params: dict[str, Any] = Field(default_factory=dict, description="constructor arguments of the estimator")


class Search(Section):
    """What is tried on folds of the training rows: candidates, or values of one estimator's parameters by Optuna."""

    candidates: dict[CandidateName, Candidate] = Field(
        default={}, description="estimators to compare, by name; needs training.estimator: auto"
    )
    average: bool = Field(default=True, description="whether the mean of all candidates' predictions is one more")
    space: dict[str, Any] = Field(
        default={},
        description="parameter: [low, high] | {low, high, log, step} | {choices: [...]}",
    )
    trials: int | None = Field(
        default=None, ge=1, le=10_000, description="budget: parameter sets to try", json_schema_extra=_unit("trials")
    )
    minutes: float | None = Field(default=None, gt=0, le=7 * 24 * 60, description="budget: time of the search")
    sampler: Literal["tpe", "random"] = Field(default="tpe", description="how Optuna chooses the next trial")

    @model_validator(mode="after")
    def _tries_one_kind(self) -> Self:
        _refuse(bool(self.candidates) == bool(self.space), "a search tries either candidates or a space of parameters")
        if self.candidates:
            _refuse(len(self.candidates) < 2, "a search compares at least two candidates")
            _refuse(AVERAGE in self.candidates, f"{AVERAGE!r} is the name of the candidates' average")
            _refuse(self.trials is not None, "trials belongs to space: each candidate is tried once")
        else:
            _refuse(self.trials is None and self.minutes is None, "a search needs a budget: trials or minutes")
        return self


class Leakage(Section):
    """Bounds of the leakage checks; a failed check stops the training."""

    max_duplicates: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="holdout rows that may also be training rows",
        json_schema_extra=_unit("share of holdout rows"),
    )
    max_single_feature: float = Field(
        default=0.99,
        gt=0.5,
        le=1,
        description="score that one feature may reach alone",
        json_schema_extra=_unit("AUC (classes) or R² (regression)"),
    )
    allow: tuple[Column, ...] = Field(default=(), description="features exempt from the checks after review")


class Training(Section):
    """How the model is fitted."""

    estimator: str = Field(
        pattern=_ESTIMATOR, description="import path of the estimator; auto: the best of search.candidates"
    )
    params: dict[str, Any] = Field(default_factory=dict, description="constructor arguments of the estimator")
    search: Search | None = Field(default=None, description="comparison on the training rows; none when left out")
    cv: int = Field(
        default=5, ge=0, le=20, description="cross-validation, at least 2; 0: none", json_schema_extra=_unit("folds")
    )
    holdout: float = Field(
        default=0.2,
        gt=0,
        lt=0.9,
        description="rows kept for the comparison of models, never trained on",
        json_schema_extra=_unit("share of rows"),
    )
    calibrate: Literal["auto", "none", "sigmoid", "isotonic"] = Field(
        default="auto",
        description="recalibration of a classifier's probabilities by its scores for the folds' test rows; "
        "auto: by a sigmoid, if they are miscalibrated and it makes them better beyond chance",
    )
    seed: int = Field(
        default=0, ge=0, le=2**32 - 1, description="seed of splits and of the estimator", json_schema_extra=_unit("–")
    )
    half_life_days: float | None = Field(
        default=None,
        gt=0,
        le=36_500,
        description="age in days at which a training row counts half; none: all count alike",
    )
    trusted_types: tuple[DottedName, ...] = Field(
        default=(), description="reviewed types, beyond scikit-learn's, that the stored pipeline may hold"
    )
    leakage: Leakage = Leakage()

    @field_validator("cv")
    @classmethod
    def _folds_can_be_cut(cls, cv: int) -> int:
        _refuse(cv == 1, "one fold leaves no rows to train on: set 0 (none) or at least 2")
        return cv

    @model_validator(mode="after")
    def _candidates_agree(self) -> Self:
        _refuse(
            (self.estimator == AUTO) != bool(self.candidates),
            "'estimator: auto' and 'search.candidates' need each other",
        )
        _refuse(
            self.estimator == AUTO and bool(self.params),
            "params belong to one estimator; with 'estimator: auto' set search.candidates.<name>.params",
        )
        return self

    @property
    def candidates(self) -> dict[str, Candidate]:
        """Estimators to compare, by name; empty if one estimator is named."""
        return {} if self.search is None else self.search.candidates

    @property
    def import_paths(self) -> tuple[str, ...]:
        """Import path of every estimator that may be fitted."""
        return tuple(one.estimator for one in self.candidates.values()) or (self.estimator,)


class Evaluation(Section):
    """What is measured on the holdout."""

    slices: tuple[Column, ...] = Field(
        default=(), description="categorical or boolean columns whose levels are reported and judged by the gate"
    )
    resamples: int = Field(
        default=500, ge=50, le=100_000, description="bootstrap of an interval", json_schema_extra=_unit("resamples")
    )
    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="confidence level of intervals", json_schema_extra=_unit("probability")
    )


class Gate(Section):
    """When a new version replaces the champion."""

    metric: str = Field(
        description=f"metric that decides; classes: {', '.join(CLASSIFICATION_METRICS)}; "
        f"regression: {', '.join(REGRESSION_METRICS)}"
    )
    floor: float = Field(
        description="worst holdout value of the metric that is still acceptable", json_schema_extra=_unit("metric")
    )
    margin: float = Field(
        default=0.0,
        ge=0,
        description="loss of the metric that is tolerated at the lower end of the gain's interval",
        json_schema_extra=_unit("metric"),
    )
    min_gain: float = Field(
        default=0.0,
        ge=0,
        description="gain of the metric below which the champion stays",
        json_schema_extra=_unit("metric"),
    )
    confidence: float = Field(
        default=0.95,
        gt=0.5,
        lt=1,
        description="confidence level of the gain's interval at the first look",
        json_schema_extra=_unit("probability"),
    )
    resamples: int = Field(
        default=2000, ge=200, le=100_000, description="paired bootstrap", json_schema_extra=_unit("resamples")
    )
    min_rows: int = Field(default=100, ge=30, description="holdout rows that neither model has trained on")
    slice_margin: float = Field(
        default=0.0,
        ge=0,
        description="loss of the metric that is tolerated on a slice",
        json_schema_extra=_unit("metric"),
    )
    max_calibration_loss: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="rise of the expected calibration error that is tolerated, at a base rate of 50 %; "
        "at others in proportion to the outcome's standard deviation",
        json_schema_extra=_unit("probability"),
    )
    max_calibration_error: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="expected calibration error that is acceptable, at a base rate of 50 %, as above",
        json_schema_extra=_unit("probability"),
    )
    max_latency_ms: float = Field(
        default=250,
        gt=0,
        description="95th percentile of the time to score one row in the serving rehearsal, without other load, ms",
    )
    mode: GateMode = Field(
        default="enabled", description="promote, record what would be promoted, or wait for 'perennial approve'"
    )


class Shadow(Section):
    """How long the challenger answers copies of requests before clients get its answers."""

    requests: int = Field(
        default=500,
        ge=0,
        le=10_000_000,
        description="copies that the challenger answers at least; 0: no shadow",
        json_schema_extra=_unit("requests"),
    )
    hours: float = Field(
        default=72.0,
        gt=0,
        le=10_000,
        description="hours after which the shadow is overdue",
        json_schema_extra=_unit("hours"),
    )


class Guardrails(Section):
    """Harm of a challenger on live traffic that is tolerated; ``null``: not watched."""

    error_rate: float | None = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="rise of the share of requests that fail",
        json_schema_extra=_unit("share of requests"),
    )
    latency_ratio: float | None = Field(
        default=1.5,
        gt=1,
        le=1000,
        description="ratio of the challenger's median, 95th and 99th percentile of latency to the champion's",
        json_schema_extra=_unit("ratio"),
    )
    prediction_psi: float | None = Field(
        default=0.1,
        gt=0,
        le=10,
        description="population stability index between the variants' predictions",
        json_schema_extra=_unit("PSI"),
    )
    performance_loss: float | None = Field(
        default=0.01,
        gt=0,
        description="loss of gate.metric on labelled requests",
        json_schema_extra=_unit("metric"),
    )


class MeshBackends(Section):
    """The Services among which an HTTPRoute divides the requests."""

    champion: KubernetesName = Field(description="name of the Service that answers with the champion")
    challenger: KubernetesName = Field(description="name of the Service that answers with the challenger")

    @model_validator(mode="after")
    def _differ(self) -> Self:
        _refuse(self.champion == self.challenger, f"expected two Services, found {self.champion!r} twice")
        return self


class MeshMetrics(Section):
    """What Prometheus knows of both versions: selectors, in which $version, $variant and $backend are replaced."""

    requests: Selector = Field(description="selector of a counter of requests with a label for the status code")
    code_label: str = Field(
        default="code",
        pattern=_LABEL,
        description="label with the HTTP status code; a code other than 1xx to 4xx is a failure",
    )
    latency: Selector | None = Field(
        default=None, description="selector of the buckets (name_bucket) of a histogram of latencies"
    )
    latency_unit: Literal["seconds", "milliseconds"] = Field(
        default="seconds", description="unit of the histogram's edges"
    )
    predictions: Selector | None = Field(
        default=None,
        description="selector of a counter of predictions by bin of the champion's reference, or by class, in the "
        "label le, not cumulative",
    )


class Mesh(Section):
    """A mesh that divides the requests instead of the service."""

    kind: Literal["gateway", "rollouts"] = Field(
        description="gateway: weights of a Gateway API HTTPRoute; rollouts: setWeight of an Argo Rollout"
    )
    namespace: KubernetesName = Field(description="namespace of the object")
    name: KubernetesName = Field(description="name of the HTTPRoute or the Rollout")
    rule: int = Field(
        default=0,
        ge=0,
        le=15,
        description="gateway: the rule with both backends, counted from 0",
        json_schema_extra=_unit("index"),
    )
    backends: MeshBackends | None = Field(default=None, description="gateway: the two Services; rollouts: none")
    prometheus: MeshMetrics = Field(description="where the figures of both versions come from")

    @model_validator(mode="after")
    def _kind_has_its_fields(self) -> Self:
        if (self.kind == "gateway") != (self.backends is not None):
            raise ValueError("backends: kind gateway needs champion and challenger, kind rollouts has none")
        return self


class Release(Section):
    """How a version that passed the gate gets the traffic, and when it loses it again."""

    mode: Literal["auto", "staged", "direct"] = Field(
        default="auto",
        description="staged: by steps; direct: at once; auto: by steps if the service answered the model in the last "
        "day, else at once, because there is nothing to observe",
    )
    steps: tuple[int, ...] = Field(
        default=(5, 25, 50, 100),
        min_length=1,
        max_length=20,
        description="share of the requests that the challenger answers, step by step",
        json_schema_extra=_unit("percent of requests"),
    )
    min_requests: int = Field(
        default=500,
        ge=1,
        le=10_000_000,
        description="requests that the challenger answers in each step at least",
        json_schema_extra=_unit("requests"),
    )
    max_wait_hours: float = Field(
        default=72.0, gt=0, le=10_000, description="hours after which a step without enough evidence is overdue"
    )
    at_deadline: Literal["roll_back", "wait"] = Field(
        default="roll_back", description="what happens to an overdue release: it ends, or it waits for a person"
    )
    newer: Literal["wait", "supersede"] = Field(
        default="wait", description="whether a newer challenger waits for the running release, or ends it"
    )
    shadow: Shadow = Shadow()
    bake_hours: float = Field(
        default=24.0,
        ge=0,
        le=10_000,
        description="hours at 100 % in which the version before stays loaded, and a breach returns to it",
    )
    look_seconds: float = Field(default=60.0, ge=1, le=86_400, description="seconds between two looks at a release")
    min_labels: int = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="labelled requests of each variant that a step needs",
        json_schema_extra=_unit("rows"),
    )
    confidence: float = Field(
        default=0.95,
        gt=0.5,
        lt=1,
        description="share of harmless releases that are not rolled back, at least, however often one looks",
        json_schema_extra=_unit("probability"),
    )
    guardrails: Guardrails = Guardrails()
    mesh: Mesh | None = Field(default=None, description="a mesh that divides the requests instead of the service")

    @field_validator("steps")
    @classmethod
    def _steps_rise_to_all(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        rise = all(low < high for low, high in pairwise((0, *steps)))
        if not rise or steps[-1] != 100:
            raise ValueError(f"expected rising shares from 1 to 100 that end at 100, found {[*steps]}")
        return steps

    @model_validator(mode="after")
    def _plan_can_be_followed(self) -> Self:
        """Refuse a plan whose release could not start, or that waits for what is not judged."""
        if self.mode != "direct" and self.steps == (100,) and not self.shadow.requests:
            raise ValueError(
                "steps: [100] without a shadow has nothing to observe before the champion changes; add a step below "
                "100, set shadow.requests, or set mode: direct"
            )
        if self.min_labels > 0 and self.guardrails.performance_loss is None:
            raise ValueError("min_labels: expected 0 without guardrails.performance_loss, which the labels are for")
        return self

    @model_validator(mode="after")
    def _mesh_can_be_judged(self) -> Self:
        """Refuse a plan that waits for what its mesh cannot give."""
        if self.mesh is None:
            return self
        given, limits = self.mesh.prometheus, self.guardrails
        _refuse(self.shadow.requests > 0, "shadow.requests: expected 0 with a mesh, which gets weights and no copies")
        _refuse(self.min_labels > 0, "min_labels: expected 0 with a mesh, whose metrics have no labelled requests")
        _refuse(
            given.latency is None and limits.latency_ratio is not None,
            "mesh.prometheus.latency: expected a histogram, or guardrails.latency_ratio: null",
        )
        _refuse(
            given.predictions is None and limits.prediction_psi is not None,
            "mesh.prometheus.predictions: expected a counter by bin, or guardrails.prediction_psi: null",
        )
        return self


class Drift(Section):
    """When the rows of a window differ from the champion's training rows, and what happens then."""

    psi: float = Field(
        default=0.1,
        gt=0,
        le=10,
        description="population stability index up to which a change is small",
        json_schema_extra=_unit("PSI"),
    )
    class_psi: float = Field(
        default=0.02,
        gt=0,
        le=10,
        description="the same of the target's classes: from 10 % to 15 % it is 0.02",
        json_schema_extra=_unit("PSI"),
    )
    class_ratio: float = Field(
        default=1.25,
        gt=1,
        le=100,
        description="ratio up to which a class's rate differs little from the reference's and the predicted one",
        json_schema_extra=_unit("ratio"),
    )
    confidence: float = Field(
        default=0.99,
        gt=0.5,
        lt=1,
        description="share of windows without any drift that raise no alarm, at least",
        json_schema_extra=_unit("probability"),
    )
    min_importance: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="share of the champion's feature importance that has to drift",
        json_schema_extra=_unit("share of importance"),
    )
    window_rows: int = Field(default=1000, ge=30, description="rows of a window, made of the newest whole batches")
    min_rows: int = Field(default=200, ge=30, description="fewest rows of a window that is judged")
    persistence: tuple[int, int] = Field(
        default=(2, 3),
        description="[k, n]: drift is drift in k of the last n windows",
        json_schema_extra=_unit("windows"),
    )
    cooldown_hours: float = Field(
        default=24.0, ge=0, le=10_000, description="minimum hours between recommended retrainings"
    )
    label_delay_days: float = Field(
        default=0.0, ge=0, le=10_000, description="age in days below which the labels of rows are incomplete"
    )
    max_loss: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="loss of gate.metric that is tolerated, as a share of its holdout value",
        json_schema_extra=_unit("share of the holdout value"),
    )
    retrain_on: Literal["harm", "drift", "never"] = Field(
        default="harm", description="retrain when drift harms the (estimated) performance, on any drift, or never"
    )

    @field_validator("persistence")
    @classmethod
    def _k_of_n(cls, persistence: tuple[int, int]) -> tuple[int, int]:
        needed, among = persistence
        if not 1 <= needed <= among <= 100:
            raise ValueError(f"expected [k, n] with 1 <= k <= n <= 100, found [{needed}, {among}]")
        return persistence

    @model_validator(mode="after")
    def _windows_can_be_judged(self) -> Self:
        if self.min_rows > self.window_rows:
            raise ValueError(f"min_rows ({self.min_rows}) is more than window_rows ({self.window_rows})")
        return self


class Labels(Section):
    """How labels that arrive for predictions find them, and whether served rows with labels are trained on."""

    match_days: float | None = Field(
        default=None,
        gt=0,
        le=100_000,
        description="days from a prediction to an outcome of its entity, above which the label does not belong to it; "
        "null: no bound",
    )
    train: bool = Field(
        default=False,
        description="whether ingest, and so every training, also takes the served rows whose labels are known",
    )
    min_band_ratio: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="labelled share of any band of scores as a ratio to that of the other served rows, below which the "
        "rows with labels are a selected sample and are refused; 0 accepts every sample",
        json_schema_extra=_unit("ratio"),
    )


class Monitor(Section):
    """Which rows the flow ``monitor`` judges, and what it does besides deciding."""

    source: Literal["auto", "batches", "predictions"] = Field(
        default="auto",
        description=(
            "rows that are judged where none are asked for: the newest batches, the prediction log, or (auto) the log "
            "only if every batch is judged and the log has enough rows"
        ),
    )
    window_hours: float = Field(
        default=24.0,
        gt=0,
        le=10_000,
        description="hours of the prediction log that the first window of it consists of; each later one begins where "
        "the one before ended",
    )

    report: Literal["drift", "always", "asked"] = Field(
        default="drift",
        description=(
            "when Evidently's plots are added to the page of a decision: if a column drifted or the window is a "
            "signal, always, or by 'perennial report' alone; no decision waits for them"
        ),
    )


class Retrain(Section):
    """Conditions for a retraining, whatever the trigger."""

    cooldown_hours: float = Field(
        default=1.0, ge=0, le=10_000, description="minimum hours between retrainings, whatever the trigger"
    )
    per_week: int = Field(
        default=20,
        ge=1,
        le=10_000,
        description="retrainings in any seven days",
        json_schema_extra=_unit("retrainings per 7 days"),
    )
    min_new_labels: int = Field(
        default=1,
        ge=1,
        description="labelled rows that the champion's data version does not hold",
        json_schema_extra=_unit("rows"),
    )


class Schedule(Section):
    """Schedules of the model's flows: five-field cron expressions."""

    ingest: Cron | None = Field(default=None, description="when new rows are read; never when left out")
    monitor: Cron | None = Field(default=None, description="when the newest rows are judged for drift")
    retrain: Cron | None = Field(default=None, description="when a retraining is asked for")
    timezone: str = Field(default="UTC", description="name of the time zone the expressions are in (IANA)")

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError("expected the name of a time zone such as UTC or Europe/Berlin")
        return name


class ModelConfig(Section):
    """One prediction problem: the whole content of ``config/models/<model>.yaml``."""

    model: Name = Field(description="name of the model, of this file and in MLflow's registry")
    task: Task = Field(description="what is predicted: one of two classes, one of several, a number")
    source: Source = Field(description="where the rows come from")
    target: Column = Field(description="column to predict")
    positive: str | None = Field(default=None, description="binary: the class whose probability is predicted")
    time: Column | None = Field(default=None, description="orders the rows; the newest become the holdout")
    key: Column | None = Field(default=None, description="entity key")
    key_is_unique: bool = Field(default=True, description="a later row with the same key replaces the earlier")
    features: Features
    validation: Validation
    training: Training
    evaluation: Evaluation = Evaluation()
    gate: Gate
    release: Release = Release()
    drift: Drift = Drift()
    monitor: Monitor = Monitor()
    labels: Labels = Labels()
    retrain: Retrain = Retrain()
    schedule: Schedule = Schedule()

    @field_validator("model")
    @classmethod
    def _name_is_free(cls, name: str) -> str:
        if name == "latest" or re.fullmatch(r"v\d+", name):
            raise ValueError("'latest' and 'v<number>' are reserved by MLflow's registry")
        return name

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        _refuse(self.target in self.features.used, f"target: {self.target!r} is also a feature")
        _refuse(self.key is not None and self.key in self.features.used, f"key: {self.key!r} is also a feature")
        _refuse(
            self.time is not None and self.time in self.features.numeric + self.features.categorical,
            f"time: the column {self.time!r} can be a feature under features.dates only",
        )
        _refuse(self.task == "binary" and self.positive is None, "positive: a binary task needs the class to predict")
        _refuse(self.task != "binary" and self.positive is not None, "positive: it belongs to a binary task")
        _refuse(
            self.training.half_life_days is not None and self.time is None,
            "training.half_life_days: it needs 'time', from which the age of rows is counted",
        )
        metrics = REGRESSION_METRICS if self.task == "regression" else CLASSIFICATION_METRICS
        _refuse(
            self.gate.metric not in metrics,
            f"gate.metric: {self.gate.metric!r} does not fit the task {self.task}: one of {', '.join(metrics)}",
        )
        least, most = _METRIC_BOUNDS[self.gate.metric]
        _refuse(
            not least <= self.gate.floor <= most,
            f"gate.floor: {self.gate.metric} is {_between(least, most)}, found {self.gate.floor:g}",
        )
        sliceable = self.features.categorical + self.features.boolean + self.features.ignored
        strange = [column for column in self.evaluation.slices if column not in sliceable]
        _refuse(
            bool(strange),
            "evaluation.slices: expected categorical, boolean or ignored columns, found "
            f"{_with_closest(strange, sliceable)}",
        )
        named = {*_named(self.source.decimal), *_named(self.source.thousands), *self.source.units, *self.source.dates}
        strangers = sorted(named.difference(self.columns))
        notations = _with_closest(strangers, self.columns)
        _refuse(bool(strangers), f"source: notations of columns that are not declared: {notations}")
        unknown = [column for column in self.training.leakage.allow if column not in self.features.used]
        allowed = _with_closest(unknown, self.features.used)
        _refuse(bool(unknown), f"training.leakage.allow: columns that are not features: {allowed}")
        return self

    @property
    def replaces_rows(self) -> bool:
        """Whether a row replaces the older row of its key."""
        return self.key is not None and self.key_is_unique

    @property
    def columns(self) -> tuple[str, ...]:
        """Every declared column once: key, time, target, features, ignored."""
        lead = [column for column in (self.key, self.time, self.target) if column is not None]
        return tuple(dict.fromkeys([*lead, *self.features.used, *self.features.ignored]))


def _with_closest(names: Sequence[str], known: Iterable[str]) -> str:
    """List names, with the closest known one of the first."""
    close = closest_text(names[0], known) if names else ""
    return f"{list(names)}" + (f" ({close})" if close else "")


def _named(mark: str | Mapping[str, str]) -> Iterable[str]:
    return () if isinstance(mark, str) else mark


def _mark(mark: str | Mapping[str, str], column: str | None, usual: str) -> str:
    return mark if isinstance(mark, str) else mark.get(column, usual) if column is not None else usual


def _between(least: float, most: float) -> str:
    if math.isinf(least) or math.isinf(most):
        return f"at most {most:g}" if math.isinf(least) else f"at least {least:g}"
    return f"between {least:g} and {most:g}"


def _refuse(condition: bool, message: str) -> None:
    if condition:
        raise ValueError(message)
