"""The hyperparameter space of a model file, parsed into dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from core.errors import ConfigError

FORMS = "[low, high], {low: ..., high: ..., log: true, step: ...} or {choices: [...]}"


@dataclass(frozen=True)
class Dimension:
    """The values of one hyperparameter.

    Parameters
    ----------
    name
        Parameter of the estimator.
    kind
        ``int`` and ``float``: from ``low`` to ``high``, both included; ``choice``: one of ``choices``.
    low, high
        Bounds of a number.
    log
        Whether to sample on a logarithmic scale.
    step
        Distance of neighbouring values; None for any value.
    choices
        Values of a choice.
    """

    name: str
    kind: Literal["int", "float", "choice"]
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()

    def holds(self, value: Any) -> bool:
        """Return whether a value is in this dimension."""
        if self.kind == "choice":
            return value in self.choices
        whole = not isinstance(value, bool) and isinstance(value, int | float if self.kind == "float" else int)
        return whole and self.low <= value <= self.high


def search_space(space: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """Parse ``training.search.space``.

    Integer bounds make an integer parameter, ``[0.0, 1.0]`` makes a real one.

    Raises
    ------
    ConfigError
        A parameter has an unknown form; the message names the parameter.

    Examples
    --------
    >>> search_space({"max_depth": [2, 8]})[0].kind, search_space({"C": {"low": 0.1, "high": 10, "log": True}})[0].kind
    ('int', 'float')
    """
    return tuple(_dimension(name, form) for name, form in space.items())


def _dimension(name: str, form: Any) -> Dimension:
    if isinstance(form, list | tuple) and len(form) == 2:
        return _range(name, {"low": form[0], "high": form[1]})
    if isinstance(form, Mapping) and set(form) == {"choices"}:
        return _choice(name, form["choices"])
    if isinstance(form, Mapping) and {"low", "high"} <= set(form) <= {"low", "high", "log", "step"}:
        return _range(name, form)
    raise _malformed(name, form, f"expected {FORMS}")


def _choice(name: str, choices: Any) -> Dimension:
    if not isinstance(choices, list | tuple) or not choices:
        raise _malformed(name, choices, "choices must be a list with at least one value")
    return Dimension(name, "choice", choices=tuple(choices))


def _range(name: str, form: Mapping[str, Any]) -> Dimension:
    low, high, log, step = form["low"], form["high"], form.get("log", False), form.get("step")
    numbers = [bound for bound in (low, high, step) if bound is not None]
    if len(numbers) < 2 or any(isinstance(bound, bool) or not isinstance(bound, int | float) for bound in numbers):
        raise _malformed(name, dict(form), "low, high and step must be numbers")
    if not isinstance(log, bool):
        raise _malformed(name, dict(form), "log must be true or false")
    if not low < high:
        raise _malformed(name, dict(form), "low must be below high")
    if log and (low <= 0 or step is not None):
        raise _malformed(name, dict(form), "with log, low must be above 0 and step must not be set")
    if step is not None and not 0 < step <= high - low:
        raise _malformed(name, dict(form), "step must be above 0 and at most high - low")
    whole = all(isinstance(bound, int) for bound in numbers)
    return Dimension(name, "int" if whole else "float", low, high, log, step)


def _malformed(name: str, form: Any, expected: str) -> ConfigError:
    return ConfigError(f"training.search.space.{name}: {expected}; found {form!r}")
