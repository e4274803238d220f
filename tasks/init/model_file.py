"""Write a model file and a suite for a user's own file of rows."""

from __future__ import annotations

import glob
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from config.load import MAX_BYTES, load_model_config, model_path, schema_path
from config.names import is_model_name
from config.schema import Encoding, ModelConfig, Source
from config.settings import PACKAGES, Settings
from config.similar_names import closest, unseen_difference
from config.var_folder import make_var
from core.data.signatures import foreign_format
from core.errors import ConfigError, PerennialError, SchemaError, SourceError, StorageError
from core.init.choices import NO_ANSWERS, Answers
from core.init.codes import lost_code_doubt
from core.init.columns import MAX_COLUMN_NAME, Decision, TargetDecision, column_decision, for_task, target_decision
from core.init.model_file import Findings, holdout_share, left_out, model_content, model_text, notes
from core.init.names import model_name
from core.init.sentinels import sentinel_note
from core.init.source_notations import source_notations
from core.init.suite import suite_content
from core.notations import Notation
from core.text import short
from tasks.init.counters import counters
from tasks.init.encodings import text_encoding
from tasks.init.inspection.inspect_rows import inspect_rows
from tasks.init.inspection.inspected import Inspection, distinct_values, examples, repeated_rows
from tasks.init.inspection.sample import baseline_error
from tasks.init.leaks import leaks
from tasks.init.notations import with_notations
from tasks.init.sentinels import date_sentinels, found_sentinels
from tasks.init.totals import totals_remarks
from tasks.source.engine import ingestion_engine, reading, removed_after_error
from tasks.source.files import SAMPLE_BYTES, is_remote, remote_failures, without_credentials
from tasks.source.read import declared_categories, raw_rows, shown_source

log = logging.getLogger("perennial.init")

CSV_ENDINGS = (".csv", ".tsv", ".txt", ".data", ".dat")
PARQUET_ENDINGS = (".parquet", ".pq")
OTHER_ENDINGS = (".json", ".jsonl", ".xls", ".xlsx", ".ods", ".feather", ".arrow", ".orc", ".avro", ".pkl", ".db")
COMPRESSED = re.compile(r"\.(gz|bz2|xz|zst|zip)$")


@dataclass(frozen=True)
class InitResult:
    """The files that were written, and the inferred configuration.

    Parameters
    ----------
    model
        Name of the model.
    paths
        The model file, the suite and the JSON schema that the model file names.
    config
        The model file as loaded after writing.
    notes
        Sentences for the user: what was inferred, and what to check.
    """

    model: str
    paths: tuple[Path, ...]
    config: ModelConfig
    notes: tuple[str, ...]


def init_model(
    data: str,
    target: str,
    settings: Settings,
    *,
    time: str | None = None,
    key: str | None = None,
    name: str | None = None,
    force: bool = False,
    answers: Answers = NO_ANSWERS,
) -> InitResult:
    """Infer a model file and a suite from the user's rows and write both.

    A repeat with ``force`` writes the same two files again. A run that dies leaves no model file: it is renamed into
    place last.

    Parameters
    ----------
    data
        CSV or Parquet: a path relative to the working directory, a folder, a glob or an fsspec address.
    target
        Column to predict.
    time, key
        Column that orders the rows; column that names the entity.
    name
        Name of the model; derived from the file's name by default.
    force
        Replace an existing model file of that name.
    answers
        Of the user, where the values of a column can be read in two ways.

    Raises
    ------
    ConfigError
        The name is in use or is not a valid model name, or a column does not exist or does not suit its role.
    SourceError
        The rows cannot be read, or there are none.
    SchemaError
        The target cannot be learnt, or no feature is left.
    """
    source, word = source_section(data, settings.root, answers.encoding)
    chosen = _free_name(name or model_name(data), settings, force)
    with _working_folder(settings) as work, ingestion_engine(settings, work) as connection:
        parsed: Source = TypeAdapter(Source).validate_python(source)
        log.info("opening %s", shown_source(parsed))
        rows = raw_rows(connection, parsed, settings, work)
        _check_columns(list(rows.columns), {"--target": target, "--time": time, "--key": key})
        with reading(shown_source(parsed)):
            categories = declared_categories(parsed, settings, work)
            inspection = inspect_rows(connection, rows, target, time, categories, answers)
            _refuse_second_names(inspection)
            inspection = with_notations(inspection)
            remarks = totals_remarks(inspection, parsed, settings, work)
            log.info("looking for counters, leakage and repeated rows in %s rows", f"{inspection.n_rows:,}")
            found = _findings(inspection, source, chosen, target, time, key)
            if word is not None:
                remarks = [*remarks, _encoding_note(source, word)]
            found = replace(found, doubts=(*found.doubts, *remarks))
    return _written(found, settings)


