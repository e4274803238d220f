"""The process of the command ``perennial``.

It is short of imports: with a warm process, what it imports is what a command costs.
"""

from __future__ import annotations

import os
import sys

from tasks.warm.leaving import Leaving, end_by_interrupt


def run() -> None:
    """Run the command, in a warm process if there is one, and end with its exit code."""
    end_by_interrupt()
    leaving = Leaving()
    given, is_warm = dict(os.environ), _is_warm()
    if is_warm:
        from cli.warm.commands import run_in_fork

        code = run_in_fork(given)
        if code is not None:
            leaving.code = code
            return
    run_here(leaving)
    if is_warm:
        from cli.warm.commands import start_for_later

        start_for_later(sys.argv[1:], given)


def run_here(leaving: Leaving) -> None:
    """Run the command in this process and note its exit code."""
    import gc

    from cli.main import main
    from config.home import give_home
    from config.proxies import reach_loopback_directly

    # The imports create half a million permanent objects: scanning them for garbage is a tenth of a short command.
    gc.set_threshold(100_000, 50, 1000)
    reach_loopback_directly(os.environ)
    give_home(os.environ)
    try:
        main()
        leaving.code = 0
    except SystemExit as ended:
        leaving.take(ended)


def _is_warm() -> bool:
    from cli.warm.commands import is_wanted

    return is_wanted(sys.argv[1:], os.environ)


if __name__ == "__main__":
    run()
