"""Register a fitted pipeline with its card, drift report, ONNX graph, profile, training rows and lineage."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from config.settings import Settings
from core.data.seen_rows import rows_trained_on
from core.drift.moving import Moving, moving_columns, with_held_prediction
from core.drift.profile import reference_profile, unused_columns
from core.feature_contract import KINDS
from core.metrics.evaluation import predict_output
from core.model_inputs import prepare
from core.outcome import TrainOutcome
from core.performance.cbpe import CbpeReference, reference_cbpe
from core.train.card import CardFacts, ColumnFacts, DataFacts
from core.train.portfolio import choice_records
from core.train.rehearsal import REHEARSAL
from core.train.training_run import EvaluatedRun, TrainingRun
from core.train.trust import trusted_types
from tasks.registry.bundle import build_bundle
from tasks.registry.client import address
from tasks.registry.register import Registered, register_bundle
from tasks.reports.card import Card, render_card
from tasks.reports.drift_page import write_page
from tasks.serving.rehearse import rehearsal_table
from tasks.train.bench import Bench, open_bench
from tasks.train.drift_report import training_report
from tasks.train.evaluate import fold_history
from tasks.train.holdout_rows import HOLDOUT_ROWS, holdout_rows_file
from tasks.train.onnx_export import OnnxResult, export_onnx
from tasks.train.reference_rows import CBPE, HISTORY, MOVING, REFERENCE_ROWS, reference_rows, reference_rows_file
from tasks.train.step_files import forget_steps
from tasks.train.training_rows import TRAINING_ROWS, training_rows_file
from tasks.validation.results import batch_results, newest_page


def register_run(evaluated: EvaluatedRun, settings: Settings) -> TrainOutcome:
    """Write the reports, build the bundle and register it; a repeat rewrites the same files and registers once.

    The version is not judged yet: judging reads the bundle back from the registry.
    """
    run = evaluated.run
    bench = open_bench(run)
    bench.prepare_rehearsal()
    run.folder.mkdir(parents=True, exist_ok=True)
    onnx = _onnx(bench, run.folder)
    validation = batch_results(run.snapshot, settings)
    card = render_card(_card_facts(bench, onnx, validation))
    (run.folder / "card.html").write_text(card.html, encoding="utf-8")
    bundle = build_bundle(
        run.folder / "bundle",
        bench.fitted.pipeline,
        bench.contract,
        bench.holdout_frame,
        _documents(bench, onnx, validation, card),
        trusted_types(run.config.training.trusted_types),
        model=run.config.model,
        lineage=run.lineage,
    )
    drift = write_page(training_report(bench), run.folder).html
    registered = register_bundle(
        bundle,
        run.config,
        run.lineage,
        {name: estimate.value for name, estimate in bench.evaluated.evaluation.metrics.items()},
        bench.fitted.params | choice_records(bench.fitted.choice),
        settings,
        {"card.html": run.folder / "card.html", "drift.html": drift},
    )
    shutil.rmtree(bundle.folder)
    forget_steps(run)
    return _outcome(run, registered, bench, settings)


def _onnx(bench: Bench, folder: Path) -> OnnxResult:
    prepared = prepare(bench.holdout_frame, bench.contract)
    return export_onnx(bench.fitted.pipeline, bench.contract, prepared, bench.evaluated.output, folder)


def _documents(bench: Bench, onnx: OnnxResult, validation: list[dict[str, Any]], card: Card) -> dict[str, Any]:
    """Files of the bundle by name."""
    unused = unused_columns(bench.run.config, bench.contract)
    profile = reference_profile(
        bench.train_frame,
        bench.y[bench.split.train],
        bench.evaluated.output,
        bench.contract,
        unused,
    )
    documents: dict[str, Any] = {
        "card.md": card.markdown,
        "card.html": card.html,
        "evaluation.json": bench.evaluated.evaluation.to_dict(),
        "profile.json": profile.to_dict(),
        "leakage.json": bench.leakage.to_dict(),
        "validation.json": validation,
        "onnx.json": onnx.to_dict(),
        TRAINING_ROWS: training_rows_file(rows_trained_on(bench.rows, bench.split, bench.run.config)),
        REFERENCE_ROWS: reference_rows_file(bench.train_frame, bench.contract, bench.run.config.training.seed),
        HOLDOUT_ROWS: holdout_rows_file(
            bench.holdout_frame, bench.y[bench.split.holdout], bench.evaluated.output, bench.contract
        ),
        REHEARSAL: rehearsal_table(bench.holdout_frame, bench.evaluated.output, bench.contract),
    }
    moving = _moving(bench, unused)
    if moving.names:
        documents[MOVING] = moving.to_dict()
    if bench.contract.classes:
        documents[CBPE] = _cbpe(bench).to_dict()
    history = fold_history(bench)
    if history is not None:
        documents[HISTORY] = history.to_dict()
    if onnx.path is not None:
        documents["model.onnx"] = onnx.path
    return documents


def _moving(bench: Bench, unused: tuple[str, ...]) -> Moving:
    """Find the columns that move by construction; if features do, predict the holdout with training values in them."""
    config, contract, train = bench.run.config, bench.contract, bench.train_frame
    moving = moving_columns(train, contract, config.time, unused)
    drawn = reference_rows(train, contract, config.training.seed)
    predict = partial(predict_output, bench.fitted.pipeline, contract=contract)
    return with_held_prediction(moving, bench.holdout_frame, drawn, contract, predict)


def _cbpe(bench: Bench) -> CbpeReference:
    return reference_cbpe(bench.y[bench.split.holdout], bench.evaluated.output, bench.run.config.gate.metric)


def _card_facts(bench: Bench, onnx: OnnxResult, validation: list[dict[str, Any]]) -> CardFacts:
    config = bench.run.config
    reasons = [f"Batch {result['batch']}: {' '.join(result['reasons'])}" for result in validation[-5:]]
    allowed = config.training.leakage.allow
    leakage = "The leakage checks found nothing that blocks the training."
    return CardFacts(
        config=config,
        lineage=bench.run.lineage,
        data=_data_facts(bench),
        evaluation=bench.evaluated.evaluation,
        params=bench.fitted.params,
        cv_scores=bench.fitted.cv_scores,
        validation=reasons,
        leakage=[
            leakage,
            *(f"Remark: {remark}." for remark in bench.leakage.remarks),
            *([f"Exempt after review: {', '.join(allowed)}."] if allowed else []),
        ],
        onnx=_onnx_sentence(onnx),
        choice=bench.fitted.choice,
    )


def _data_facts(bench: Bench) -> DataFacts:
    config, frame = bench.run.config, bench.rows.frame
    times = frame[config.time].dropna() if config.time else None
    return DataFacts(
        n_rows=len(frame),
        n_train=len(bench.split.train),
        n_holdout=len(bench.split.holdout),
        n_unlabelled=bench.rows.n_unlabelled,
        n_superseded=bench.rows.n_superseded,
        n_duplicates_removed=bench.split.n_duplicates_removed,
        n_repeated=bench.rows.n_repeated,
        rule=bench.split.rule,
        first=None if times is None else str(times.min().date()),
        last=None if times is None else str(times.max().date()),
        target=_target_facts(bench),
        columns=_column_facts(bench),
    )


def _target_facts(bench: Bench) -> Mapping[str, float]:
    if bench.contract.task == "regression":
        return {"mean": float(bench.y.mean()), "sd": float(bench.y.std()), "min": bench.y.min(), "max": bench.y.max()}
    counts = np.bincount(bench.y, minlength=len(bench.contract.classes))
    return dict(zip(bench.contract.classes, counts.tolist(), strict=True))


def _column_facts(bench: Bench) -> list[ColumnFacts]:
    importance = {item.feature: item.mean for item in bench.evaluated.evaluation.importance}
    columns = [
        ColumnFacts(name, kind, float(bench.train_frame[name].isna().mean()), importance.get(name))
        for kind in KINDS
        for name in getattr(bench.contract, kind)
    ]
    return sorted(columns, key=lambda column: -(column.importance or 0.0))


def _onnx_sentence(onnx: OnnxResult) -> str:
    if onnx.path is None:
        return f"not kept: {onnx.reason}"
    return f"kept; it equals the pipeline on {onnx.n_rows:,} rows, the largest difference is {onnx.max_abs_diff:.1e}"


def _outcome(run: TrainingRun, registered: Registered, bench: Bench, settings: Settings) -> TrainOutcome:
    repetition = _data_facts(bench).repetition
    evaluation, page = bench.evaluated.evaluation.to_dict(), newest_page(run.snapshot, settings)
    return TrainOutcome(
        model=run.config.model,
        status="registered",
        stage="registry",
        reasons=("registered, not judged yet",),
        data_version=run.snapshot.version,
        version=registered.version,
        run_id=registered.run_id,
        alias=registered.alias,
        metrics=evaluation["metrics"],
        links={
            "model card": str(run.folder / "card.html"),
            "drift report": str(run.folder / "drift.html"),
            **({"validation report": str(page)} if page else {}),
            "model in MLflow": _mlflow_page(registered, settings),
        },
        notes=(f"repeated rows: {repetition}",) if repetition else (),
    )


def _mlflow_page(registered: Registered, settings: Settings) -> str:
    page = f"#/models/{registered.model}/versions/{registered.version}"
    if settings.mlflow_uri.startswith("http"):
        return f"{address(settings).rstrip('/')}/{page}"
    return f"http://127.0.0.1:5000/{page} (start it with: perennial ui)"
