import io
import logging

from tasks.runs.progress import shown, step


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


def test_plain_lines_when_piped() -> None:
    """A file gets one line per finished step, no control characters and no half lines."""
    stream = io.StringIO()
    with shown(stream):
        with step("Validating"):
            pass
        logging.getLogger("perennial.validate").info("validated 3 rows")
        logging.getLogger("perennial.data").warning("the remote is slow")
    lines = stream.getvalue().splitlines()
    assert [line.split(" s  ")[1] for line in lines] == ["validated 3 rows", "warning: the remote is slow"]
    assert "\x1b" not in stream.getvalue()


def test_a_live_line_on_a_terminal() -> None:
    """The running step is shown and replaced by its result."""
    stream = Terminal()
    with shown(stream):
        with step("Validating"):
            pass
        logging.getLogger("perennial.validate").info("validated 3 rows")
    assert "Validating …" in stream.getvalue()
    assert stream.getvalue().split("\n")[0].endswith("validated 3 rows")


def test_the_handler_leaves_with_the_block() -> None:
    """A second run in the same process does not print twice."""
    stream = io.StringIO()
    with shown(stream):
        pass
    logging.getLogger("perennial.validate").warning("after")
    assert stream.getvalue() == ""
