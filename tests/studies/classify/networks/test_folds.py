"""Folds of networks that are trained side by side.

The processes import this module: without torch they begin sooner.
"""

import os
import signal
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sts.search.trials import FoldScore
from sts.studies.classify.networks.folds import FoldProcesses


def score_slowly(folder: Path, settings: dict[str, Any], fold: int) -> FoldScore:
    """Write down the beginning; the first setting's second fold fails, the second's has no end."""
    name = f"{settings['a']}-{fold}"
    (folder / name).write_text(str(os.getpid()))
    if name == "1-1":
        raise FloatingPointError("diverged")
    if name == "2-1":
        (folder / "begun").touch()
        time.sleep(600)
    while name == "2-0" and not (folder / "begun").exists():
        time.sleep(0.05)
    return FoldScore(settings["a"] + fold / 10)


def test_folds_are_scored_in_processes_and_those_of_a_pruned_trial_are_ended(
    tmp_path: Path,
) -> None:
    with closing(FoldProcesses(partial(score_slowly, tmp_path), 2, workers=2)) as score:
        assert score({"a": 1}, 0).value == 1.0
        with pytest.raises(FloatingPointError, match="diverged"):
            score({"a": 1}, 1)
        assert score({"a": 2}, 0).value == 2.0
        # The third trial goes on with its second fold.
        assert score({"a": 3}, 1).value == pytest.approx(3.1)
        assert score({"a": 4}, 0).value == 4.0
    assert not (tmp_path / "3-0").exists()
    assert str(os.getpid()) not in {
        path.read_text() for path in tmp_path.iterdir() if path.name != "begun"
    }


def end_elsewhere(parent: int, settings: dict[str, Any], fold: int) -> FoldScore:
    """Score in the process that searches; end any other."""
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return FoldScore(fold / 10)


def test_a_process_that_dies_does_not_end_the_search(caplog: pytest.LogCaptureFixture) -> None:
    with closing(FoldProcesses(partial(end_elsewhere, os.getpid()), 2, workers=2)) as score:
        assert [score({}, fold).value for fold in range(2)] == [0.0, 0.1]
    (record,) = caplog.records
    assert "the folds are trained one after the other" in record.message
