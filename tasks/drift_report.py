"""Evidently's page of training against holdout rows, made by a process of its own beside the training.

Evidently takes four seconds and 280 MB to import; on a second core they cost the training nothing.
"""

from __future__ import annotations

import html
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import PerennialError

if TYPE_CHECKING:
    import pandas as pd

    from core.contract import FeatureContract

SAMPLE_ROWS = 20_000
MISSING_LEVEL = "(missing)"


class DriftReport:
    """A report being made; :meth:`finish` waits for its page.

    Parameters
    ----------
    train, holdout
        Raw rows; above 20,000 they are sampled by the seed: the page shows distributions, no decision is taken from it.
    path
        Where the page goes, under a temporary name first.
    """

    def __init__(
        self, train: pd.DataFrame, holdout: pd.DataFrame, contract: FeatureContract, path: Path, seed: int
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._folder = tempfile.TemporaryDirectory(prefix=".drift-", dir=path.parent)
        folder = Path(self._folder.name)
        numeric = [name for name in contract.numeric if _has_values(train, holdout, name)]
        levels = [name for name in contract.categorical + contract.boolean if _has_values(train, holdout, name)]
        for name, frame in (("reference", train), ("current", holdout)):
            _sample(frame, numeric, levels, seed).to_parquet(folder / f"{name}.parquet")
        (folder / "columns.json").write_text(json.dumps({"numeric": numeric, "levels": levels}))
        self._errors = (folder / "errors.txt").open("wb+")
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "tasks.drift_report", str(folder), str(path)],
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            cwd=Path(__file__).parents[1],
        )

    def finish(self) -> Path:
        """Wait for the page and return its path.

        Raises
        ------
        PerennialError
            Evidently failed; the message holds the end of what it printed.
        """
        status = self._process.wait()
        self._errors.seek(0)
        printed = self._errors.read().decode(errors="replace")
        self._errors.close()
        self._folder.cleanup()
        if status != 0:
            raise PerennialError(f"Evidently could not make the drift report (exit {status}):\n{printed[-2000:]}")
        return self.path


def write_page(folder: Path, path: Path) -> None:
    """Write the page from the rows and columns that :class:`DriftReport` laid out.

    One score per column is asked for instead of Evidently's preset, which computes every column three times.
    """
    import pandas as pd

    with warnings.catch_warnings():
        # Evidently 0.7.23 uses what NumPy 2, pandas 3 and plotly deprecate; nobody here can change that.
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        columns = json.loads((folder / "columns.json").read_text())
        # Evidently writes names raw into a script block; escaped before it sees them, they cannot leave it.
        names = {name: html.escape(name) for name in columns["numeric"] + columns["levels"]}
        definition = DataDefinition(
            numerical_columns=[names[name] for name in columns["numeric"]],
            categorical_columns=[names[name] for name in columns["levels"]],
        )
        current, reference = (
            Dataset.from_pandas(pd.read_parquet(folder / f"{name}.parquet").rename(columns=names), definition)
            for name in ("current", "reference")
        )
        metrics = [ValueDrift(column=name, method="psi", threshold=0.1) for name in names.values()]
        temporary = folder / "page.html"
        Report(metrics).run(current, reference).save_html(str(temporary))
    temporary.replace(path)


def _sample(frame: pd.DataFrame, numeric: list[str], levels: list[str], seed: int) -> pd.DataFrame:
    sample = frame if len(frame) <= SAMPLE_ROWS else frame.sample(SAMPLE_ROWS, random_state=seed)
    columns = sample[numeric + levels].reset_index(drop=True)
    for name in levels:
        columns[name] = columns[name].astype(object).where(columns[name].notna(), MISSING_LEVEL).map(_safe_level)
    return columns


def _safe_level(value: object) -> str:
    return html.escape(str(value))


def _has_values(train: pd.DataFrame, holdout: pd.DataFrame, name: str) -> bool:
    values: Any = (train[name].notna().any(), holdout[name].notna().any())
    return all(values)


if __name__ == "__main__":
    write_page(Path(sys.argv[1]), Path(sys.argv[2]))
