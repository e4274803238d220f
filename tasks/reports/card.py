"""The model card as Markdown and as one self-contained page."""

from __future__ import annotations

from dataclasses import dataclass

from core.train.card import CardFacts
from tasks.reports.figures import draw_figures
from tasks.reports.pages import TEMPLATES, template_environment


@dataclass(frozen=True)
class Card:
    """A model card in both forms."""

    markdown: str
    html: str


def render_card(facts: CardFacts) -> Card:
    """Render the card from its facts; every value from data is escaped for its format."""
    content = {name: getattr(facts, name) for name in facts.__dataclass_fields__}
    content |= {
        "limits": facts.limits,
        "task_sentence": _task_sentence(facts),
        "lineage_rows": _lineage_rows(facts),
        "figures": draw_figures(facts.evaluation),
        "css": (TEMPLATES / "page.css").read_text(encoding="utf-8"),
    }
    environment = template_environment()
    return Card(
        markdown=environment.get_template("card.md.j2").render(content),
        html=environment.get_template("card.html.j2").render(content),
    )


def _task_sentence(facts: CardFacts) -> str:
    config = facts.config
    if config.task == "binary":
        return f"Predicts the probability of {config.target} = {config.positive}."
    return f"Predicts {config.target} ({config.task})."


def _lineage_rows(facts: CardFacts) -> dict[str, str]:
    lineage = facts.lineage
    commit = f"{lineage.git_commit or 'none'}{' (with uncommitted changes)' if lineage.git_dirty else ''}"
    return {
        "data version": lineage.data_version,
        "git commit": commit,
        "configuration": lineage.config_hash[:16],
        "code": lineage.code_version[:16],
        "requirements.lock": lineage.lock_hash[:16] or "none",
        "run key": lineage.run_key[:16],
        "trigger": lineage.trigger,
    }
