"""Assemble the inferred decisions into a model file, and write it as YAML with the reason of each as a comment."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.schema import AUTO, ModelConfig, Release
from core.init.columns import MAX_SLICES, SLICE_LEVELS, ColumnStatistics, Decision, TargetDecision, Why, may_be_value
from core.text import number, percent, short

KINDS = ("numeric", "categorical", "boolean", "dates", "ignored")
COMMENT_COLUMN = 44
MAX_COMMENT = 110
ROWS_TO_JUDGE_BY = 200_000
"""Maximum holdout rows: here the interval of an AUC is ±0.002, and a larger holdout hardly narrows it."""

LARGE_LEAF = 50
MIN_ROWS_TO_STOP_EARLY = 1000
MIN_CLASS_TO_STOP_EARLY = 50
"""Minimum rows (in all, of the smallest class) for early stopping, which validates on a tenth of the rows."""


LINEAR: dict[bool, dict[str, Any]] = {
    False: {"estimator": "sklearn.linear_model.LogisticRegression", "params": {"max_iter": 1000}},
    True: {"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 1.0}},
}
"""Regularised linear model by whether the task is a regression."""

LEVELS_WITH_A_COLUMN = 100
"""As ``core.train.pipeline.ONE_HOT_LEVELS``, which would import scikit-learn here (compared by a test)."""

MAX_LINEAR_CELLS = 100_000_000
"""Maximum cells of a linear model's matrix, 400 MB: beyond it, only boosting is inferred."""

USUAL_WINDOW = 1000
"""Rows of a monitored window, the default of the model file."""

EVENTS_OF_A_DOUBLING = 21
"""Events expected in a window at which a doubled rate is found with a probability of 90 % (docs/monitoring.md)."""

USUAL_MIN_ROWS = 100
LEAST_MIN_ROWS = 30
"""Clean holdout rows that the gate requires: its default, and the minimum that a model file can set."""


@dataclass(frozen=True)
class Findings:
    """Everything that was inferred about a data set.

    Parameters
    ----------
    name
        Name of the model.
    source
        Section ``source`` without ``missing``.
    columns
        Statistics of each column that a model file can name.
    target
        Name of the target column.
    goal
        The task.
    kinds
        Kind of each feature and of each ignored column, with the reason.
    missing
        Texts that mean no value, with the reason.
    time, key
        Names of the time column and of the key column; None if there is none.
    key_is_unique
        Whether each key occurs in one row; without meaning if there is no key.
    n_keys
        Number of distinct keys.
    baseline
        Regression: root mean squared error of predicting the mean, in units of the target.
    n_repeats
        Number of rows with the same features as an earlier row.
    doubts
        Remarks on columns whose kind the user should check.
    """

    name: str
    source: Mapping[str, Any]
    columns: Mapping[str, ColumnStatistics]
    target: str
    goal: TargetDecision
    kinds: Mapping[str, Decision]
    missing: Mapping[str, str] = field(default_factory=dict)
    time: str | None = None
    key: str | None = None
    key_is_unique: bool = True
    n_keys: int = 0
    baseline: float = 0.0
    n_repeats: int = 0
    doubts: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        """Number of rows of the source."""
        return self.columns[self.target].n_rows


def model_content(found: Findings) -> tuple[dict[str, Any], Why]:
    """Return the content of the model file, and the reason for each inferred value.

    Returns
    -------
    content
        Plain values, valid for :class:`config.schema.ModelConfig`.
    why
        Reason by place, such as ``("gate", "floor")``; the place of a list item ends with its value.
    """
    why: Why = {}
    content: dict[str, Any] = {"model": found.name, "task": found.goal.task, "source": _source(found, why)}
    why[("task",)] = found.goal.why
    content |= _roles(found, why)
    content["features"] = _features(found, why)
    content["validation"] = {"suite": f"config/expectations/{found.name}.json", "max_quarantine": 0.02}
    why[("validation", "max_quarantine")] = "maximum share of rows to set aside; above it the batch is refused"
    content["training"] = _training(found, why)
    slices = _slices(found)
    if slices:
        content["evaluation"] = {"slices": slices}
        why[("evaluation", "slices")] = (
            "metrics per level of these columns; the gate refuses a version that is worse on one of them"
        )
    content["gate"] = _gate(found, content["training"]["holdout"], why)
    content["release"] = _release(content["gate"], why)
    content["drift"] = _drift(found, why)
    content["retrain"] = _retrain(why)
    content["schedule"] = _schedule(why)
    return content, why


