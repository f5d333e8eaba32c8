"""STS.def builds without a surprise: what it copies and calls exists, its shell lines run."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import sts
from tests.conftest import REPOSITORY

DEFINITION = (REPOSITORY / "STS.def").read_text(encoding="utf-8")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SECTIONS = {
    "arguments",
    "labels",
    "help",
    "files",
    "post",
    "environment",
    "runscript",
    "test",
}
SHELL = ("post", "environment", "runscript", "test")
KEYWORDS = {"if", "then", "else", "elif", "fi", "for", "do", "done", "while", "!"}
BUILTINS = {"[", ":", "cd", "echo", "exec", "exit", "export", "set", "test", "umask", "unset"}
# What a slim Debian image with Python has.
ON_THE_IMAGE = {"apt-get", "id", "mkdir", "mktemp", "pip", "python", "python3", "rm", "sh", "stat"}


def header(definition: str) -> dict[str, str]:
    top = re.split(r"^%", definition, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in top.splitlines() if line and not line.startswith("#")]
    return dict(line.split(": ", maxsplit=1) for line in lines)


def sections(definition: str) -> dict[str, str]:
    parts = re.split(r"^%(\w+)\n", definition, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def defaults(definition: str) -> dict[str, str]:
    lines = [line.strip() for line in sections(definition)["arguments"].splitlines()]
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def script(definition: str, section: str, **arguments: str) -> str:
    """Return a section as the build writes it, its build arguments put in."""
    known = defaults(definition) | arguments

    def put_in(found: re.Match[str]) -> str:
        return known[found[1]]

    return re.sub(r"\{\{ (\w+) \}\}", put_in, sections(definition)[section])


def commands(text: str) -> Iterator[str]:
    """Yield the name of every command of a shell script, those in $(...) too."""
    for line in text.splitlines():
        for inner in re.findall(r"\$\(([^()]*)\)", line):
            yield from commands(inner)
        words = shlex.shlex(line, posix=True, punctuation_chars=";&|")
        words.whitespace_split = True
        first = True
        for word in words:
            if first and not re.match(r"\w+=", word) and word not in KEYWORDS:
                yield word
                first = word == "exec"
            elif set(word) <= set(";&|"):
                first = True


def copied(definition: str) -> list[tuple[str, str]]:
    lines = [line.split() for line in sections(definition)["files"].splitlines() if line.strip()]
    return [(source, target) for source, target in lines]


def faults(definition: str) -> list[str]:
    """Return what would end a build or a run."""
    known = ON_THE_IMAGE | BUILTINS | set(PROJECT["scripts"])
    found = [
        f"no file {name}" for name, _ in copied(definition) if not (REPOSITORY / name).exists()
    ]
    for section in SHELL:
        text = script(definition, section)
        checked = subprocess.run(
            ["sh", "-n"], input=text, text=True, capture_output=True, check=False
        )
        if checked.returncode:
            found.append(f"%{section}: {checked.stderr.strip()}")
            continue
        found += [
            f"%{section}: no command {name}"
            for name in commands(text)
            if name not in known and not name.startswith("$")
        ]
    return found


def run(
    text: str, folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", text, "sh", *arguments],
        cwd=folder,
        env=environment or {"PATH": os.environ["PATH"], "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def stub(folder: Path, *names: str) -> dict[str, str]:
    """Put commands that write down their arguments, one a line, before all others."""
    folder.mkdir()
    for name in names:
        path = folder / name
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" --- >> "{folder}.called"\n')
        path.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder)}


def called(folder: Path) -> list[list[str]]:
    text = Path(f"{folder}.called").read_text()
    return [call.strip("\n").split("\n") for call in text.split("---\n") if call]


def test_the_definition_has_its_sections_and_base() -> None:
    assert set(sections(DEFINITION)) == SECTIONS
    assert header(DEFINITION)["Bootstrap"] == "docker"
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", header(DEFINITION)["From"])


def test_what_it_copies_and_calls_exists() -> None:
    assert faults(DEFINITION) == []
    assert "pip" in set(commands(script(DEFINITION, "post")))
    assert {"id", "mkdir", "mktemp", "stat"} <= set(commands(script(DEFINITION, "environment")))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("    LICENSE /", "    LICENCE /", "no file LICENCE"),
        ("    sts-data doctor --root", "    sts-date doctor --root", "no command sts-date"),
        ("exec sts-data", "exec sts-dota", "no command sts-dota"),
        ("cd /opt/sts\n", "cd /opt/sts && frobnicate\n", "no command frobnicate"),
        ("stat -c", "stet -c", "no command stet"),
        ("; then\n        pip", "; then\n        pip3.99", r"no command pip3\.99"),
        ("    fi\n    pip", "    pip", "%post: .*"),
    ],
)
def test_a_missing_file_or_command_is_found(old: str, new: str, fault: str) -> None:
    assert old in DEFINITION
    found = faults(DEFINITION.replace(old, new))
    assert any(re.search(fault, told) for told in found), found


def test_it_says_which_version_it_holds() -> None:
    labels = dict(
        line.split() for line in sections(DEFINITION)["labels"].splitlines() if line.strip()
    )
    assert labels["Version"] == sts.__version__
    citation = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {sts.__version__}\n" in citation


def test_every_build_argument_has_a_value() -> None:
    used = set(re.findall(r"\{\{ (\w+) \}\}", DEFINITION))
    # Apptainer drops an argument whose value is empty, and then does not know it.
    assert all(defaults(DEFINITION).values())
    assert used == set(defaults(DEFINITION))


def post_in(folder: Path, **arguments: str) -> list[list[str]]:
    """Run %post where /opt/sts is `folder` and pip a stub, and return what it called."""
    place = folder / "opt"
    place.mkdir()
    text = script(DEFINITION, "post", **arguments).replace("/opt/sts", str(place))
    environment = stub(folder / "bin", "apt-get", "pip", "python")
    ended = run(text, folder, environment=environment)
    assert ended.returncode == 0, ended.stderr
    return called(folder / "bin")


def calls_of_pip(calls: list[list[str]]) -> list[list[str]]:
    return [call for call in calls if call[0] == "pip"]


def test_compiled_networks_find_a_compiler(tmp_path: Path) -> None:
    installed = [call for call in post_in(tmp_path) if call[:2] == ["apt-get", "install"]]
    assert [call[-1] for call in installed] == ["g++"]


def test_post_installs_the_lock_and_then_the_package(tmp_path: Path) -> None:
    first, second, *_ = calls_of_pip(post_in(tmp_path))
    assert first == ["pip", "install", "--no-cache-dir", "-r", "requirements.lock"]
    assert second == ["pip", "install", "--no-cache-dir", "--no-deps", "."]


def test_post_asks_the_index_it_is_given(tmp_path: Path) -> None:
    first, *_ = calls_of_pip(post_in(tmp_path, cuda_index="https://example.org/a?b=c&d"))
    assert first[3:5] == ["--extra-index-url", "https://example.org/a?b=c&d"]
    assert "http" not in DEFINITION


def test_post_stops_at_the_first_failure(tmp_path: Path) -> None:
    text = script(DEFINITION, "post").replace("/opt/sts", str(tmp_path / "not there"))
    environment = stub(tmp_path / "bin", "apt-get", "pip")
    assert run(text, tmp_path, environment=environment).returncode != 0
    assert {name for name, *_ in called(tmp_path / "bin")} == {"apt-get"}


PLACES = (
    "MPLCONFIGDIR",
    "NUMBA_CACHE_DIR",
    "TORCH_HOME",
    "WANDB_DIR",
    "WANDB_CACHE_DIR",
    "XDG_CACHE_HOME",
)


def environment_in(folder: Path, **given: str) -> dict[str, str]:
    text = script(DEFINITION, "environment") + "\nenv -0\n"
    before = {"PATH": os.environ["PATH"], "TMPDIR": str(folder), "LD_LIBRARY_PATH": "/host"} | given
    ended = run(text, folder, environment=before)
    assert ended.returncode == 0, ended.stderr
    return dict(item.split("=", 1) for item in ended.stdout.split("\0") if "=" in item)


def test_the_environment_keeps_caches_in_places_that_can_be_written(tmp_path: Path) -> None:
    found = environment_in(tmp_path)
    assert found["PYTHONNOUSERSITE"] == "1"
    for name in PLACES:
        place = Path(found[name])
        (place / "probe").write_text("")
        assert place.is_relative_to(tmp_path)
        # nobody else may put compiled code there
        top = tmp_path / place.relative_to(tmp_path).parts[0]
        assert top.stat().st_mode & 0o077 == 0
    assert len({found[name] for name in PLACES}) == len(PLACES)
    # the host's driver is found through it
    assert found["LD_LIBRARY_PATH"] == "/host"


def test_the_environment_leaves_what_the_user_has_set(tmp_path: Path) -> None:
    assert environment_in(tmp_path, TORCH_HOME=str(tmp_path / "mine"))["TORCH_HOME"].endswith(
        "mine"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_somebody_else_made_is_not_used(tmp_path: Path) -> None:
    planted = tmp_path / f"sts-{os.geteuid()}"
    planted.mkdir()
    os.chown(planted, 65534, 65534)
    assert not Path(environment_in(tmp_path)["NUMBA_CACHE_DIR"]).is_relative_to(planted)


def test_the_runscript_passes_its_arguments_on(tmp_path: Path) -> None:
    environment = stub(tmp_path / "bin", "sts-data")
    arguments = ["sts-data", "show", "a cell", "", "--out=$HOME", "*", "it's"]
    ended = run(script(DEFINITION, "runscript"), tmp_path, *arguments, environment=environment)
    assert ended.returncode == 0, ended.stderr
    assert called(tmp_path / "bin") == [arguments]


def test_the_runscript_alone_shows_what_there_is(tmp_path: Path) -> None:
    environment = stub(tmp_path / "bin", "sts-data")
    assert run(script(DEFINITION, "runscript"), tmp_path, environment=environment).returncode == 0
    assert called(tmp_path / "bin") == [["sts-data", "--help"]]


def test_the_exit_status_of_a_command_comes_through(tmp_path: Path) -> None:
    ended = run(script(DEFINITION, "runscript"), tmp_path, "sh", "-c", "exit 3")
    assert ended.returncode == 3


def test_the_self_check_is_a_command_of_the_package(tmp_path: Path) -> None:
    """The arguments of %test are those the command really takes."""
    environment = stub(tmp_path / "bin", "sts-data")
    assert run(script(DEFINITION, "test"), tmp_path, environment=environment).returncode == 0
    ((_, *arguments),) = called(tmp_path / "bin")
    command = [
        sys.executable,
        str(REPOSITORY / "source" / "data_pipeline.py"),
        *arguments,
        "--help",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
