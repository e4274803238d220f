"""Public functions and dataclasses of `core` document each parameter or field, in numpydoc's sections."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parents[2] / "core"
MANY = 3
"""Number of parameters or fields from which a section must name all of them."""

_SECTION = re.compile(r"^(?:Parameters|Attributes)\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}$|\Z)", re.MULTILINE | re.DOTALL)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _modules() -> list[Path]:
    return sorted(path for path in CORE.rglob("*.py") if not path.stem.startswith("_"))


def _public(body: list[ast.stmt], outer: str = "") -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Yield functions, classes and methods whose names have no underscore, with their dotted names."""
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield f"{outer}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, f"{node.name}.")


def _parameters(function: Function) -> list[str]:
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    starred = [argument for argument in (given.vararg, given.kwarg) if argument]
    return [argument.arg for argument in [*named, *starred] if argument.arg not in ("self", "cls")]


def _fields(kind: ast.ClassDef) -> list[str]:
    """Return the fields of a dataclass without a docstring of their own."""
    if not any("dataclass" in ast.unparse(decorator) for decorator in kind.decorator_list):
        return []
    following = [*kind.body[1:], None]
    return [
        ast.unparse(node.target)
        for node, after in zip(kind.body, following, strict=True)
        if isinstance(node, ast.AnnAssign)
        and not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant))
    ]


def _constructor(kind: ast.ClassDef) -> list[str]:
    found = [node for node in kind.body if isinstance(node, Function) and node.name == "__init__"]
    return _parameters(found[0]) if found else []


def _documented(node: Function | ast.ClassDef) -> set[str]:
    """Return the names in the sections; ``a, b`` on one line are two, ``*rest`` is ``rest``."""
    sections = _SECTION.findall(ast.get_docstring(node) or "")
    lines = [line for section in sections for line in section.splitlines() if line and not line[0].isspace()]
    return {name.strip().lstrip("*") for line in lines for name in line.split(":")[0].split(",")}


def _undocumented(source: str) -> list[str]:
    """Return the public names of a module that leave parameters or fields out of their docstrings, and which."""
    found = []
    for name, node in _public(ast.parse(source).body):
        names = _parameters(node) if isinstance(node, Function) else _fields(node) or _constructor(node)
        missing = [one for one in names if not one.startswith("_") and one not in _documented(node)]
        if len(names) >= MANY and missing:
            found.append(f"{name}: {', '.join(missing)}")
    return found


@pytest.mark.parametrize("module", _modules(), ids=lambda path: str(path.relative_to(CORE)))
def test_three_or_more_parameters_are_documented(module: Path) -> None:
    """A public function, constructor or dataclass with three or more parameters or fields describes each of them."""
    assert _undocumented(module.read_text()) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(a, b, *, c): ...", ["f: a, b, c"]),
        ("def _f(a, b, c): ...", []),
        ("def f(a, b): ...", []),
        ('def f(a, b, c):\n    """Do.\n\n    Parameters\n    ----------\n    a, b\n        Two.\n    """', ["f: c"]),
        ('def f(a, b, c):\n    """Do.\n\n    Parameters\n    ----------\n    a, b, c\n        Three.\n    """', []),
        (
            'def f(a, b, c):\n    """Do.\n\n    Parameters\n    ----------\n    a, b\n        Two.\n\n'
            '    Returns\n    -------\n    c\n        One.\n    """',
            ["f: c"],
        ),
        ('class A:\n    """Be."""\n    def __init__(self, a, b, c): ...', ["A: a, b, c"]),
        ('class A:\n    """Be."""\n    def f(self, a, b, *c): ...', ["A.f: a, b, c"]),
        ("@dataclass\nclass A:\n    a: int\n    b: int\n    c: int", ["A: a, b, c"]),
        ("class A:\n    a: int\n    b: int\n    c: int", []),
    ],
)
def test_what_is_not_documented_is_found(source: str, expected: list[str]) -> None:
    """The check names each parameter that its own section leaves out, and accepts private and short signatures."""
    assert _undocumented(source) == expected
