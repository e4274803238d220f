"""Ways to spoil a bundle that whoever can write its files has, drawn by chance."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.bundle.reader import MANIFEST
from tests.serving.bundles import reseal

if TYPE_CHECKING:
    from tasks.registry.bundle import Bundle


@dataclass(frozen=True)
class Draw:
    """What a mutation is made from.

    Parameters
    ----------
    chance
        Decides what is left open.
    folder
        A copy of the bundle, to spoil.
    others
        Sound bundles of other versions and models.
    """

    chance: np.random.Generator
    folder: Path
    others: Sequence[Bundle]

    @property
    def names(self) -> list[str]:
        """Files of the bundle, relative to it."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.folder).as_posix() for path in files)

    def file(self) -> Path:
        """Return a file that is not empty."""
        return self.folder / str(self.chance.choice([name for name in self.names if self._size(name)]))

    def other(self) -> Bundle:
        """Return another bundle."""
        return self.others[int(self.chance.integers(len(self.others)))]

    def elsewhere(self, name: str = "elsewhere") -> Path:
        """Return a path beside the bundle."""
        return self.folder.with_name(name)

    def _size(self, name: str) -> int:
        return (self.folder / name).stat().st_size


def flip_bit(draw: Draw) -> None:
    """Flip one bit."""
    path = draw.file()
    content = bytearray(path.read_bytes())
    content[int(draw.chance.integers(len(content)))] ^= 1 << int(draw.chance.integers(8))
    path.write_bytes(content)


def truncate(draw: Draw) -> None:
    """Cut the end off."""
    path = draw.file()
    os.truncate(path, int(draw.chance.integers(path.stat().st_size)))


def empty(draw: Draw) -> None:
    """Leave nothing of a file."""
    os.truncate(draw.file(), 0)


def append(draw: Draw) -> None:
    """Write behind the end."""
    with draw.file().open("ab") as file:
        file.write(draw.chance.bytes(int(draw.chance.integers(1, 2000))))


def overwrite(draw: Draw) -> None:
    """Put other bytes of the same length in place of all."""
    path = draw.file()
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))


def hole(draw: Draw) -> None:
    """Replace a file by a hole of its length."""
    path = draw.file()
    size = path.stat().st_size
    os.truncate(path, 0)
    os.truncate(path, size)


def sparse_terabyte(draw: Draw) -> None:
    """Make a file as long as no disk, which takes no place."""
    os.truncate(draw.file(), 1 << 40)


def add_file(draw: Draw) -> None:
    """Add a file, in plain sight, hidden, below, or by a name that is hard to print."""
    name = str(
        draw.chance.choice(
            [
                ".hidden",
                "code.py",
                "model.pkl",
                "plots/more.svg",
                "manifest.json.bak",
                "contract.json ",
                "a\nb",
                "\u202e",
            ]
        )
    )
    (draw.folder / name).write_bytes(b"x")


def add_undecodable_name(draw: Draw) -> None:
    """Add a file whose name is no text."""
    Path(os.fsdecode(bytes(draw.folder) + b"/\xff\xfe")).touch()


def add_folder(draw: Draw) -> None:
    """Add an empty folder."""
    (draw.folder / str(draw.chance.choice(["code", "plots/code", "..."]))).mkdir()


def delete(draw: Draw) -> None:
    """Delete a file."""
    draw.file().unlink()


def delete_all_but_manifest(draw: Draw) -> None:
    """Leave the manifest alone."""
    for name in draw.names:
        if name != MANIFEST:
            (draw.folder / name).unlink()


def rename(draw: Draw) -> None:
    """Give a file another name, or another place."""
    path = draw.file()
    path.rename(path.with_name(path.name + "x") if draw.chance.random() < 0.5 else draw.folder / "plots" / "moved")


def change_case(draw: Draw) -> None:
    """Give a file its name in other letters."""
    path = draw.file()
    path.rename(path.with_name(path.name.upper()))


def look_alike(draw: Draw) -> None:
    """Give a file a name that looks the same: Cyrillic letters, a wide dot, a joined or split accent."""
    path = draw.file()
    name = path.name.translate(str.maketrans("aeopcx", "\u0430\u0435\u043e\u0440\u0441\u0445"))
    if name == path.name or draw.chance.random() < 0.3:
        name = unicodedata.normalize("NFD", path.name.replace(".", "\uff0e") + "\u00e9")
    path.rename(path.with_name(name))


def exchange(draw: Draw) -> None:
    """Exchange two files of the bundle."""
    one, other = (draw.folder / str(name) for name in draw.chance.choice(draw.names, 2, replace=False))
    first, second = one.read_bytes(), other.read_bytes()
    if first == second:
        other = draw.folder / MANIFEST
        second = other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def link_file(draw: Draw) -> None:
    """Put a link to the same content in a file's place: outside, within, absolute, relative."""
    path = draw.file()
    target = draw.elsewhere() if draw.chance.random() < 0.5 else draw.folder / "plots" / "kept"
    path.rename(target)
    path.symlink_to(target if draw.chance.random() < 0.5 else os.path.relpath(target, path.parent))


def link_folder(draw: Draw) -> None:
    """Put a link to the same folder in a folder's place."""
    (draw.folder / "plots").rename(draw.elsewhere())
    (draw.folder / "plots").symlink_to(draw.elsewhere())


