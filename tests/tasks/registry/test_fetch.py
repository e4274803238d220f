"""A registered bundle is fetched as it was registered, or not at all."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from mlflow import MlflowClient

from config.settings import Settings
from core.errors import BundleError, ModelNotFoundError, StorageError
from serving.bundle.reader import MANIFEST, verified
from tasks.registry.fetch import check_files, fetched, fetched_texts
from tasks.registry.register import Registered, register_bundle
from tests.serving.bundles import make_bundle, reseal
from tests.tasks.registration import CONFIG, lineage


def registered(settings: Settings, key: str = "a") -> Registered:
    """Register a small bundle that has files in folders."""
    built = make_bundle(settings.var / "work" / f"bundle-{key}", graph=False, key=key)
    made = register_bundle(built, CONFIG, lineage(key), {}, {}, settings, {})
    shutil.rmtree(built.folder)
    return made


def stored(client: MlflowClient, version: int = 1) -> Path:
    """Where the registry keeps a version's files."""
    return Path(unquote(urlsplit(str(client.get_model_version("credit", str(version)).source)).path))


def leftovers(settings: Settings) -> list[Path]:
    """Folders that a fetch left behind."""
    return list((settings.var / "work").glob("fetched-*"))


def test_a_version_is_fetched_into_a_private_folder(registry: Settings, client: MlflowClient) -> None:
    """The copy is complete and only ours while the block lasts, and gone after it, even after an error."""
    made = registered(registry)
    with fetched("credit", 1, registry) as files:
        assert (files.version, files.run_id) == (1, made.run_id)
        assert files.manifest_sha256 == client.get_model_version("credit", "1").tags["perennial.manifest"]
        assert verified(files.folder, files.manifest_sha256).run_key == "a" * 64
        assert (files.folder / "plots" / "roc.svg").read_text() == "<svg/>"
        assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
        assert files.folder.is_relative_to(registry.var / "work")
    assert leftovers(registry) == []
    with pytest.raises(ZeroDivisionError), fetched("credit", 1, registry):
        raise ZeroDivisionError
    assert leftovers(registry) == []


def test_a_version_that_is_not_there_is_named(registry: Settings) -> None:
    """No such version, no such model."""
    registered(registry)
    for model, version in (("credit", 2), ("other", 1)):
        with (
            pytest.raises(ModelNotFoundError, match=f"'{model}' has no version {version}"),
            fetched(model, version, registry),
        ):
            pass


def _grow(folder: Path) -> None:
    with (folder / "contract.json").open("r+b") as file:
        file.truncate(1 << 40)


def _loop(folder: Path) -> None:
    (folder / "again").symlink_to(folder, target_is_directory=True)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(shutil.rmtree, "has no manifest.json", id="gone"),
        pytest.param(lambda folder: (folder / MANIFEST).unlink(), "has no manifest.json", id="no manifest"),
        pytest.param(
            lambda folder: (folder / MANIFEST).write_text("{}"), "not the one that was registered", id="other"
        ),
        pytest.param(reseal, "not the one that was registered", id="resealed"),
        pytest.param(lambda folder: (folder / "MLmodel").unlink(), "lacks 'MLmodel'", id="deleted"),
        pytest.param(lambda folder: (folder / "code.py").write_text(""), "contains 'code.py'", id="added"),
        pytest.param(lambda folder: (folder / "plots" / "x").write_text(""), "contains 'plots/x'", id="added below"),
        pytest.param(lambda folder: (folder / "code").mkdir(), "contains 'code'", id="folder added"),
        pytest.param(_loop, "contains 'again'", id="endless"),
        pytest.param(_grow, "'contract.json' with 1,099,511,627,776 bytes", id="a terabyte"),
        pytest.param(
            lambda folder: (folder / "model.skops").write_bytes(b"x" * (folder / "model.skops").stat().st_size),
            "model.skops is not what was registered: expected SHA-256",
            id="changed",
        ),
    ],
)
def test_files_that_changed_in_the_registry_are_refused(
    registry: Settings, client: MlflowClient, spoil: Callable[[Path], object], says: str
) -> None:
    """Whoever can write where artifacts lie can neither change nor add a file, nor fill our disk."""
    registered(registry)
    folder = stored(client)
    if spoil is reseal:
        (folder / "MLmodel").write_text("loader_module: os")
    spoil(folder)
    with pytest.raises(BundleError, match=f"(?s){says}.*roll back"), fetched("credit", 1, registry):
        pytest.fail("a spoilt bundle was fetched")
    assert leftovers(registry) == []


