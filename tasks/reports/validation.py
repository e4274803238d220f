"""The page of one validation: self-contained HTML, readable offline, every value from data escaped.

Great Expectations' own Data Docs are not used: they load scripts and a tracking image from other hosts, write error
texts (with column names) unescaped, and cannot be built for every expectation. See ``docs/decisions/validation.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from config.schema import ModelConfig
from core.data.batch_verdict import BatchVerdict
from core.references import ExpectationOutcome, StagedRows
from core.text import readable

TEMPLATES = Path(__file__).with_name("templates")
SAMPLE_ROWS = 20


@dataclass(frozen=True)
class PageFacts:
    """Content of the page.

    Parameters
    ----------
    config, rows, verdict, outcomes
        The model file, the validated rows, the verdict and its outcomes.
    whys
        The suite's reason per outcome, or an empty text.
    n_quarantined
        Rows that failed an expectation at the level ``row``.
    quarantine
        Their file beside the page, or None.
    """

    config: ModelConfig
    rows: StagedRows
    verdict: BatchVerdict
    outcomes: tuple[ExpectationOutcome, ...]
    whys: tuple[str, ...]
    n_quarantined: int
    quarantine: Path | None


def validation_page(facts: PageFacts) -> str:
    """Render the page. The same facts give the same text: it contains no time."""
    columns, sample = _sample(facts.quarantine) if facts.quarantine else ([], [])
    page: str = _template().render(
        facts=facts,
        table=list(zip(facts.outcomes, facts.whys, strict=True)),
        n_failed=sum(not outcome.passed for outcome in facts.outcomes),
        columns=columns,
        sample=sample,
        versions=f"Great Expectations {version('great_expectations')} on DuckDB {version('duckdb')}",
        css=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
    )
    return page


def _sample(quarantine: Path) -> tuple[list[str], list[list[Any]]]:
    """Return the column names without the reason, and the first rows, each with the reason as its last value."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(quarantine) as file:
        batch = next(file.iter_batches(SAMPLE_ROWS))
    return batch.schema.names[:-1], [list(row.values()) for row in batch.to_pylist()]


def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"readable": readable, "cell": _cell, "percent": lambda share: f"{100 * share:.3g}%"}
    return environment.get_template("validation.html.j2")


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else readable(value, 60)
