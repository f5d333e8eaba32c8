"""Searches that are killed, interrupted or shared between processes."""

import json
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from sts.base.errors import StsError
from sts.search.trials import FoldScore
from tests.search.worlds import calls, end_of, find, quality, refuse, start_worker

KILLED = -signal.SIGKILL


def test_a_search_killed_in_folds_and_between_trials_ends_as_an_uninterrupted_one(
    tmp_path: Path,
) -> None:
    storage, log = tmp_path / "search.db", tmp_path / "calls"
    # In the first fold, after one fold, between trials, and where the sampler has begun to learn.
    for death in (
        {"die_in_call": 1},
        {"die_in_call": 5},
        {"die_after_trial": 1},
        {"die_in_call": 27},
    ):
        code, said = end_of(start_worker(storage, log, trials=15, **death))
        assert code == KILLED, said
    code, said = end_of(start_worker(storage, log, trials=15))
    assert code == 0, said
    resumed, whole = find(storage, refuse, trials=15), find(None, trials=15)
    assert resumed.trials == whole.trials
    assert (resumed.best, resumed.value) == (whole.best, whole.value)
    assert f"found {whole.value!r}" in said
    # Three folds were under way when their worker died; all others were scored once.
    times = Counter(json.dumps([call["settings"], call["fold"]]) for call in calls(log))
    assert sorted(times.values(), reverse=True)[:4] == [2, 2, 2, 1]


def test_a_search_killed_at_any_moment_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    storage, log = tmp_path / "search.db", tmp_path / "calls"
    rng = random.Random(1)
    for _ in range(4):
        before = len(calls(log))
        worker = start_worker(storage, log, trials=40, sleep_s=0.005)
        while len(calls(log)) == before and worker.poll() is None:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.3))
        worker.kill()
        end_of(worker)
    resumed = find(storage, trials=40)
    assert resumed.trials == find(None, trials=40).trials


def test_four_workers_that_start_at_once_share_exactly_the_trials(tmp_path: Path) -> None:
    storage, log = tmp_path / "new" / "search.db", tmp_path / "calls"
    workers = [start_worker(storage, log, trials=20, folds=2, meet=4) for _ in range(4)]
    ends = [end_of(worker) for worker in workers]
    assert [code for code, _ in ends] == [0] * 4, ends
    result = find(storage, refuse, trials=20, folds=2)
    assert [trial.number for trial in result.trials] == list(range(20))
    made = [(trial.settings, fold) for trial in result.trials for fold in range(len(trial.folds))]
    scored = [(call["settings"], call["fold"]) for call in calls(log)]
    assert sorted(map(str, scored)) == sorted(map(str, made))
    assert len({call["pid"] for call in calls(log)}) == 4
    # All of them wait for the last trial and tell the same.
    assert len({said.splitlines()[0] for _, said in ends}) == 1


def test_a_worker_without_work_waits_for_the_others(tmp_path: Path) -> None:
    storage, log = tmp_path / "search.db", tmp_path / "calls"
    worker = start_worker(storage, log, trials=1, sleep_s=0.3)
    while not calls(log):
        assert worker.poll() is None, end_of(worker)
        time.sleep(0.01)
    result = find(storage, refuse, trials=1)
    assert end_of(worker)[0] == 0
    assert result == find(None, trials=1)


def test_the_trial_of_a_killed_worker_is_finished_by_one_that_runs_beside_it(
    tmp_path: Path,
) -> None:
    storage, log = tmp_path / "search.db", tmp_path / "calls"
    doomed = start_worker(storage, log, trials=8, die_in_call=2, meet=2)
    other = start_worker(storage, log, trials=8, meet=2)
    assert end_of(doomed)[0] == KILLED
    code, said = end_of(other)
    assert code == 0, said
    assert said.count("was left by host") == 1
    result = find(storage, refuse, trials=8)
    assert Counter(trial.state for trial in result.trials) == {"complete": 8}


def test_a_fold_that_ends_its_worker_is_begun_three_times_and_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage, log = tmp_path / "search.db", tmp_path / "calls"
    doomed = [dict(find(None, trials=3).trials[1].settings), 1]
    for _ in range(3):
        assert end_of(start_worker(storage, log, trials=3, die_on=doomed))[0] == KILLED
    result = find(storage, trials=3)
    assert [trial.state for trial in result.trials] == ["complete", "abandoned", "complete"]
    # The fold that went well is kept, and was scored once.
    assert result.trials[1].values == (quality(doomed[0], 0).value,)
    assert [call["fold"] for call in calls(log) if call["settings"] == doomed[0]] == [0, 1, 1, 1]
    assert "trial 1 ended its worker 3 times in fold 1" in caplog.text


@pytest.mark.parametrize("kind", [StsError, KeyboardInterrupt, ZeroDivisionError])
def test_an_exception_leaves_the_trial_to_the_next_call_however_often(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    def fail(settings: dict[str, object], fold: int) -> FoldScore:
        if fold == 1:
            raise kind("something to be mended")
        return quality(settings, fold)

    for _ in range(5):
        with pytest.raises(kind):
            find(tmp_path / "search.db", fail, trials=3)
    assert find(tmp_path / "search.db", trials=3).trials == find(None, trials=3).trials


def test_an_interrupt_ends_a_worker_at_once_and_keeps_what_was_finished(tmp_path: Path) -> None:
    storage, log = tmp_path / "search.db", tmp_path / "calls"
    worker = start_worker(storage, log, trials=3, sleep_s=0.5)
    while len(calls(log)) < 3:
        assert worker.poll() is None, end_of(worker)
        time.sleep(0.01)
    worker.send_signal(signal.SIGINT)
    start_s = time.monotonic()
    code, said = end_of(worker)
    assert code == -signal.SIGINT, said
    # Nothing is waited for; a Python process takes some 0.1 s to end, on a busy machine more.
    assert time.monotonic() - start_s < 5
    scored = []

    def note(settings: dict[str, object], fold: int) -> FoldScore:
        scored.append(fold)
        return quality(settings, fold)

    find(storage, note, trials=3)
    assert scored == [2, 0, 1, 2, 0, 1, 2]