def test_a_damaged_champion_is_named_with_the_ways_out(registry: Settings, client: MlflowClient) -> None:
    """Training the same again cannot repair it, so the message says what can; a whole bundle passes."""
    registered(registry)
    check_files("credit", 1, registry)
    (stored(client) / "MLmodel").unlink()
    says = r"does not repair it: .*lacks 'MLmodel'.*perennial rollback.*perennial approve"
    with pytest.raises(BundleError, match=says):
        check_files("credit", 1, registry)
    assert leftovers(registry) == []


def test_another_version_in_its_place_is_refused(registry: Settings, client: MlflowClient) -> None:
    """Its files, and even its files with its hash on this version, belong to another run."""
    registered(registry)
    registered(registry, "b")
    shutil.rmtree(stored(client, 2))
    shutil.copytree(stored(client, 1), stored(client, 2))
    with pytest.raises(BundleError, match="not the one that was registered"), fetched("credit", 2, registry):
        pass
    tags = client.get_model_version("credit", "1").tags
    for name in ("perennial.manifest", "perennial.run_key", "perennial.data_version"):
        client.set_model_version_tag("credit", "2", name, tags[name])
    with pytest.raises(BundleError, match="not the one that was registered"), fetched("credit", 2, registry):
        pass


def test_tags_decide_nothing(registry: Settings, client: MlflowClient) -> None:
    """A version whose tags are wrong or gone is fetched as it was registered."""
    made = registered(registry)
    client.set_model_version_tag("credit", "1", "perennial.manifest", "0" * 64)
    client.delete_model_version_tag("credit", "1", "perennial.run_key")
    with fetched("credit", 1, registry) as files:
        assert files.manifest_sha256 == made.manifest


def test_a_version_of_others_is_refused(registry: Settings, client: MlflowClient) -> None:
    """A version that was added to MLflow has no record, also if its files and tags are those of one of ours."""
    registered(registry)
    ours = client.get_model_version("credit", "1")
    client.create_model_version("credit", str(ours.source), tags=dict(ours.tags), await_creation_for=0)
    client.set_model_version_tag("credit", "2", "perennial.run_key", "f" * 64)
    with pytest.raises(BundleError, match="version 2 of 'credit' was not registered"), fetched("credit", 2, registry):
        pass


def test_single_texts_are_verified(registry: Settings, client: MlflowClient) -> None:
    """Only texts that the manifest names are returned, and a changed or linked one is refused."""
    built = make_bundle(registry.var / "work" / "b", graph=False, documents={"card.md": "# credit"})
    register_bundle(built, CONFIG, lineage(), {}, {}, registry, {})
    assert fetched_texts("credit", 1, ("card.md", "card.html"), registry) == {"card.md": "# credit"}
    path = stored(client) / "card.md"
    path.write_text("# <scr>t")
    with pytest.raises(BundleError, match=r"card\.md is not what was registered"):
        fetched_texts("credit", 1, ("card.md",), registry)
    path.unlink()
    with pytest.raises(BundleError, match=r"lacks 'card\.md'"):
        fetched_texts("credit", 1, ("card.md",), registry)
    assert leftovers(registry) == []


def test_what_a_killed_process_left_goes_after_a_day(registry: Settings) -> None:
    """Copies of a process that may still run stay."""
    registered(registry)
    for name, age in (("fetched-old", 2), ("fetched-new", 0)):
        folder = registry.var / "work" / name
        folder.mkdir()
        moment = folder.stat().st_mtime - age * 24 * 3600
        os.utime(folder, (moment, moment))
    with fetched("credit", 1, registry):
        pass
    assert [path.name for path in leftovers(registry)] == ["fetched-new"]


def test_a_folder_that_cannot_be_made_is_named(registry: Settings) -> None:
    """Disk trouble is the caller's to repair."""
    registered(registry)
    shutil.rmtree(registry.var / "work")
    (registry.var / "work").write_text("")
    with pytest.raises(StorageError, match="no folder can be created"), fetched("credit", 1, registry):
        pass


def test_files_on_this_machine_are_fetched_without_mlflow(registry: Settings) -> None:
    """Its import takes longer than the fetch."""
    registered(registry)
    given = {name: str(value) for name, value in registry.model_dump().items() if value is not None}
    code = (
        "import sys; from config.settings import Settings; from tasks.registry.fetch import fetched\n"
        f"with fetched('credit', 1, Settings(**{given!r})) as files:\n"
        "    assert (files.folder / 'MLmodel').is_file()\n"
        "assert 'mlflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
