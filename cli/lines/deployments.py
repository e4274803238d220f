"""Deployed flows as lines."""

from __future__ import annotations

from collections.abc import Sequence

from core.operate.deployments import DeployedFlow


def deployment_lines(deployed: Sequence[DeployedFlow]) -> list[str]:
    """Return one line per deployment: name, change and schedule."""
    width = max(len(flow.name) for flow in deployed)
    lines = []
    for flow in deployed:
        when = "on demand"
        if flow.schedule:
            when = f"{flow.schedule}, next {flow.next_run:%Y-%m-%d %H:%M %Z}"
        if flow.change in ("removed", "left over"):
            when = "its model is gone" + ("; --prune removes it" if flow.change == "left over" else "")
        lines.append(f"{flow.name:<{width}}  {flow.change:<9}  {when}")
    return lines