def _refuse_second_names(inspection: Inspection) -> None:
    if inspection.second_names:
        raise SourceError(
            f"--data: the first row has {inspection.second_names}, where the others have numbers or dates: it looks "
            "like units, or a second line of names; remove the line"
        )


def _encoding_note(source: Mapping[str, Any], word: str) -> str:
    return f"the text is not UTF-8 and was read as {source['encoding']}, for example {short(word)}"


def source_section(data: str, root: Path, encoding: str | None = None) -> tuple[dict[str, Any], str | None]:
    """Return the section ``source`` of the model file for an address.

    Parameters
    ----------
    data
        Address of the rows.
    root
        Folder of the project.
    encoding
        Of the text; None if it is to be detected.

    Returns
    -------
    tuple
        Section with ``kind``, ``uri`` (relative to the project if it is inside, else absolute) and, for text,
        ``encoding`` if it is not UTF-8; then a word by which a person can check a guessed encoding, or None.

    Raises
    ------
    ConfigError
        The encoding is not one that a model file can name, or the source is Parquet.
    SourceError
        There is no such file, or it is neither CSV nor Parquet.
    """
    if encoding is not None and encoding not in get_args(Encoding):
        raise ConfigError(f"--encoding: expected one of {', '.join(get_args(Encoding))}, found {short(encoding)}")
    if is_remote(data):
        return _with_encoding({"kind": _remote_kind(data), "uri": data}, encoding), None
    path = Path(os.path.abspath(Path(data).expanduser()))  # noqa: PTH100 - resolve() would follow links
    files = _files(path)
    kind = _kind(files[0])
    if path.is_dir() and kind == "csv":
        path /= f"*{files[0].suffix}"
    uri = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    if encoding is not None or kind != "csv":
        return _with_encoding({"kind": kind, "uri": uri}, encoding), None
    found, word = text_encoding(files[0])
    return _with_encoding({"kind": kind, "uri": uri}, found), word


def _with_encoding(source: dict[str, Any], encoding: str | None) -> dict[str, Any]:
    if encoding is not None and source["kind"] != "csv":
        raise ConfigError("--encoding is of text: the source is Parquet; remove the option")
    return source | ({} if encoding in (None, "utf-8") else {"encoding": encoding})


def _remote_kind(address: str) -> str:
    if urlsplit(address).password:
        raise ConfigError(
            "--data: the address contains a password, which would be written into the model file; "
            "remove it and set the storage's environment variables instead"
        )
    return _ending_kind(address.split("?")[0]) or "parquet"


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file() and _ending_kind(file.name))
        if not inside:
            raise SourceError(f"--data: the folder {path} contains no CSV or Parquet file")
        return inside
    matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207 - absolute patterns
    if not matches:
        near = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
        close = closest(path.name, [file.name for file in near], n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else "; give a path relative to the working directory"
        raise SourceError(f"--data: no file {path}{hint}")
    return matches


def _ending_kind(name: str) -> str | None:
    lower = COMPRESSED.sub("", name.lower())
    if lower.endswith(PARQUET_ENDINGS):
        return "parquet"
    return "csv" if lower.endswith(CSV_ENDINGS) else None


def _kind(file: Path) -> str:
    head = _head(file)
    # File names often have a wrong suffix; the first bytes of a Parquet file are unambiguous.
    if head.startswith(b"PAR1"):
        return "parquet"
    if found := foreign_format(head):
        raise SourceError(f"--data: {file} {found}")
    if file.name.lower().endswith(OTHER_ENDINGS):
        raise SourceError(f"--data: {file} is neither CSV nor Parquet; save the table as one of them")
    return _ending_kind(file.name) or "csv"


def _head(file: Path) -> bytes:
    """Return the first bytes of a file, of its contents if its name says that it is compressed."""
    import fsspec

    shown = f"--data: {file}"
    # By the file system, because fsspec.open would take a star in a name for a glob.
    with remote_failures(shown), fsspec.filesystem("file").open(str(file), "rb", compression="infer") as stream:
        return bytes(stream.read(SAMPLE_BYTES))


def _free_name(name: str, settings: Settings, force: bool) -> str:
    path = model_path(settings.root, name)
    if not is_model_name(name) or name == "latest" or re.fullmatch(r"v\d+", name):
        raise ConfigError(
            f"--name {short(name)}: expected a lower-case letter, then letters, digits, '-' or '_', 63 at most "
            "('latest' and 'v<number>' are reserved)"
        )
    if path.exists() and not force:
        raise ConfigError(f"a model {name!r} exists ({path}); choose another --name, or --force to replace its files")
    return name


@contextmanager
def _working_folder(settings: Settings) -> Iterator[Path]:
    make_var(settings)
    parent = settings.var / "work"
    parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="init-", dir=parent) as folder:
        yield Path(folder)


