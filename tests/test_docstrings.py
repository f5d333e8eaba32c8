"""The examples in docstrings run as they are written."""

import doctest
import importlib
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SOURCE = REPOSITORY / "source"
PACKAGES = sorted(path.parent.name for path in SOURCE.glob("sts/*/__init__.py"))
EXAMPLES = sorted(
    path for path in SOURCE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8")
)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", EXAMPLES, ids=module_of)
def test_every_example_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    tests = doctest.DocTestFinder().find(importlib.import_module(module_of(path)))
    for test in tests:
        runner.run(test, out=told.append)
    assert sum(len(test.examples) for test in tests)
    assert not runner.summarize(verbose=False).failed, "".join(told)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_shows_an_example(package: str) -> None:
    assert SOURCE / "sts" / package / "__init__.py" in EXAMPLES
