"""A small space with a known best, a score that notes each call, and workers to be killed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sts.search.search import search
from sts.search.trials import (
    Choice,
    Float,
    FoldScore,
    Int,
    SearchResult,
    SearchSettings,
    SearchSpace,
    TrialRecord,
)
from tests.conftest import REPOSITORY

SPACE: SearchSpace = {
    "rate": Float(1e-3, 1.0, log=True),
    "width": Float(0.0, 1.0),
    "depth": Int(1, 9),
    "kind": Choice(("plain", "fancy", None)),
}
# One fold is easier than another, for all settings alike.
EASE = (0.0, 0.03, -0.02)
NAME = "study"


def quality(settings: Mapping[str, Any], fold: int) -> FoldScore:
    value = 1.0 - (settings["width"] - 0.7) ** 2 - 0.01 * abs(settings["depth"] - 4)
    value -= 0.1 * settings["rate"] + (0.05 if settings["kind"] == "plain" else 0.0)
    return FoldScore(value + EASE[fold % 3], {"epochs": settings["depth"] + fold, "curve": [0.5]})


def find(
    storage: str | Path | None,
    score: Callable[[dict[str, Any], int], FoldScore] = quality,
    *,
    on_trial: Callable[[TrialRecord], None] | None = None,
    depends_on: Mapping[str, Any] | None = None,
    space: SearchSpace = SPACE,
    **settings: Any,
) -> SearchResult:
    return search(
        score,
        space,
        SearchSettings(**settings),
        storage=storage,
        name=NAME,
        depends_on=depends_on,
        on_trial=on_trial,
    )


def refuse(settings: dict[str, Any], fold: int) -> FoldScore:
    raise AssertionError(f"fold {fold} of {settings} is scored although all is done")


def start_worker(storage: str | Path, log: Path, **orders: Any) -> subprocess.Popen[str]:
    """Start tests/search/worker.py; what it is to do stands there."""
    paths = (str(REPOSITORY / "source"), str(REPOSITORY), os.environ.get("PYTHONPATH", ""))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.search.worker", json.dumps(orders)],
        # Not among the arguments, which everybody on the machine can read.
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "OMP_NUM_THREADS": "1",
            "STORAGE": str(storage),
            "LOG": str(log),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end_of(worker: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a worker and return how it ended and all it said."""
    out, err = worker.communicate(timeout=60)
    return worker.returncode, out + err


def calls(log: Path) -> list[dict[str, Any]]:
    """Return the calls of the score so far, of all workers, in order."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
