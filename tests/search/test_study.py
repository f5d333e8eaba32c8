"""Trials that change hands: what the next worker gets, and what the last one may still do."""

import contextlib
from pathlib import Path
from typing import Any

import filelock
import optuna
import pytest
from optuna.trial import TrialState

from sts.search import storage
from sts.search.optuna_trials import WORKER
from sts.search.trials import FoldScore
from tests.search.worlds import NAME, find, quality


class StopError(Exception):
    pass


def stop_in(number: int, kind: type[BaseException] = StopError) -> Any:
    """Return a score whose call `number`, counted from 1, raises."""
    calls = []

    def score(settings: dict[str, Any], fold: int) -> FoldScore:
        calls.append(fold)
        if len(calls) == number:
            raise kind
        return quality(settings, fold)

    return score


def stored(path: Path) -> list[optuna.trial.FrozenTrial]:
    study = optuna.load_study(study_name=NAME, storage=f"sqlite:///{path}")
    return study.get_trials()


def test_a_trial_that_was_left_keeps_its_folds_and_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with contextlib.suppress(StopError):
        find(path, stop_in(6), trials=3)
    scored = []

    def note(settings: dict[str, Any], fold: int) -> FoldScore:
        scored.append(fold)
        return quality(settings, fold)

    result = find(path, note, trials=3)
    assert scored == [2, 0, 1, 2]
    assert [trial.number for trial in result.trials] == [0, 1, 2]
    assert result.trials == find(None, trials=3).trials
    # In the storage both lie beside each other, as Optuna has it.
    left, again = stored(path)[1:3]
    assert (left.state, again.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert again.system_attrs["retry_history"] == [1]
    assert again.params == left.params


def test_a_fold_that_was_stored_and_not_reported_is_reported_by_the_next_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, report = tmp_path / "a.db", optuna.Trial.report

    def stop(trial: optuna.Trial, value: float, step: int) -> None:
        if step == 2:
            raise StopError
        report(trial, value, step)

    with monkeypatch.context() as patch, contextlib.suppress(StopError):
        patch.setattr(optuna.Trial, "report", stop)
        find(path, trials=1)
    assert find(path, trials=1) == find(None, trials=1)
    assert sorted(stored(path)[-1].intermediate_values) == [1, 2, 3]


def test_a_worker_whose_trial_was_taken_over_changes_it_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.db"

    def be_robbed(settings: dict[str, Any], fold: int) -> FoldScore:
        if not caplog.text:
            # As after a long sleep, it only seems to be dead.
            (worker,) = (trial.user_attrs[WORKER] for trial in stored(path))
            (tmp_path / "a.db.locks" / storage.worker_key(worker)).unlink()
            find(path, trials=1)
            return FoldScore(-1.0)
        return quality(settings, fold)

    result = find(path, be_robbed, trials=2)
    assert "trial 0 was taken by another worker" in caplog.text
    assert result.trials == find(None, trials=2).trials


@pytest.mark.parametrize("kind", [StopError, KeyboardInterrupt, SystemExit])
def test_an_error_of_the_score_comes_out_as_it_is(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    with pytest.raises(kind):
        find(tmp_path / "a.db", stop_in(5, kind), trials=3)
    with pytest.raises(ValueError, match="a fault of the score"):
        find(tmp_path / "a.db", fail, trials=3)
    assert find(tmp_path / "a.db", trials=3) == find(None, trials=3)


def test_an_interrupt_comes_out_though_another_worker_was_quicker(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    set_attribute = optuna.Trial.set_user_attr

    def let_another_search(trial: optuna.Trial, key: str, value: Any) -> None:
        set_attribute(trial, key, value)
        if value == "":
            optuna.Trial.set_user_attr = set_attribute  # type: ignore[method-assign]
            find(path, trials=1)

    optuna.Trial.set_user_attr = let_another_search  # type: ignore[method-assign]
    try:
        with pytest.raises(KeyboardInterrupt):
            find(path, stop_in(2, KeyboardInterrupt), trials=1)
    finally:
        optuna.Trial.set_user_attr = set_attribute  # type: ignore[method-assign]
    assert find(path, trials=1) == find(None, trials=1)


def fail(settings: dict[str, Any], fold: int) -> FoldScore:
    raise ValueError("a fault of the score")


def test_locks_of_the_dead_are_cleared_away(tmp_path: Path) -> None:
    locks = tmp_path / "a.db.locks"
    find(tmp_path / "a.db", trials=1)
    (locks / "0123456789abcd").touch()
    with filelock.FileLock(locks / "cdef0123456789"):
        find(tmp_path / "a.db", trials=1)
        assert {path.name for path in locks.iterdir()} == {"opening", "cdef0123456789"}


def test_a_trial_whose_heart_has_stopped_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a server, where no lock tells who lives."""
    path = tmp_path / "a.db"
    monkeypatch.setattr(storage.SqliteStorage, "is_gone", lambda storage, worker: False)
    monkeypatch.setattr(storage, "HEARTBEAT_S", 1)
    monkeypatch.setattr(storage, "HEARTBEAT_GRACE_S", 1)
    # Optuna leaves a trial alone that SystemExit ended, and the worker cannot say that it ends.
    with monkeypatch.context() as patch, contextlib.suppress(SystemExit):
        patch.setattr(optuna.Trial, "set_user_attr", set_unless_empty)
        find(path, stop_in(2, SystemExit), trials=1)
    assert [trial.state for trial in stored(path)] == [TrialState.RUNNING]
    assert find(path, trials=1) == find(None, trials=1)
    assert "trial 0 was left by host" in caplog.text


SET = optuna.Trial.set_user_attr


def set_unless_empty(trial: optuna.Trial, key: str, value: Any) -> None:
    if value != "":
        SET(trial, key, value)