def _check_columns(columns: list[str], roles: Mapping[str, str | None]) -> None:
    named = {option: column for option, column in roles.items() if column is not None}
    for option, column in named.items():
        if column not in columns:
            raise ConfigError(_unknown_column(option, column, columns))
        if not 0 < len(column) <= MAX_COLUMN_NAME:
            raise ConfigError(
                f"{option}: expected a column name of 1 to {MAX_COLUMN_NAME:,} characters, found {len(column):,}"
            )
    if len(set(named.values())) < len(named):
        raise ConfigError(
            f"{', '.join(named)} must name different columns, found {', '.join(map(short, named.values()))}"
        )


def _unknown_column(option: str, column: str, columns: list[str]) -> str:
    close = closest(column, columns, n=3, cutoff=0.5)
    alike = next((text for name in close if (text := unseen_difference(column, name))), "")
    shown = ", ".join(short(name) for name in columns[:20]) + (", …" if len(columns) > 20 else "")
    hint = f"did you mean {' or '.join(short(name) for name in close)}? " if close else ""
    hint += f"It looks the same, but {alike}; " if alike else ""
    title = " only: remove lines above the names, or use a usual delimiter" if len(columns) == 1 else ""
    return f"{option} {short(column)}: no such column; {hint}the file has {shown}{title}"


def _findings(
    inspection: Inspection, source: dict[str, Any], name: str, target: str, time: str | None, key: str | None
) -> Findings:
    if not inspection.n_rows:
        raise SourceError("--data: expected rows, found only a header; choose a file with at least one row")
    columns = {column.name: column for column in inspection.columns if 0 < len(column.name) <= MAX_COLUMN_NAME}
    goal = target_decision(columns[target])
    if time is not None:
        _check_time(inspection, time)
    if key is not None and columns[key].is_nested:
        raise ConfigError(f"--key {short(key)}: expected texts or numbers, found type {columns[key].type_name[:40]}")
    roles = {target, time, key}
    kinds = {
        column: for_task(column_decision(found), goal.task) for column, found in columns.items() if column not in roles
    }
    counting, doubts = counters(inspection, kinds, time)
    kinds |= counting
    leaking, suspicions = leaks(inspection, kinds, target, goal, time)
    kinds |= leaking
    if not any(decision.is_feature for decision in kinds.values()):
        reasons = "; ".join(f"{short(column)}: {decision.why}" for column, decision in list(kinds.items())[:10])
        raise SchemaError(
            f"no column is left as a feature to predict {short(target)} ({reasons or 'there is no other column'})"
        )
    source = source | source_notations(_used_notations(inspection, kinds, target, goal, time), inspection.columns)
    noted, remarks = _sentinels(inspection, kinds, target if goal.task == "regression" else None)
    remarks += date_sentinels(inspection, [name for name, decision in kinds.items() if decision.kind == "dates"])
    kinds |= noted
    n_keys = distinct_values(inspection.table, key) if key is not None else 0
    found = Findings(
        name=name,
        source=source,
        columns=columns,
        target=target,
        goal=goal,
        kinds=kinds,
        missing=inspection.missing,
        time=time,
        key=key,
        key_is_unique=key is None or n_keys == columns[key].n_values,
        n_keys=n_keys,
        n_repeats=repeated_rows(inspection.table, [name for name, found in kinds.items() if found.is_feature]),
        doubts=(
            *([goal.doubt] if goal.doubt else []),
            *inspection.doubts,
            *(decision.doubt for decision in kinds.values() if decision.doubt),
            *_lost_codes(inspection),
            *doubts,
            *suspicions,
            *remarks,
        ),
    )
    if goal.task != "regression":
        return found
    share = holdout_share(columns[target].n_values)
    return replace(found, baseline=baseline_error(inspection.table, target, time, share))


