"""Registered versions and comparisons as lines."""

from __future__ import annotations

from dataclasses import replace

from cli.lines.versions import comparison_lines, model_lines, version_lines
from tasks.registry.versions import ModelSummary, RunningRelease, VersionDetail
from tests.tasks.verdicts import comparison, refused, slice_gain, undecided, verdict


def test_a_comparison_is_one_table_and_the_gates_answer() -> None:
    """Both values, the gain, its interval and every slice stand in aligned columns."""
    lines = comparison_lines(refused())
    assert lines[1] == "credit: version 4 against version 3"
    assert "4,312 of 4,800 holdout rows are new to both: version 3 was trained on 488, version 4 on 12" in lines[2]
    header, whole = lines[4], lines[5]
    assert header.split() == ["ROC", "AUC", "rows", "version", "3", "version", "4", "gain", "interval"]
    assert whole.split("  ")[-1] == "99.06 % by DeLong"
    assert whole.index("0.8123") + len("0.8123") == header.index("version 4") + len("version 4")
    west = next(line for line in lines if "region = west" in line)
    assert west.endswith("-0.0652 to -0.0232  worse beyond noise (p = 0.0004)")
    assert lines.index("gate's verdict: keep") < lines.index(f"  {refused().reasons[0]}")


def test_without_a_comparison_the_rows_and_the_reason_remain() -> None:
    """Too few clean rows leave no table."""
    lines = comparison_lines(undecided())
    assert "42 of 4,800" in lines[2]
    assert lines[3:5] == ["", "gate's verdict: undecided"]
    assert len(comparison_lines(replace(undecided(), holdout=None))) == len(lines) - 1


def test_a_level_cannot_steer_the_terminal() -> None:
    """What cannot be seen is written as an escape."""
    found = verdict(comparison=comparison(slices=(slice_gain("region", "a\x1b[2J\n", 0.01, 0.02, 90),)))
    assert any("region = a\\x1b[2J\\n" in line for line in comparison_lines(found))
    assert "\x1b" not in "".join(comparison_lines(found))


def test_a_model_is_one_line() -> None:
    """A model file that was never trained has dashes; without a model there is advice."""
    trained = ModelSummary("credit", 12, 3, None, 12, "roc_auc", 0.81234, "2026-01-02T03:04:05+00:00")
    header, first, second = model_lines([trained, ModelSummary("new", 0)])
    assert header.split() == ["model", "versions", "champion", "challenger", "gate", "metric", "newest"]
    assert first.split() == ["credit", "12", "3", "–", "roc_auc", "0.8123", "2026-01-02T03:04:05+00:00"]
    assert second.split() == ["new", "0", "–", "–", "–", "–"]
    assert "perennial init" in model_lines([])[0]


def test_a_broken_model_file_is_told_below_the_table() -> None:
    """Its model has a line as every other, and its error stands below."""
    broken = ModelSummary("new", 0, problem="new.yaml is not a valid model file:\n  gate: Field required")
    assert model_lines([broken, ModelSummary("old", 1)])[3:] == [
        "",
        "new.yaml is not a valid model file:",
        "  gate: Field required",
    ]


def test_a_running_release_is_told() -> None:
    """Below the table, with the command that says more; it is the first thing about a version."""
    release = RunningRelease(2, 4, "step", 25, False)
    said = "release 2 of version 4 runs, at 25 % of the requests: perennial release credit"
    assert model_lines([ModelSummary("credit", 4, release=release), ModelSummary("new", 0)])[3:] == [
        "",
        f"  credit: {said}",
    ]
    paused = replace(release, stage="shadow", share=0, paused=True)
    assert "in the shadow, paused" in model_lines([ModelSummary("credit", 4, release=paused)])[-1]
    detail = VersionDetail("credit", 3, (), "r", "2026-01-02", "d", "passed", "", None, None, (), {}, {}, {}, (), {})
    assert version_lines(replace(detail, release=release))[1] == f"  {said}"
    assert "release" not in "".join(version_lines(detail))


def test_a_version_is_told_in_sections() -> None:
    """What is empty leaves no heading and no gap."""
    detail = VersionDetail(
        model="credit",
        version=3,
        aliases=("champion",),
        run_id="r",
        created_at="2026-01-02",
        data_version="d",
        gate="passed",
        gate_metric="f1",
        gate_value=0.5,
        gate_floor=0.4,
        reasons=("better",),
        metrics={"f1": 0.9, "accuracy": 0.75},
        params={},
        lineage={"data_version": "d"},
        files=(),
        links={},
    )
    assert version_lines(detail) == [
        "credit version 3 (champion), 2026-01-02",
        "  gate: passed",
        "    better",
        "",
        "  metric     value  recorded in",
        "  f1        0.5000  the gate's verdict",
        "  accuracy  0.7500  MLflow",
        "",
        "  data_version       d",
    ]
    params = {"candidate": "linear", "choice.linear": "roc_auc 0.7", "choice.reason": "the best"}
    assert version_lines(replace(detail, params=params))[7:11] == [
        "",
        "  chosen: linear  in MLflow",
        "  linear          roc_auc 0.7",
        "  reason          the best",
    ]
    unjudged = version_lines(replace(detail, gate_value=None))
    assert "  f1        0.9000  MLflow" in unjudged
    bare = replace(detail, aliases=(), metrics={}, gate_value=None, lineage={}, reasons=())
    assert version_lines(bare) == ["credit version 3, 2026-01-02", "  gate: passed"]
