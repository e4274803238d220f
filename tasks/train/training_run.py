"""Create a training run: its configuration, its snapshot, and the run key, which covers all that determines a model."""

from __future__ import annotations

from config.load import config_hash
from config.schema import ModelConfig
from config.settings import Settings
from core.references import Lineage
from core.train.run_key import run_key
from core.train.training_run import TrainingRun
from tasks.train.code_version import code_version, lock_hash
from tasks.versions.versions import git_state, lay_out_snapshot
from tasks.versions.working_copy import pointer


def training_run(config: ModelConfig, data_version: str, trigger: str, settings: Settings) -> TrainingRun:
    """Lay the snapshot out and compute the run key; a repeat reuses the snapshot. The caller holds the model."""
    snapshot = lay_out_snapshot(config.model, data_version, settings)
    code = code_version(settings.root, config)
    key = run_key(config.model, snapshot.version, config_hash(config), code)
    commit, dirty = git_state(settings.root)
    lineage = Lineage(
        run_key=key,
        data_version=snapshot.version,
        config_hash=config_hash(config),
        code_version=code,
        lock_hash=lock_hash(settings.root),
        git_commit=commit,
        git_dirty=dirty,
        data_pointer=pointer(settings),
        trigger=trigger,
    )
    return TrainingRun(config, snapshot, lineage, settings.var / "reports" / config.model / key[:12])