def model_text(content: Mapping[str, Any], why: Why, headline: Sequence[str]) -> str:
    """Write a model file as YAML, one list item per line, with each reason as a comment at the end of its line.

    Parameters
    ----------
    content
        Values of the model file, from :func:`model_content`.
    why
        Reason by place, from :func:`model_content`.
    headline
        Comment lines at the top, without ``#``.
    """
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 1 << 30  # no line breaks inside a value: its comment would be at another line
    yaml.allow_unicode = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    # The library writes None as an empty value, which looks like a forgotten one.
    yaml.representer.add_representer(type(None), _null)
    tree = _annotated(content, (), why)
    stream = io.StringIO()
    yaml.dump(tree, stream)
    top = "".join(f"# {line}\n" for line in headline)
    return top + re.sub(
        r"\n(?=(source|target|features|validation|training|evaluation|gate|release|drift|retrain|schedule):)",
        "\n\n",
        stream.getvalue(),
    )


def _null(representer: Any, _value: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _annotated(node: Any, path: tuple[str, ...], why: Why) -> Any:
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(node, Mapping):
        tree = CommentedMap((name, _annotated(value, (*path, name), why)) for name, value in node.items())
        _comment(tree, ((name, (*path, name)) for name in node), why)
        return tree
    if isinstance(node, list | tuple):
        items = CommentedSeq(_annotated(value, (*path, str(value)), why) for value in node)
        _comment(items, ((place, (*path, str(value))) for place, value in enumerate(node)), why)
        if node and all(isinstance(value, int) for value in node):
            items.fa.set_flow_style()  # numbers such as [2, 3] are one setting and fit on one line
        return items
    return _scalar(node)


def _comment(tree: Any, places: Iterable[tuple[Any, tuple[str, ...]]], why: Why) -> None:
    for place, path in places:
        if path in why:
            tree.yaml_add_eol_comment(_one_line(why[path]), place, column=COMMENT_COLUMN)


def _one_line(reason: str) -> str:
    """Return a reason as comment text without line breaks and control characters, at most ``MAX_COMMENT`` long."""
    clean = "".join(character if character.isprintable() else "�" for character in reason)
    return clean if len(clean) <= MAX_COMMENT else clean[: MAX_COMMENT - 1] + "…"


def _scalar(value: Any) -> Any:
    """Quote every text that is not a plain word: YAML 1.1 parses ``no``, ``1`` and ``12:30`` as other types."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString

    if not isinstance(value, str):
        return value
    words = r"(?i:y|n|yes|no|on|off|true|false|null|none)"
    if re.fullmatch(r"[A-Za-z_/][\w./@+-]*(?: [\w./@+-]+)*", value, re.ASCII) and not re.fullmatch(words, value):
        return value
    return SingleQuotedScalarString(value) if value.isprintable() else DoubleQuotedScalarString(value)


def _source(found: Findings, why: Why) -> dict[str, Any]:
    why |= {("source", "missing", text): reason for text, reason in found.missing.items()}
    why[("source", "missing")] = "texts that mean 'no value'"
    return {**found.source, "missing": ["", *found.missing]}


def _roles(found: Findings, why: Why) -> dict[str, Any]:
    content: dict[str, Any] = {"target": found.target}
    unlabelled = found.columns[found.target].n_missing
    if unlabelled:
        why[("target",)] = f"{unlabelled:,} rows have no target; they are stored, but not trained on"
    if found.goal.positive is not None:
        content["positive"] = found.goal.positive
        why[("positive",)] = found.goal.why_positive
    if found.time is not None:
        content["time"] = found.time
        why[("time",)] = "the newest rows are the holdout; list it under features.dates too if seasons matter"
    if found.key is not None:
        content |= {"key": found.key, "key_is_unique": found.key_is_unique}
        why[("key_is_unique",)] = (
            "each key occurs in one row; a later row with the same key replaces the earlier one"
            if found.key_is_unique
            else f"{found.n_keys:,} keys in {found.n_rows:,} rows: keys repeat, and every row is used"
        )
    return content


def _features(found: Findings, why: Why) -> dict[str, list[str]]:
    features: dict[str, list[str]] = {}
    for kind in KINDS:
        names = [name for name, decision in found.kinds.items() if decision.kind == kind]
        if names:
            features[kind] = names
        why |= {("features", kind, name): found.kinds[name].why for name in names}
    if "ignored" in features:
        why[("features", "ignored")] = "stored with the data, not used as features"
    return features


def _training(found: Findings, why: Why) -> dict[str, Any]:
    family = "Regressor" if found.goal.task == "regression" else "Classifier"
    n_labelled = found.columns[found.target].n_values
    holdout = holdout_share(n_labelled)
    place = ("training",)
    why[(*place, "holdout")] = "share of rows that evaluate the model and are never trained on"
    smallest = min((n for _, n in found.goal.classes), default=n_labelled)
    cv = _folds(n_labelled, smallest)
    why[(*place, "cv")] = "folds of cross-validation" + (
        "" if cv == 5 else ": fewer than the usual 5, because " + _fewer(n_labelled)
    )
    params = boosting_params(found.goal.task, n_labelled, smallest, in_time_order=found.time is not None)
    boosting = {"estimator": f"sklearn.ensemble.HistGradientBoosting{family}", "params": params}
    shown = _portfolio(found, boosting, why) if _n_linear_cells(found) <= MAX_LINEAR_CELLS else _alone(boosting, why)
    return {**shown, "cv": cv, "holdout": holdout}


def _portfolio(found: Findings, boosting: dict[str, Any], why: Why) -> dict[str, Any]:
    order = "in time order" if found.time is not None else "of cross-validation"
    why |= {
        ("training", "estimator"): "the best of the candidates below",
        ("training", "search"): f"compared on folds {order}, on training rows only; the scores are on the model card",
        ("training", "search", "candidates", "boosting"): "accepts missing values, finds interactions",
        (
            "training",
            "search",
            "candidates",
            "linear",
        ): "extrapolates: better where rows are few or the world changes",
        ("training", "search", "average"): "the mean of their predictions is one more candidate",
    }
    candidates = {"boosting": boosting, "linear": LINEAR[found.goal.task == "regression"]}
    return {"estimator": AUTO, "search": {"candidates": candidates, "average": True}}


def _alone(boosting: dict[str, Any], why: Why) -> dict[str, Any]:
    why |= {
        ("training", "estimator"): "accepts missing values, needs no scaling, is fast on many rows",
        ("training", "params"): "defaults for this number of rows; add a section 'search' to training to tune them",
    }
    return boosting


def _n_linear_cells(found: Findings) -> int:
    """Return the size of a linear model's matrix: a column per number, and one per level up to the encoder's limit."""
    used = {name: one.kind for name, one in found.kinds.items() if one.kind in KINDS[:4]}
    n_columns = sum(
        min(found.columns[name].n_distinct, LEVELS_WITH_A_COLUMN) if kind == "categorical" else 1
        for name, kind in used.items()
    )
    return n_columns * found.columns[found.target].n_values


def holdout_share(n_labelled: int) -> float:
    """Return the share of rows for the holdout, 0.01 to 0.2, so that it has at most :data:`ROWS_TO_JUDGE_BY` rows.

    Examples
    --------
    >>> holdout_share(30_000), holdout_share(4_000_000)
    (0.2, 0.05)
    """
    return max(0.01, min(0.2, round(ROWS_TO_JUDGE_BY / max(n_labelled, 1), 2)))


def boosting_params(task: str, n_labelled: int, smallest_class: int, *, in_time_order: bool = False) -> dict[str, Any]:
    """Return parameters of histogram gradient boosting for a task and a number of rows.

    A low learning rate with a share of the columns per split and early stopping was chosen on the four public data sets
    of ``benchmarks/quality.py``, where it beats hand-tuned boosting on random holdouts. For classes, larger leaves are
    more robust to drift; for regression judged on the newest rows, fewer leaves are better. With few rows there is no
    early stopping, because its validation rows would be too few; with many rows, a higher learning rate saves time.

    Parameters
    ----------
    task
        ``binary``, ``multiclass`` or ``regression``.
    n_labelled
        Number of labelled rows.
    smallest_class
        Number of rows of the smallest class; regression: ``n_labelled``.
    in_time_order
        Whether the holdout is the newest rows.
    """
    basis: dict[str, Any] = {"learning_rate": 0.05, "max_features": 0.75 if task == "regression" else 0.5}
    if n_labelled < MIN_ROWS_TO_STOP_EARLY or smallest_class < MIN_CLASS_TO_STOP_EARLY:
        return basis | {"max_iter": 200, "max_leaf_nodes": 15, "early_stopping": False}
    if task == "regression" and in_time_order:
        basis["max_leaf_nodes"] = 15
    if task != "regression" and n_labelled >= 100 * LARGE_LEAF:
        basis["min_samples_leaf"] = LARGE_LEAF
    if n_labelled > ROWS_TO_JUDGE_BY:
        return basis | {"learning_rate": 0.1, "max_iter": 300, "early_stopping": True, "n_iter_no_change": 10}
    return basis | {"max_iter": 1000, "early_stopping": True, "n_iter_no_change": 20}


def _folds(n_labelled: int, smallest: int) -> int:
    return max(2, min(3 if n_labelled > ROWS_TO_JUDGE_BY else 5, smallest * 4 // 5))


def _fewer(n_labelled: int) -> str:
    return "each fold has enough rows" if n_labelled > ROWS_TO_JUDGE_BY else "the smallest class has few rows"


def _slices(found: Findings) -> list[str]:
    """Choose columns with a few levels, preferring those whose smallest level has the most rows."""
    candidates = [
        (min(n for _, n in column.levels), name)
        for name, decision in found.kinds.items()
        if decision.kind in {"categorical", "boolean"}
        and (column := found.columns[name]).n_distinct in SLICE_LEVELS
        and column.levels
    ]
    best = sorted(candidates, key=lambda candidate: -candidate[0])[:MAX_SLICES]
    chosen = {name for _, name in best}
    return [name for name in found.kinds if name in chosen]


def _gate(found: Findings, holdout: float, why: Why) -> dict[str, Any]:
    metric, floor, reason = _floor(found, holdout)
    why[("gate", "floor")] = reason
    why[("gate", "mode")] = (
        "promotes a better version; 'manual' waits for 'perennial approve', 'dry_run' only records the verdict"
    )
    return {"metric": metric, "floor": floor, **_min_rows(found, holdout, why), "mode": "enabled"}


def _release(gate: Mapping[str, Any], why: Why) -> dict[str, Any]:
    """Return the section with the defaults of the schema, each with what it is for.

    The default of a loss is one of a share; a metric in units of the target gets a hundredth of its floor.
    """
    section = Release()
    reasons: dict[str | tuple[str, str], str] = {
        "mode": "by steps if the service answered the model in the last day, else at once; or staged, direct",
        "steps": "percent of the requests that a challenger answers, step by step",
        "min_requests": "requests that it answers in each step at least",
        "max_wait_hours": "a step that shows no evidence for so long is overdue",
        "at_deadline": "an overdue release ends; 'wait': for a person",
        ("shadow", "requests"): "copies of requests that it answers first, unseen by clients; 0: none",
        ("shadow", "hours"): "a shadow without evidence for so long is overdue",
        "bake_hours": "the version before stays loaded for so long, and a breach returns to it",
        ("guardrails", "error_rate"): "tolerated rise of the share of requests that fail",
        ("guardrails", "latency_ratio"): "tolerated ratio of latencies, at the median and the slowest requests",
        ("guardrails", "prediction_psi"): "tolerated PSI between the predictions of both",
        ("guardrails", "performance_loss"): "tolerated loss of gate.metric on requests whose labels have arrived",
    }
    why |= {("release", *([name] if isinstance(name, str) else name)): reason for name, reason in reasons.items()}
    content: dict[str, Any] = {}
    for name in reasons:
        if isinstance(name, str):
            value = getattr(section, name)
            content[name] = list(value) if isinstance(value, tuple) else value
        else:
            group, field = name
            content.setdefault(group, {})[field] = getattr(getattr(section, group), field)
    if gate["metric"] == "rmse" and (loss := float(f"{0.01 * gate['floor']:.2g}")) > 0:
        content["guardrails"]["performance_loss"] = loss
        place = ("release", "guardrails", "performance_loss")
        why[place] += ", in units of the target: 1 % of gate.floor"
    return content


def _drift(found: Findings, why: Why) -> dict[str, Any]:
    window = _window_rows(found)
    content: dict[str, Any] = {"psi": 0.1, "window_rows": window, "min_rows": window // 5, "persistence": [2, 3]}
    reasons = {
        "psi": "a column drifts if its PSI is above this and above what chance explains",
        "window_rows": "a window is the newest whole batches, with a total as close to this as possible",
        "min_rows": "a window with fewer rows is not judged",
        "persistence": "drift counts if 2 of the last 3 windows show it",
        "cooldown_hours": "minimum hours between two recommended retrainings",
        "label_delay_days": "rows younger than this are not evaluated: their labels are incomplete",
        "retrain_on": "retrain on drift that harms performance; 'drift': on any drift, 'never': only report",
    }
    content["cooldown_hours"] = 24
    if found.time is not None:
        content["label_delay_days"] = 0
    content["retrain_on"] = "harm"
    why |= {("drift", name): reasons[name] for name in content}
    return content


def _window_rows(found: Findings) -> int:
    """Choose windows in which a doubled rate of a rare event can be found, if a fifth of the rows suffices."""
    needed = _rows_of_a_doubling(found)
    return needed if USUAL_WINDOW < needed <= found.n_rows // 5 else USUAL_WINDOW


def _rows_of_a_doubling(found: Findings) -> int:
    """Return the rows of a window that finds a doubled rate of the rarer class, in hundreds; 0 if it is not binary."""
    if found.goal.task != "binary":
        return 0
    classes = [n for _, n in found.goal.classes]
    return 100 * math.ceil(EVENTS_OF_A_DOUBLING * sum(classes) / max(min(classes), 1) / 100)


def _retrain(why: Why) -> dict[str, Any]:
    reasons = {
        "cooldown_hours": "minimum hours between two retrainings, whatever the trigger",
        "per_week": "maximum retrainings in any seven days",
        "min_new_labels": "minimum labelled rows that the champion was not trained on",
    }
    why |= {("retrain", name): reason for name, reason in reasons.items()}
    return {"cooldown_hours": 1, "per_week": 20, "min_new_labels": 1}


def _schedule(why: Why) -> dict[str, Any]:
    reasons = {
        "ingest": "when the flow runs, as cron: minute, hour, day, month, weekday; null: never",
        "monitor": "new data is also monitored as soon as it is versioned",
        "retrain": "for example '0 3 * * 1': every Monday at 03:00",
        "timezone": "time zone of these schedules",
    }
    why |= {("schedule", name): reason for name, reason in reasons.items()}
    return {"ingest": None, "monitor": None, "retrain": None, "timezone": "UTC"}


def _min_rows(found: Findings, holdout: float, why: Why) -> dict[str, int]:
    n_holdout = _n_holdout(found, holdout)
    if n_holdout >= USUAL_MIN_ROWS:
        return {}
    why[("gate", "min_rows")] = f"fewer than the usual {USUAL_MIN_ROWS}: the holdout has about {n_holdout:,} rows"
    return {"min_rows": max(LEAST_MIN_ROWS, n_holdout // 2)}


def _n_holdout(found: Findings, holdout: float) -> int:
    return round(found.columns[found.target].n_values * holdout)


def _floor(found: Findings, holdout: float) -> tuple[str, float, str]:
    if found.goal.task == "regression":
        where = "the newest rows" if found.time is not None else "these rows"
        return (
            "rmse",
            _three_digits(found.baseline),
            f"RMSE of predicting the mean on {where}: a model must be better",
        )
    total = sum(n for _, n in found.goal.classes)
    if found.goal.task == "multiclass":
        entropy = -sum(n / total * math.log(n / total) for _, n in found.goal.classes)
        return "log_loss", _three_digits(entropy), "log loss of predicting the class shares: a model must be better"
    n_holdout = min(n for _, n in found.goal.classes) * holdout
    floor = chance_bound(n_holdout, total * holdout - n_holdout)
    return (
        "roc_auc",
        floor,
        f"chance gives 0.5, rarely {floor:g} on {total * holdout:,.0f} holdout rows; raise it to what you need",
    )


def chance_bound(n_positive: float, n_negative: float) -> float:
    """Return the AUC that a model no better than chance reaches in about one case of a thousand, 0.55 to 0.7.

    Parameters
    ----------
    n_positive, n_negative
        Numbers of holdout rows of each class.

    Examples
    --------
    >>> chance_bound(1_300, 4_700), chance_bound(40, 160)
    (0.55, 0.66)

    References
    ----------
    The null distribution of the Mann-Whitney statistic: variance ``(m + n + 1) / (12 m n)``.
    """
    deviation = math.sqrt((n_positive + n_negative + 1) / (12 * max(n_positive, 1) * max(n_negative, 1)))
    return round(min(0.7, max(0.55, 0.5 + 3.09 * deviation)), 2)


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")


def notes(found: Findings, config: ModelConfig) -> list[str]:
    """Return sentences for the terminal: what was inferred, and what to check."""
    features = config.features
    counts = ", ".join(f"{len(getattr(features, kind))} {kind}" for kind in KINDS[:4] if getattr(features, kind))
    lines = [f"{config.task}: {found.goal.why}", f"learns from {len(features.used)} columns: {counts}"]
    if found.goal.positive is not None:
        lines.append(
            f"predicts the probability of {short(found.goal.positive)}, {found.goal.why_positive.split(':')[0]}"
        )
    lines += [f"ignored {short(name)}: {found.kinds[name].why}" for name in features.ignored]
    lines += [f"left out {short(name)}: {why}" for name, why in left_out(found).items()]
    lines += [
        f"{'look: ' if may_be_value(text) else ''}{short(text)} means no value: {reason}"
        for text, reason in found.missing.items()
    ]
    lines += [f"look: {doubt}" for doubt in found.doubts]
    lines += [*_key_notes(found), *_time_notes(found), *_imbalance_notes(found)]
    lines += [*_gate_notes(found, config), *_window_notes(found, config)]
    if found.n_repeats > 0.01 * found.n_rows:
        share = percent(found.n_repeats / found.n_rows)
        lines.append(
            f"look: {share} of the rows have the same features as an earlier row; remove them if they are copies"
        )
    return lines


def left_out(found: Findings) -> dict[str, str]:
    """Return the columns that are not in the model file, because the ingestion cannot store them, with the reason."""
    return {name: decision.why for name, decision in found.kinds.items() if decision.kind == "left out"}


def _key_notes(found: Findings) -> list[str]:
    if found.key is not None:
        return [] if found.key_is_unique else [f"look: key {short(found.key)} repeats; every row is used"]
    unique = [
        name
        for name, column in found.columns.items()
        if name in found.kinds and found.kinds[name].kind == "ignored" and column.n_distinct == column.n_rows > 1
    ]
    return [f"look: {short(unique[0])} is different in every row; if it is the key, use --key"] if unique else []


def _time_notes(found: Findings) -> list[str]:
    dates = [name for name, decision in found.kinds.items() if decision.kind == "dates"]
    if found.time is not None:
        missing = found.columns[found.time].n_missing
        return [f"look: {missing:,} rows have no {short(found.time)}; they are always trained on"] if missing else []
    advice = f"look: if {short(dates[0])} orders the rows, use --time to evaluate on the newest rows" if dates else ""
    return [advice] if advice else []


def _imbalance_notes(found: Findings) -> list[str]:
    if found.goal.task == "regression":
        return []
    label, n_rows = min(found.goal.classes, key=lambda level: level[1])
    few = n_rows < 100
    share = percent(n_rows / sum(n for _, n in found.goal.classes))
    return (
        [f"look: class {short(label)} has only {number(n_rows)} rows ({share}); its metrics will be uncertain"]
        if few
        else []
    )


def _gate_notes(found: Findings, config: ModelConfig) -> list[str]:
    n_holdout = _n_holdout(found, config.training.holdout)
    if n_holdout >= config.gate.min_rows:
        return []
    return [
        f"look: the holdout has about {number(n_holdout)} rows, but the gate needs {config.gate.min_rows} to compare "
        "two versions: add rows, or raise training.holdout"
    ]


def _window_notes(found: Findings, config: ModelConfig) -> list[str]:
    needed, window = _rows_of_a_doubling(found), config.drift.window_rows
    if needed <= USUAL_WINDOW:
        return []
    label, n_rows = min(found.goal.classes, key=lambda level: level[1])
    share = percent(n_rows / sum(n for _, n in found.goal.classes))
    advice = f"drift.window_rows is {number(window)}" + ("" if window >= needed else ", raise it as rows arrive")
    return [
        f"look: class {short(label)} is rare ({share}): a doubled rate is found in windows of about {number(needed)} "
        f"rows; {advice}"
    ]
