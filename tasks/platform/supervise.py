"""The process manager with its watchdog: ``python -m tasks.platform.supervise CONFIGURATION``."""

from __future__ import annotations

import os
import sys
import threading

from config.platform import PlatformState, forget_platform, write_platform
from config.settings import PlatformSettings, load_section, load_settings
from tasks.platform.process_manager import sweep
from tasks.platform.watchdog import watch_over


def supervise(file: str) -> None:
    """Run the process manager until it is stopped; then end all remaining processes."""
    import psutil
    from supervisor.supervisord import main  # type: ignore[import-untyped]

    settings = load_settings()
    waiting = PlatformState.model_validate_json((settings.var / "platform.json").read_bytes())
    state = waiting.model_copy(update={"pid": os.getpid(), "created": psutil.Process().create_time()})
    write_platform(settings.var, state)
    about = (state, settings, load_section(PlatformSettings))
    threading.Thread(target=watch_over, args=about, name="watchdog", daemon=True).start()
    try:
        main(["--configuration", file])
    finally:
        sweep(state.id)
        forget_platform(settings.var, state)


if __name__ == "__main__":
    supervise(sys.argv[1])
