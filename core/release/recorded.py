"""The plan of a release as it is recorded when it starts: later changes of the model file do not touch it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from core.release.bins import bin_names, class_bin, score_bin
from core.release.plan import Guardrails, Plan

if TYPE_CHECKING:
    from config.schema import Mesh


@dataclass(frozen=True)
class RecordedPlan:
    """A plan, and what is needed to compare two variants by it.

    Parameters
    ----------
    plan
        Stages, evidence and guardrails.
    newer
        Whether a newer challenger waits for the end of the release, or ends it.
    look_seconds
        Seconds between two looks.
    classes
        Class labels in the order of the champion's outputs; binary: (negative, positive); empty for regression.
    edges
        Upper edges of the bins of the champion's reference predictions, ascending; empty with more than two classes,
        which are their own bins.
    mesh
        The mesh that divides the requests; None if the service does.
    challenger_classes
        Class labels in the order of the challenger's outputs: with more than two classes, new rows may have further
        ones, or lack some. Empty: those of the champion.
    """

    plan: Plan
    newer: Literal["wait", "supersede"]
    look_seconds: float
    classes: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    mesh: Mesh | None = None
    challenger_classes: tuple[str, ...] = ()

    @property
    def all_classes(self) -> tuple[str, ...]:
        """The champion's classes, then those that only the challenger knows; empty for regression."""
        return tuple(dict.fromkeys((*self.classes, *self.challenger_classes)))

    @property
    def bins(self) -> tuple[str, ...]:
        """Names of the bins of predictions, in order."""
        return bin_names(self.all_classes, self.edges)

    def classes_of(self, *, is_challenger: bool) -> tuple[str, ...]:
        """Return the class labels in the order of a variant's outputs."""
        return (self.challenger_classes or self.classes) if is_challenger else self.classes

    def bin_of(self, output: Sequence[float] | float, *, is_challenger: bool = False) -> int:
        """Return the bin of an output: of its most likely class, of the positive class's probability, or of the number.

        Parameters
        ----------
        output
            Probabilities in the order of the variant's classes, or a number.
        is_challenger
            Whether the challenger gave it.
        """
        if isinstance(output, int | float):
            return score_bin(output, self.edges)
        if len(self.all_classes) <= 2:
            return score_bin(output[1], self.edges)
        return self.all_classes.index(self.classes_of(is_challenger=is_challenger)[class_bin(output)])

    def to_json(self) -> str:
        """Return the JSON text of :meth:`from_json`."""
        mesh = self.mesh.model_dump() if self.mesh is not None else None
        return json.dumps({**asdict(replace(self, mesh=None)), "mesh": mesh}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build a recorded plan from its JSON text.

        Raises
        ------
        ValueError
            The text is no plan.
        """
        content: dict[str, Any] = json.loads(text)
        plan: dict[str, Any] = content["plan"]
        guardrails = Guardrails(**plan["guardrails"])
        given = {**plan, "steps": tuple(plan["steps"]), "guardrails": guardrails}
        return cls(
            Plan(**given),
            content["newer"],
            content["look_seconds"],
            tuple(content["classes"]),
            tuple(content["edges"]),
            _mesh(content.get("mesh")),
            tuple(content.get("challenger_classes") or ()),
        )


def _mesh(content: dict[str, Any] | None) -> Mesh | None:
    """Return the mesh of a plan; plans of earlier versions have none."""
    if content is None:
        return None
    from config.schema import Mesh

    return Mesh.model_validate(content)
