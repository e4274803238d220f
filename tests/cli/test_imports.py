"""What a command imports: nothing large where it only reads what is on record."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import Settings
from tasks.registry.client import mlflow_client
from tests.factories import add_credit_model, make_project
from tests.tasks.gate.test_unchanged import train

ROOT = Path(__file__).resolve().parents[2]
LARGE = ("prefect", "mlflow", "pandas", "sklearn", "scipy", "dvc", "great_expectations", "evidently", "alembic")
LARGER = (*LARGE, "numpy", "pyarrow", "duckdb")

RUN = """
import sys
from cli.main import main
main({words!r}, standalone_mode=False)
print("imported", sorted({libraries!r} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return a project with a champion."""
    settings = make_project(tmp_path_factory.mktemp("imports"))
    mlflow_client(settings)
    add_credit_model(settings)
    train(settings)
    return settings


@pytest.mark.parametrize(
    ("words", "libraries"),
    [
        ("--help", (*LARGER, "pydantic", "sqlalchemy")),
        ("models", LARGER),
        ("show credit", LARGER),
        ("history credit", LARGER),
        ("triggers credit", LARGER),
        ("keys list", LARGER),
        ("data credit", LARGE),  # counts distinct rows
        ("train credit", LARGE),  # reads the footers of batches once
        ("train credit", LARGER),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_command_that_reads_imports_nothing_large(trained: Settings, words: str, libraries: tuple[str, ...]) -> None:
    """Imports take longer than all that these commands do."""
    given = {name: text for name, text in os.environ.items() if not name.startswith(("PREFECT_", "PERENNIAL_"))}
    answer = subprocess.run(
        [sys.executable, "-c", RUN.format(words=words.split(), libraries=set(libraries))],
        env={**given, "PERENNIAL_ROOT": str(trained.root), "PYTHONPATH": str(ROOT)},
        cwd=trained.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.splitlines()[-1] == "imported []"
