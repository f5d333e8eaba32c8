"""What the README tells to type runs, and what it points at is there."""

import ast
import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
SCRIPTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "scripts"
]
# Folders whose content is made by runs, so that what the README tells of them need not exist.
MADE = ("data", "models", "output")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, flags=re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {title!r}"
    return found[1]


def lines(text: str) -> list[str]:
    """Return the commands of a block, continued lines joined."""
    joined = text.replace("\\\n", " ").splitlines()
    return [line for line in joined if line.strip() and not line.lstrip().startswith("#")]


TYPED = [line for block in blocks("bash") for line in lines(block)]
# A span of code may break across two lines of a paragraph.
SPANS = [
    " ".join(span.split())
    for span in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```$", "", README, flags=re.M | re.S))
]
SCRIPT = re.compile(
    r"(?:(?:\S*/)?python3? )?((?:source/)?\w+\.py|benchmarks/\w+\.py|sts-\w+)(?: |$)"
)


def parts(line: str) -> list[list[str]]:
    """Split a command line at && into commands of words."""
    return [shlex.split(part) for part in line.split("&&")]


def script_calls() -> list[tuple[str, ...]]:
    """Return every call of a script of ours: the script, then its words."""
    found = set()
    for text in [*TYPED, *SPANS]:
        for part in text.split("&&"):
            # What a container or an environment runs is a command of ours behind theirs.
            call = SCRIPT.search(part.strip())
            if call and not part.strip().startswith("tests/"):
                found.add((call[1], *shlex.split(part.strip()[call.end() :])))
    return sorted(found)


CALLS = script_calls()


def path_of(script: str) -> Path:
    """Return the file behind `source/x.py`, `x.py`, `benchmarks/x.py` or a console script."""
    if script in SCRIPTS:
        # The console script and the script of the same purpose share one main().
        module = SCRIPTS[script].split(":")[0]
        text = f"from {module} import main"
        (path,) = [p for p in (REPOSITORY / "source").glob("*.py") if text in p.read_text()]
        return path
    return REPOSITORY / script if "/" in script else REPOSITORY / "source" / script


@cache
def help_of(script: str, *command: str) -> str:
    words = [sys.executable, str(path_of(script)), *command, "--help"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, f"{' '.join(words)}: {ended.stderr}"
    return ended.stdout


def test_quick_start_is_two_commands_that_set_up_all_they_need() -> None:
    typed = [line for block in blocks("bash", section("Quick start")) for line in lines(block)]
    assert len(typed) == 2
    for line in typed:
        venv, install, *_ = parts(line)
        assert venv == ["python3", "-m", "venv", ".venv"]
        assert install[:3] == [".venv/bin/pip", "install", "-e"]
    main, test = (parts(line)[-1] for line in typed)
    assert main[0] == ".venv/bin/python"
    assert (REPOSITORY / main[1]).is_file()
    assert test[:3] == [".venv/bin/python", "-m", "pytest"]


def test_the_readme_calls_scripts() -> None:
    # The tests below are made from these: none would pass for nothing.
    assert len(CALLS) >= 3
    assert any(call[:2] == ("source/data_pipeline.py", "build") for call in CALLS)


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_every_script_takes_what_the_readme_gives_it(call: tuple[str, ...]) -> None:
    script, *words = call
    assert path_of(script).is_file()
    known = help_of(script)
    command = []
    if words and not words[0].startswith("-") and " COMMAND" in known:
        assert re.search(rf"^ +{re.escape(words[0])}\b", known, flags=re.MULTILINE), words[0]
        command = words[:1]
        known = help_of(script, *command)
    for word in words:
        if word.startswith("--"):
            flag = word.split("=")[0]
            assert re.search(rf"{re.escape(flag)}\b", known), f"{script} {command} has no {flag}"


KNOWN = {"python", "python3", "pip", "apptainer", "cd", "git", *SCRIPTS}


@pytest.mark.parametrize("line", TYPED)
def test_every_command_is_one_this_test_understands(line: str) -> None:
    for words in parts(line):
        name = Path(words[0]).name
        assert name in KNOWN, f"cannot check {name!r}: teach this test what it is"
        if name.startswith("python") and words[1] != "-m":
            assert (REPOSITORY / words[1]).is_file()
        if name == "cd":
            assert (REPOSITORY / words[1]).is_dir()


FLAGS = sorted({found for span in SPANS for found in re.findall(r"^--[a-z-]+", span)})


@pytest.mark.parametrize("flag", FLAGS)
def test_every_flag_is_one_some_script_has(flag: str) -> None:
    # A first word that is not a command, such as the number of a model, has no help of its own.
    texts = [
        help_of(script, *(word for word in words[:1] if word.isalpha())) for script, *words in CALLS
    ]
    foreign = {"--nv", "--build-arg"}
    assert flag in foreign or any(re.search(rf"{flag}\b", text) for text in texts)


def mentions() -> list[str]:
    """Return what looks like a file or folder of this repository."""
    top = {path.name for path in REPOSITORY.iterdir()} - {".git"}
    linked = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    words = [word for span in SPANS for word in span.split()]
    words += [word for block in blocks("") for word in block.split()]
    files = [
        word
        for word in words
        if re.fullmatch(r"[\w./-]+", word)
        and (word.split("/")[0] in top or re.fullmatch(r"[A-Z]+\.\w+|\w+\.toml|\w+\.lock", word))
    ]
    return sorted({*linked, *files})


@pytest.mark.parametrize("mention", mentions())
def test_what_the_readme_points_at_is_there(mention: str) -> None:
    first, *rest = mention.split("/")
    if first in MADE and rest:
        return
    assert (REPOSITORY / mention).exists()


@pytest.mark.parametrize("block", blocks("python"))
def test_every_name_an_example_imports_exists(block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)


@pytest.mark.parametrize("block", blocks("python"))
def test_every_example_runs_beside_the_demo(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sts.cells.store import write_store
    from tests.cells.stores import make_store

    # What `build --demo` leaves, as far as examples read it.
    store = tmp_path / "output" / "demo" / "data" / "simulated" / "sweeps.h5"
    store.parent.mkdir(parents=True)
    write_store(store, make_store(3))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert len(names) > 1, "an example that makes nothing shows nothing"
