"""Numbers are in metrics.jsonl whatever becomes of W&B, which stays off unless asked for."""

import json
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.tracking import Mode, Tracker, track
from tests.conftest import REPOSITORY


@dataclass(frozen=True, kw_only=True)
class Settings:
    size: int = 3


def started(folder: Path, mode: Mode = "off") -> Tracker:
    return track(mode, folder=folder, project="sts", name="a run", settings=Settings())


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_numbers_are_on_disk_at_once(tmp_path: Path) -> None:
    tracker = started(tmp_path / "run")
    tracker.log({"loss": 0.5, "cells": np.float32(2)}, step=7)
    tracker.log({"loss": math.nan})
    first, second = lines(tmp_path / "run")
    assert (first["step"], first["loss"], first["cells"]) == (7, 0.5, 2.0)
    assert (second["step"], second["loss"]) == (8, None)
    tracker.finish()


def test_a_torn_last_line_is_cut_off_when_a_run_goes_on(tmp_path: Path) -> None:
    started(tmp_path).log({"loss": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1, "lo')
    started(tmp_path).log({"loss": 0.5})
    assert [(line["step"], line["loss"]) for line in lines(tmp_path)] == [(0, 1.0), (1, 0.5)]


def test_an_unknown_mode_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StsError, match=r"unknown tracking mode 'ofline': did you mean 'offline'"):
        started(tmp_path, "ofline")  # type: ignore[arg-type]


class Broken:
    """A W&B that fails in one of its verbs."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self.summary = types.SimpleNamespace(update=lambda _: self._do("update"))

    def _do(self, verb: str) -> "Broken":
        if verb == self._verb:
            raise ConnectionError("no route to host\nand more")
        return self

    def Settings(self, **_: object) -> None:  # noqa: N802 - the name W&B gives it
        pass

    def init(self, **_: object) -> "Broken":
        return self._do("init")

    def log(self, *_: object, **__: object) -> None:
        self._do("log")

    def finish(self) -> None:
        self._do("finish")


@pytest.mark.parametrize("verb", ["import", "init", "log", "update", "finish"])
def test_a_failure_of_the_mirror_is_one_warning(
    tmp_path: Path, verb: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None if verb == "import" else Broken(verb))
    with caplog.at_level(logging.WARNING):
        tracker = started(tmp_path, "online")
        tracker.log({"loss": 1.0})
        tracker.log({"loss": 0.5})
        tracker.finish({"best": 0.5})
    assert len(caplog.records) == 1
    assert "metrics.jsonl has it all" in caplog.text
    assert "and more" not in caplog.text
    assert len(lines(tmp_path)) == 2


# In a process of its own, whose home is closed and which reaches this machine only.
RUN = """
import logging, os, socket, sys
from pathlib import Path
from sts.base import logs
from sts.base.tracking import track
from tests.base.test_tracking import Settings

connect = socket.socket.connect

def guarded(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        print("REACHED OUT TO", address, flush=True)
        os._exit(9)
    return connect(self, address)

socket.socket.connect = guarded
logs.set_up()
before = dict(os.environ)
tracker = track(sys.argv[1], folder=Path(sys.argv[2]), project="p", name="n", settings=Settings())
tracker.log({"loss": 1.0})
tracker.finish({"best": 1.0})
# W&B leaves the address of its service for child processes.
changed = {key for key in before | dict(os.environ) if before.get(key) != os.environ.get(key)}
assert changed <= {"WANDB_SERVICE"}, changed
print("wandb" in sys.modules)
"""


def in_a_process(
    tmp_path: Path, mode: str, watched_by: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    for name in ("home", "work", "temporary"):
        (tmp_path / name).mkdir()
    environment = {key: value for key, value in os.environ.items() if "WANDB" not in key}
    environment |= {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "temporary"),
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "source"), str(REPOSITORY)]),
        # What the user has set for other programs does not turn it on here.
        "WANDB_MODE": "online",
        # A proxy that is not there: the service, which is no Python, cannot get out either.
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    command = [*watched_by, sys.executable, "-W", "error", "-c", RUN, mode, str(tmp_path / "run")]
    return subprocess.run(
        command,
        env=environment,
        cwd=tmp_path / "work",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )


def test_off_does_not_import_wandb(tmp_path: Path) -> None:
    output = in_a_process(tmp_path, "off")
    assert (output.stdout, output.stderr, output.returncode) == ("False\n", "", 0)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.jsonl"]


def test_offline_works_without_key_home_and_network(tmp_path: Path) -> None:
    output = in_a_process(tmp_path, "offline")
    assert (output.stdout, output.stderr, output.returncode) == ("True\n", "", 0)
    (stored,) = (tmp_path / "run").rglob("*.wandb")
    assert stored.stat().st_size > 0
    assert len(lines(tmp_path / "run")) == 1
    assert list((tmp_path / "home").rglob("*")) == []
    assert list((tmp_path / "work").rglob("*")) == []
    assert not any(path.is_symlink() for path in (tmp_path / "run").rglob("*"))


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("mode", ["off", "offline"])
def test_nothing_is_asked_of_the_network(tmp_path: Path, mode: str) -> None:
    # The service of W&B is no Python: only the kernel sees whom it talks to, name servers included.
    trace = tmp_path / "trace"
    strace = ("strace", "-f", "-qq", "-e", "trace=connect,sendto", "-o", str(trace))
    assert in_a_process(tmp_path, mode, strace).returncode == 0
    called = [line for line in trace.read_text().splitlines() if "sa_family=AF_INET" in line]
    # Port 9 is the proxy: who calls it wants to get out.
    here = [line for line in called if "127.0.0.1" in line and "htons(9)" not in line]
    assert called == here


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc to look for it")
def test_the_service_of_wandb_ends_with_the_run(tmp_path: Path) -> None:
    assert in_a_process(tmp_path, "offline").returncode == 0
    mark = str(tmp_path / "home").encode()
    alive = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                alive.append((process / "cmdline").read_bytes())
                os.kill(int(process.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    assert alive == []
