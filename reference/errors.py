"""The page of exit codes and of the kinds of errors."""

from __future__ import annotations

from collections.abc import Iterator

from core import errors
from core.errors import PerennialError
from reference.markdown import code, document, summary, table
from serving.problems import KINDS, MEDIA_TYPE

LEAD = """
An error says what was expected, what was found, where, and what to do next. A decision that says no is not an error:
it has reasons and an exit code of its own. With `--json` an error is `{"error": {"kind": …, "message": …,
"exit_code": …}}`.
"""

EXIT_CODES = {
    0: "done; a decision said yes",
    1: "an error of Perennial: the trace is in `var/log/crash.log`",
    2: "an error that the caller can fix: an input, a setting, an option, a service that is away",
    3: "a decision said no, with reasons: a batch or a training refused, a version not promoted, drift; or "
    "`perennial doctor` found a problem",
    130: "interrupted by Ctrl-C; the same command replaces what was left incomplete",
}
"""What each exit code of the command means."""


def kinds(of: type[PerennialError] = PerennialError, depth: int = 0) -> Iterator[tuple[type[PerennialError], int]]:
    """Yield the tree of errors, parents before children, with the depth of each."""
    yield of, depth
    for child in of.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from kinds(child, depth + 1)


def page() -> str:
    """Return the page."""
    codes = table(("exit code", "meaning"), [(str(number), text) for number, text in EXIT_CODES.items()])
    rows = [
        (
            code(kind.__name__),
            code(kind.__bases__[0].__name__) if depth else "",
            str(kind.exit_code),
            summary(kind.__doc__),
        )
        for kind, depth in kinds()
    ]
    tree = table(("kind", "is a", "exit code", "meaning"), rows)
    return document(
        "Exit codes and errors",
        LEAD,
        [("Exit codes", codes), ("Kinds of errors", tree), ("Problems over HTTP", _problems())],
    )


def _problems() -> str:
    rows = [(code(f"urn:perennial:problem:{kind}"), str(status), title) for kind, (status, title) in KINDS.items()]
    lead = (
        f"The prediction service answers with problem documents of RFC 9457 (`{MEDIA_TYPE}`): `type`, `title`, "
        "`status`, `detail`, `request_id`, and `errors` with the fields that are wrong (`field`, `detail`, `pointer`)."
    )
    return f"{lead}\n\n{table(('type', 'status', 'title'), rows)}"
