"""Check of the processes of `perennial up`: those that run, those that hang, and those that a killed one left."""

from __future__ import annotations

from config.platform import PlatformState, last_platform, read_platform
from config.settings import Settings
from core.errors import StorageError
from core.operate.findings import Finding
from tasks.platform.process_manager import left_over, log_file
from tasks.platform.up import Status, statuses

CALL_SECONDS = 5.0


def check_platform(settings: Settings) -> list[Finding]:
    """Find processes without a process manager, a process manager that hangs, and processes that hang."""
    present = last_platform(settings.var)
    running = read_platform(settings.var)
    left = left_over(settings.var, running.id if running else "")
    if left:
        return [_left([pid for pids in left.values() for pid in pids])]
    if running is None:
        if present is not None:
            says = "the platform was killed; none of its processes is left"
            return [Finding("platform", "warning", says, "start it again with: perennial up")]
        return [Finding("platform", "ok", "not running; start it with: perennial up")]
    return _running(running, settings)


def _left(pids: list[int]) -> Finding:
    many = len(pids) != 1
    says = (
        f"the process manager was killed or its state file removed; {len(pids)} process{'es' if many else ''} "
        f"({', '.join(map(str, sorted(pids)[:8]))}) still run{'' if many else 's'}, and nothing restarts what ends"
    )
    return Finding("platform", "problem", says, "end them with: perennial down, or start again with: perennial up")


def _running(state: PlatformState, settings: Settings) -> list[Finding]:
    try:
        found = statuses(settings, state, CALL_SECONDS)
    except StorageError:
        says = f"the process manager (process {state.pid}) does not respond, so nothing restarts what ends"
        return [Finding("platform", "problem", says, "run: perennial down, then: perennial up")]
    hanging = [status for status in found if status.state != "healthy"]
    if not hanging:
        return [Finding("platform", "ok", f"{', '.join(status.name for status in found) or 'it'} healthy")]
    return [_unhealthy(status, settings) for status in hanging]


def _unhealthy(status: Status, settings: Settings) -> Finding:
    says = f"{status.name} is {status.state}" + (f" (process {status.pid})" if status.pid else "")
    advice = f"it is restarted automatically ({log_file(settings, 'watchdog')}); if this lasts, read {status.log}"
    return Finding("platform", "problem" if status.state in ("unhealthy", "stopped") else "warning", says, advice)