def _lost_codes(inspection: Inspection) -> list[str]:
    sparse = (column for column in inspection.columns if column.n_missing)
    doubts = (lost_code_doubt(column.name, column.levels, inspection.missing) for column in sparse)
    return [doubt for doubt in doubts if doubt]


def _used_notations(
    inspection: Inspection, kinds: Mapping[str, Decision], target: str, goal: TargetDecision, time: str | None
) -> dict[str, Notation]:
    """Return the notation of each column that has one and is read as a number or as a date."""
    used = [name for name, decision in kinds.items() if decision.kind in ("numeric", "dates")]
    used += [target] if goal.task == "regression" else []
    used += [time] if time is not None else []
    noted = {name: inspection.table.one(name).noted.notation for name in used}
    return {name: notation for name, notation in noted.items() if notation is not None}


def _sentinels(
    inspection: Inspection, kinds: Mapping[str, Decision], target: str | None
) -> tuple[dict[str, Decision], list[str]]:
    """Return the columns with numbers that may mean no value, these noted beside them, and remarks."""
    numbers = [name for name, decision in kinds.items() if decision.kind == "numeric"]
    found, remarks = found_sentinels(inspection, numbers + ([target] if target is not None else []))
    noted = {
        name: replace(kinds[name], why=kinds[name].why + sentinel_note(values))
        for name, values in found.items()
        if name in kinds
    }
    return noted, remarks


def _check_time(inspection: Inspection, time: str) -> None:
    column = inspection.named(time)
    if column.is_date:
        return
    shown = ", ".join(short(text) for text in examples(inspection.table, time)) or "no value"
    strange = f", not for {short(column.strange[0][0])}" if column.strange else ""
    if column.notation:
        raise ConfigError(f"--time {short(time)} has {column.notation}")
    raise ConfigError(
        f"--time {short(time)}: expected dates such as 2026-01-31 or 2026-01-31 18:30:00{strange}; found {shown}. "
        "Rewrite the column, or omit --time"
    )


def _written(found: Findings, settings: Settings) -> InitResult:
    content, why = model_content(found)
    config = ModelConfig.model_validate(content)
    origin = short(without_credentials(str(found.source["uri"])), 200)
    headline = (
        # Relative to the model file. The project has its own copy because the package's path differs between machines.
        "yaml-language-server: $schema=../model.schema.json",
        f"Written by 'perennial init' from {found.n_rows:,} rows of {origin}.",
        "Every value was inferred; the comment beside it gives the reason. Correct what is wrong.",
        *(f"Left out, not stored: {short(name)} {why}." for name, why in left_out(found).items()),
    )
    text = model_text(content, why, headline)
    suite = json.dumps(suite_content(found, config), indent=2, ensure_ascii=False) + "\n"
    schema = schema_path(PACKAGES).read_text(encoding="utf-8")
    paths = (
        model_path(settings.root, found.name),
        settings.root / config.validation.suite,
        schema_path(settings.root),
    )
    _replace_files({paths[2]: schema, paths[1]: suite, paths[0]: text}, found.name, config)
    log.info("inferred the model file of %s from %s rows", found.name, f"{found.n_rows:,}")
    return InitResult(found.name, paths, config, tuple(notes(found, config)))


def _replace_files(contents: Mapping[Path, str], name: str, config: ModelConfig) -> None:
    """Write under temporary names, check that the model file loads, then rename, the model file last."""
    if any(len(text.encode()) > MAX_BYTES for path, text in contents.items() if path.suffix == ".yaml"):
        raise ConfigError(f"the model file would exceed {MAX_BYTES:,} bytes: the rows have too many columns; drop some")
    try:
        with tempfile.TemporaryDirectory() as folder:
            trial = model_path(Path(folder), name)
            trial.parent.mkdir(parents=True)
            trial.write_text(next(text for path, text in contents.items() if path.suffix == ".yaml"), encoding="utf-8")
            if load_model_config(Path(folder), name) != config:
                raise PerennialError(f"the model file of {name} does not load as it was inferred; please report this")
        _rename_into_place(contents)
    except OSError as error:
        raise StorageError(f"cannot write {', '.join(map(str, contents))}: {error.strerror}") from error


def _rename_into_place(contents: Mapping[Path, str]) -> None:
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in contents}
    with removed_after_error(*temporary.values()):
        for path, text in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary[path].write_text(text, encoding="utf-8")
        for path, written in temporary.items():
            written.replace(path)
