"""The reference of exit codes and errors."""

from cli.group import INTERRUPTED
from cli.output import DECISION_SAYS_NO
from core import errors
from core.errors import PerennialError
from reference.errors import EXIT_CODES, kinds, page
from serving.problems import KINDS


def test_every_kind_of_error_is_on_the_page() -> None:
    """The tree is that of the code, with the exit code and a sentence for each."""
    there = {one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, PerennialError)}
    assert {kind for kind, _ in kinds()} == there
    text = page()
    assert all(kind.__doc__ and f"| `{kind.__name__}` |" in text for kind in there)


def test_every_exit_code_is_explained() -> None:
    """Success, the codes of the tree, and those of a decision that says no and of Ctrl-C."""
    assert set(EXIT_CODES) == {0, DECISION_SAYS_NO, INTERRUPTED, *(kind.exit_code for kind, _ in kinds())}


def test_every_problem_over_http_is_on_the_page() -> None:
    """A client that meets a type finds its status and title."""
    text = page()
    assert all(
        f"| `urn:perennial:problem:{kind}` | {status} | {title} |" in text for kind, (status, title) in KINDS.items()
    )
