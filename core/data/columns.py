"""Types of the declared columns, and checks of a source against the model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from config.schema import ModelConfig
from config.similar_names import closest_text


def column_types(config: ModelConfig) -> dict[str, str]:
    """Return the DuckDB type of every declared column, in the contract's order.

    A column that is declared twice (the time column may also be a date feature) has the type of its role.
    """
    features = config.features
    types = dict.fromkeys(features.ignored + features.categorical, "VARCHAR")
    types |= dict.fromkeys(features.numeric, "DOUBLE")
    types |= dict.fromkeys(features.boolean, "BOOLEAN")
    types |= dict.fromkeys(features.dates, "TIMESTAMP")
    types[config.target] = "DOUBLE" if config.task == "regression" else "VARCHAR"
    if config.time is not None:
        types[config.time] = "TIMESTAMP"
    if config.key is not None:
        types[config.key] = "VARCHAR"
    return {column: types[column] for column in config.columns}


def columns_problem(found: Sequence[str], config: ModelConfig) -> str | None:
    """Return a message with the declared columns that a source lacks and the closest names; None if it has them all."""
    missing = [column for column in config.columns if column not in found]
    if not missing:
        return None
    shown = ", ".join(_with_closest(column, found) for column in missing[:5])
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    names = ", ".join(repr(column) for column in found[:40]) + (" …" if len(found) > 40 else "")
    return (
        f"the model file declares columns that the source lacks: {shown}{more}; found: {names}. "
        "Correct the names in the model file or in the source"
    )


def target_problem(counts: Mapping[str, int], config: ModelConfig) -> str | None:
    """Return why the target of the training rows cannot be learnt, and what to do; None if it can.

    Parameters
    ----------
    counts
        Number of rows per label; regression: number of rows per value, the value as text.
    config
        The model file.
    """
    labels = {label: n for label, n in counts.items() if n > 0}
    if not labels:
        return f"target {config.target!r} has no value in any row; add labelled rows to train"
    if len(labels) == 1:
        return (
            f"target {config.target!r} is constant: every labelled row has {next(iter(labels))!r}; "
            "training needs at least two different values: add rows with another value"
        )
    if config.task == "regression":
        return None
    alone = sorted(label for label, n in labels.items() if n == 1)
    if alone:
        shown = ", ".join(repr(label) for label in alone[:5])
        return (
            f"target {config.target!r} has only one row of {shown}; a class needs at least two rows, one for training "
            "and one for the holdout: add rows, merge the class with another, or remove the row"
        )
    return None


def empty_columns_problem(n_values: Mapping[str, int], config: ModelConfig, *, needs_labels: bool = True) -> str | None:
    """Return a message with the declared columns that have no value in any row, and what to do; None if there are none.

    Parameters
    ----------
    n_values
        Number of rows with a value, by declared column.
    config
        The model file.
    needs_labels
        Whether the target must have a value: in a model's first rows it must, labels of later ones may arrive late.
    """
    if needs_labels and n_values[config.target] == 0:
        return (
            f"target {config.target!r} has no value in any row, and a model's first rows need labels; "
            "check 'target' and 'source.missing' in the model file"
        )
    for column in (config.key, config.time):
        if column is not None and n_values[column] == 0:
            role = "key" if column == config.key else "time"
            return (
                f"column {column!r} (the {role}) has no value in any row; "
                f"check {role!r} and 'source.missing' in the model file"
            )
    empty = [column for column in config.features.used if n_values[column] == 0]
    if empty:
        names = ", ".join(repr(column) for column in empty)
        return f"no value in any row of column {names}: nothing can be learnt from it; move it to features.ignored"
    return None


def _with_closest(column: str, found: Sequence[str]) -> str:
    close = closest_text(column, found)
    return f"{column!r} ({close})" if close else repr(column)
