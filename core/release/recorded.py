"""The plan of a release as it is recorded when it starts: later changes of the model file do not touch it."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from core.release.plan import Guardrails, Plan

if TYPE_CHECKING:
    from config.schema import Mesh

EDGE_TOLERANCE = 1e-5
"""Relative tolerance by which a score below an edge counts as on the edge: a graph computes in single precision."""


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
        Class labels in the order of the outputs; binary: (negative, positive); empty for regression.
    edges
        Upper edges of the bins of the champion's reference predictions, ascending; empty with more than two classes,
        which are their own bins.
    mesh
        The mesh that divides the requests; None if the service does.
    """

    plan: Plan
    newer: Literal["wait", "supersede"]
    look_seconds: float
    classes: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    mesh: Mesh | None = None

    @property
    def n_bins(self) -> int:
        """Number of bins of predictions."""
        return len(self.classes) if len(self.classes) > 2 else len(self.edges) + 1

    def bin_of(self, output: Sequence[float] | float) -> int:
        """Return the bin of an output: of its most likely class, of the positive class's probability, or of the number.

        Parameters
        ----------
        output
            Probabilities in the order of the classes, or a number.
        """
        if isinstance(output, int | float):
            score = float(output)
        elif len(self.classes) > 2:
            return max(range(len(output)), key=output.__getitem__)
        else:
            score = output[1]
        return bisect_right(self.edges, score + EDGE_TOLERANCE * abs(score))

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
        )


def _mesh(content: dict[str, Any] | None) -> Mesh | None:
    """Return the mesh of a plan; plans of earlier versions have none."""
    if content is None:
        return None
    from config.schema import Mesh

    return Mesh.model_validate(content)
