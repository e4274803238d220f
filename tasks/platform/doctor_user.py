"""Checks of the user that runs this process: folders, home, caches, proxies, git."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from config.home import HOME, home_folder, owner_name, user_name
from config.settings import Settings, is_loopback_host
from config.var_folder import make_var
from core.operate.findings import Finding
from tasks.runs.api import shown_address
from tasks.runs.local_server import prefect_home
from tasks.runs.working_folder import may_write, unsafe_folder, unwritable

TRUSTED = ("PREFECT_HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
"""Variables that name folders whose content libraries trust: configuration, caches."""

GIT_SECONDS = 5.0
N_SHOWN = 4


def check_folder(settings: Settings) -> list[Finding]:
    """Write and remove a file in the folder that runs write to."""
    try:
        make_var(settings)
        if says := unwritable(settings.var):
            return [_problem("var", f"expected a folder that {user_name()} may write, found {says}")]
        with tempfile.NamedTemporaryFile(dir=settings.var, prefix=".doctor-") as file:
            file.write(b"probe")
            file.flush()
    except OSError as error:
        says = f"{settings.var} cannot be written: {error.strerror or error}"
        advice = "give this user write permission, or set PERENNIAL_VAR to another folder"
        return [Finding("var", "problem", says, advice)]
    return [Finding("var", "ok", f"{settings.var} is writable")]


def check_owners(settings: Settings) -> list[Finding]:
    """Find files that a run of another user left, and that this user's runs would have to write."""
    foreign = [path for path in _written(settings) if not may_write(path)]
    if not foreign:
        return [Finding("owners", "ok", "this user can write the files of earlier runs")]
    shown = ", ".join(map(str, foreign[:N_SHOWN])) + (" …" if len(foreign) > N_SHOWN else "")
    says = f"expected files that {user_name()} may write, found {len(foreign)} of {owner_name(foreign[0])}: {shown}"
    advice = f"chown -R {os.geteuid()} {settings.var} {settings.root / 'data'} {settings.root / '.dvc'}"
    return [Finding("owners", "problem", says, f"{advice}; to share a project, see docs/environments.md")]


def check_home(settings: Settings) -> list[Finding]:
    """Check that this user has a home folder."""
    home = home_folder(os.environ)
    if home is not None and not home.is_relative_to(settings.var):
        return [Finding("home", "ok", f"{home} of {user_name()}")]
    if home is None and not Path(os.environ.get("HOME", "")).is_relative_to(settings.var):
        return [_problem("home", f"expected a home folder, found none for {user_name()}; set HOME to a folder")]
    says = f"expected a home folder, found none for {user_name()}; var/{HOME} takes its place in perennial's commands"
    return [Finding("home", "warning", says, "set HOME for what other tools start, such as prefect worker start")]


def check_caches(settings: Settings) -> list[Finding]:
    """Find folders where other users could place what this user's processes trust."""
    named = {name: Path(os.environ[name]) for name in TRUSTED if os.environ.get(name)}
    folders = {"Prefect's home": prefect_home(settings), **named}
    findings = [
        _problem("caches", f"{name} must be a folder that only {user_name()} can write, found that {says}")
        for name, folder in folders.items()
        if (says := unsafe_folder(folder))
    ]
    mode = Path(tempfile.gettempdir()).stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        says = f"expected the sticky bit on {tempfile.gettempdir()}, found mode {stat.S_IMODE(mode):04o}"
        findings.append(Finding("caches", "problem", says, "chmod +t there, or set TMPDIR to an own folder"))
    if (old := settings.var / "dvc").is_dir():
        says = f"expected no {old}: an earlier release kept DVC's caches there, open to all users"
        findings.append(Finding("caches", "warning", says, f"rm -r {old}"))
    return findings or [Finding("caches", "ok", "no other user can write the folders that libraries trust")]


def check_proxies(settings: Settings) -> list[Finding]:
    """Report proxies, and services of the own network that would be reached through them."""
    proxies = {scheme: shown_address(url) for scheme, url in getproxies_environment().items() if scheme != "no"}
    if not proxies:
        return [Finding("proxies", "ok", "no proxy is set")]
    says = ", ".join(f"{scheme}_proxy is {url}" for scheme, url in sorted(proxies.items()))
    through = [name for name, url in _services(settings).items() if _is_near(url) and _goes_through(url, proxies)]
    if through:
        hosts = ",".join(sorted({str(urlsplit(_services(settings)[name]).hostname) for name in through}))
        says += f"; expected services of the own network without it, found {', '.join(through)}"
        return [Finding("proxies", "warning", says, f"add the host to no_proxy: {hosts}")]
    return [Finding("proxies", "ok", f"{says}; this machine's servers are reached without it")]


def check_git(settings: Settings) -> list[Finding]:
    """Check that git answers in the project: versions record its commit."""
    if not (settings.root / ".git").exists():
        return [Finding("git", "ok", "the project is in no git repository, so versions record no commit")]
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            command, cwd=settings.root, capture_output=True, text=True, timeout=GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Finding("git", "warning", f"expected git on the path, found: {error}", "install git")]
    if "dubious ownership" in done.stderr:
        says = f"expected a repository of {user_name()}, found one of {owner_name(settings.root)}, which git refuses"
        advice = f"git config --global --add safe.directory {settings.root}; until then versions record no commit"
        return [Finding("git", "warning", says, advice)]
    return [Finding("git", "ok", f"commit {done.stdout.strip()}" if done.returncode == 0 else "there is no commit yet")]


def _problem(check: str, says: str) -> Finding:
    says, _, advice = says.partition("; ")
    return Finding(check, "problem", says, advice)


def _written(settings: Settings) -> Iterator[Path]:
    """Files and folders that runs write to again. Data, snapshots and objects of the cache are read-only by design."""
    var, root = settings.var, settings.root
    yield from (path for path in [*var.glob("*.db*"), root / "data.dvc"] if path.is_file())
    for name in ("log", "locks", "work", "reports", "mlruns"):
        yield from _in(var / name)
    for folder in (root / ".dvc" / "tmp", root / "data", root / ".dvc" / "cache", var / "snapshots"):
        yield from (path for path in _in(folder) if path.is_dir() or folder.name == "tmp")


def _in(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield folder
        if os.access(folder, os.R_OK | os.X_OK):
            yield from sorted(folder.iterdir())


def _services(settings: Settings) -> dict[str, str]:
    named = {"PREFECT_API_URL": settings.prefect_api_url or "", "PERENNIAL_MLFLOW_URI": settings.mlflow_uri}
    return {name: url for name, url in named.items() if url.startswith("http")}


def _is_near(url: str) -> bool:
    """Whether a host is of the own network: a private address, or a name without a dot."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host


def _goes_through(url: str, proxies: Mapping[str, str]) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    has_proxy = parts.scheme in proxies or "all" in proxies
    return has_proxy and not is_loopback_host(host) and not proxy_bypass(host)