def link_bundle(draw: Draw) -> None:
    """Put a link to the same bundle in its place."""
    draw.folder.rename(draw.elsewhere())
    draw.folder.symlink_to(draw.elsewhere())


def link_to_itself(draw: Draw) -> None:
    """Add a link that leads round and round."""
    (draw.folder / "again").symlink_to(draw.folder)


def dangling_link(draw: Draw) -> None:
    """Put a link to nowhere in a file's place."""
    path = draw.file()
    path.unlink()
    path.symlink_to(draw.elsewhere("nowhere"))


def folder_for_file(draw: Draw) -> None:
    """Put a folder in a file's place, empty or with the file in it."""
    path = draw.file()
    path.rename(draw.elsewhere())
    path.mkdir()
    if draw.chance.random() < 0.5:
        draw.elsewhere().rename(path / path.name)


def pipe_for_file(draw: Draw) -> None:
    """Put a pipe that nobody writes to in a file's place."""
    path = draw.file()
    path.unlink()
    os.mkfifo(path)


def socket_for_file(draw: Draw) -> None:
    """Put a socket in a file's place."""
    path = draw.file()
    path.unlink()
    with socket.socket(socket.AF_UNIX) as made:
        # Its address may be short only; the name does not matter to a link.
        short = f"/tmp/perennial-{os.getpid()}.sock"  # noqa: S108 - removed at once
        made.bind(short)
        shutil.move(short, path)


def device_for_file(draw: Draw) -> None:
    """Put a device that never ends in a file's place; a link to it where none may be made."""
    path = draw.file()
    path.unlink()
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        path.symlink_to("/dev/zero")


def file_of_other(draw: Draw) -> None:
    """Put another version's file in place of one."""
    theirs, files = draw.other().folder, draw.names
    candidates = [
        name
        for name in files
        if (theirs / name).is_file() and (theirs / name).read_bytes() != (draw.folder / name).read_bytes()
    ]
    name = str(draw.chance.choice(candidates))
    shutil.copy(theirs / name, draw.folder / name)


def manifest_of_other(draw: Draw) -> None:
    """Put another version's manifest in place of this one's."""
    shutil.copy(draw.other().folder / MANIFEST, draw.folder / MANIFEST)


def bundle_of_other(draw: Draw) -> None:
    """Put another version's whole bundle in place of this one."""
    shutil.rmtree(draw.folder)
    shutil.copytree(draw.other().folder, draw.folder)


def bundle_of_other_but_manifest(draw: Draw) -> None:
    """Put another version's files under this one's manifest."""
    manifest = (draw.folder / MANIFEST).read_bytes()
    bundle_of_other(draw)
    (draw.folder / MANIFEST).write_bytes(manifest)


def edit_manifest(draw: Draw) -> None:
    """Take a file out of the manifest and off the disk, rename the model, or write it in another way."""
    path = draw.folder / MANIFEST
    content = json.loads(path.read_text())
    way = int(draw.chance.integers(3))
    if way == 0:
        gone = content["files"].pop(int(draw.chance.integers(len(content["files"]))))
        (draw.folder / gone["path"]).unlink()
    elif way == 1:
        content["run_key"] = "f" * 64
    path.write_text(json.dumps(content, indent=7))


def change_and_reseal(draw: Draw) -> None:
    """Change a file and write a manifest that fits."""
    with (draw.folder / "MLmodel").open("a") as file:
        file.write("loader_module: os\n")
    reseal(draw.folder)


def bundle_gone(draw: Draw) -> None:
    """Delete everything."""
    shutil.rmtree(draw.folder)


def bundle_is_file(draw: Draw) -> None:
    """Put a file in the bundle's place."""
    shutil.rmtree(draw.folder)
    draw.folder.write_bytes(b"{}")


MUTATIONS: tuple[Callable[[Draw], None], ...] = (
    flip_bit,
    flip_bit,
    flip_bit,
    truncate,
    truncate,
    empty,
    append,
    overwrite,
    hole,
    sparse_terabyte,
    add_file,
    add_file,
    add_undecodable_name,
    add_folder,
    delete,
    delete_all_but_manifest,
    rename,
    change_case,
    look_alike,
    exchange,
    link_file,
    link_file,
    link_folder,
    link_bundle,
    link_to_itself,
    dangling_link,
    folder_for_file,
    pipe_for_file,
    socket_for_file,
    device_for_file,
    file_of_other,
    file_of_other,
    manifest_of_other,
    bundle_of_other,
    bundle_of_other_but_manifest,
    edit_manifest,
    change_and_reseal,
    bundle_gone,
    bundle_is_file,
)
"""Some stand there more often: they can strike at more places."""

STRANGE: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**63, 10**400, 1.5, float("nan"), float("inf"), "", "a", "\ud800", "income", "x" * 3000),
    *([], {}, [[]], {"a": 1}, ["a", "a"], [None], [10**400]),
)
"""What no document of ours has where it is put."""


def changed_somewhere(value: Any, chance: np.random.Generator) -> Any:
    """Return a document with something strange at a place that chance picks."""
    strange = STRANGE[int(chance.integers(len(STRANGE)))]
    if not isinstance(value, dict | list) or not value or chance.random() < 0.2:
        return strange
    places = list(value) if isinstance(value, dict) else range(len(value))
    place = places[int(chance.integers(len(places)))]
    changed: Any = value.copy()
    if chance.random() < 0.2:
        del changed[place]
    else:
        changed[place] = changed_somewhere(value[place], chance)
    return changed
