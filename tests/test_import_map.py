"""The packages import downwards only, names are unique, and torch stays where it belongs."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeGuard

import pytest

from tests.conftest import REPOSITORY

SOURCE = REPOSITORY / "source" / "sts"

# From the top down; a package imports only from those below it. A new one must find its place here.
ORDER = (
    "cli",
    "studies",
    "reports",
    "networks",
    "augment",
    "calcium",
    "tabular",
    "learning",
    "scalograms",
    "datasets",
    "archives",
    "signals",
    "recordings",
    "search",
    "evaluation",
    "base",
)
HOMES = {
    "torch": {"scalograms", "learning", "networks", "augment", "calcium"},
    "matplotlib": {"reports"},
    "optuna": {"search", "reports"},
    "shap": {"tabular", "reports"},
}


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            yield node.module or ""


MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE)


def test_every_package_is_in_the_map() -> None:
    packages = {path.relative_to(SOURCE).parts[0] for path in MODULES}
    assert packages <= set(ORDER), f"not in the map: {sorted(packages - set(ORDER))}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    package = path.relative_to(SOURCE).parts[0]
    for name in imports_of(path):
        top, *rest = name.split(".")
        if top == "sts" and rest:
            assert ORDER.index(rest[0]) >= ORDER.index(package), f"{package} must not import {name}"
        assert package in HOMES.get(top, {package}), f"{top} is not imported in {package}"


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.is_relative_to(SOURCE / "studies")],
    ids=lambda p: p.name,
)
def test_no_study_imports_another(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[1]
    for name in imports_of(path):
        top, *rest = name.removeprefix("sts.").split(".")
        assert top != "studies" or rest[:1] == [own], f"{own} must not import {name}"


def test_a_public_name_is_defined_once() -> None:
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for name in names_defined_by(node):
                if not name.startswith("_"):
                    homes[name].append(module_of(path))
    # What a script calls is its `main`; every module that logs has its `logger`; T and R are types
    # of generic functions.
    for name in ("main", "logger", "F", "R", "T"):
        homes.pop(name)
    assert not {name: found for name, found in homes.items() if len(found) > 1}


def names_defined_by(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign):
        return [ast.unparse(node.target)]
    if isinstance(node, ast.Assign):
        return [name.id for name in ast.walk(node) if is_assigned(name)]
    return []


def is_assigned(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def test_no_module_leads_back_to_itself() -> None:
    known = {module_of(path): path for path in MODULES}
    imported = {name: modules_in(path, known) - {name} for name, path in known.items()}

    def reach(name: str) -> set[str]:
        reached, ahead = set[str](), [name]
        while ahead:
            new = imported[ahead.pop()] - reached
            reached |= new
            ahead.extend(new)
        return reached

    assert not [name for name in known if name in reach(name)]


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


def modules_in(path: Path, known: Mapping[str, Path]) -> set[str]:
    """Return the modules that one imports, whole or by a name in them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names} & known.keys()
            found |= whole or {str(node.module)}
    return found & known.keys()
