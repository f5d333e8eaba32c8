"""Two workers at one study, step by step."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sts.search.sqlite import SqliteDatabase
from sts.search.study import Study
from sts.search.trials import FoldScore, TrialRecord


def count_up(trials: Sequence[TrialRecord], number: int) -> dict[str, int]:
    return {"x": number}


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[tuple[SqliteDatabase, SqliteDatabase]]:
    pair = (SqliteDatabase(tmp_path / "a.db"), SqliteDatabase(tmp_path / "a.db"))
    yield pair
    for database in pair:
        database.close()


@pytest.fixture
def studies(databases: tuple[SqliteDatabase, SqliteDatabase]) -> tuple[Study, Study]:
    first, second = databases
    return Study(first, "study", {}), Study(second, "study", {})


def take(study: Study, wanted: int = 1) -> TrialRecord | None:
    return study.next_turn(wanted, count_up).trial


def test_a_trial_goes_to_one_worker(studies: tuple[Study, Study]) -> None:
    first, second = studies
    trial = take(first)
    assert trial is not None
    assert trial.settings == {"x": 0}
    turn = second.next_turn(1, count_up)
    assert turn.trial is None
    assert (turn.finished, len(turn.trials)) == (0, 1)


def test_a_worker_that_is_gone_leaves_its_trial_with_its_folds(
    studies: tuple[Study, Study], databases: tuple[SqliteDatabase, SqliteDatabase]
) -> None:
    first, second = studies
    take(first)
    assert first.keep(0, 0, FoldScore(0.25, {"epochs": 3}), duration_s=1.0)
    databases[0].close()
    trial = take(second)
    assert trial is not None
    assert trial.values == (0.25,)
    assert second.keep(0, 1, FoldScore(0.5), duration_s=1.0)
    closed = second.finish(0, "complete")
    assert closed is not None
    assert closed.folds == (FoldScore(0.25, {"epochs": 3}), FoldScore(0.5))
    assert closed.duration_s == 2.0
    assert closed.value == 0.375


def test_a_worker_whose_trial_was_taken_over_changes_it_no_more(
    studies: tuple[Study, Study], databases: tuple[SqliteDatabase, SqliteDatabase], tmp_path: Path
) -> None:
    first, second = studies
    take(first)
    # As after a fault of the network, it only seems to be dead.
    key = databases[0].worker.split()[0]
    (tmp_path / "a.db.locks" / key).unlink()
    assert take(second) is not None
    assert not first.keep(0, 0, FoldScore(0.1), duration_s=1.0)
    assert first.finish(0, "complete") is None
    first.release(0)
    assert second.keep(0, 0, FoldScore(0.9), duration_s=1.0)
    assert second.records()[0].values == (0.9,)


def test_a_released_trial_is_taken_before_a_new_one(studies: tuple[Study, Study]) -> None:
    first, second = studies
    take(first, 5)
    first.release(0)
    trial = take(second, 5)
    assert trial is not None
    assert trial.number == 0


def test_deaths_count_in_one_fold_only(tmp_path: Path) -> None:
    # One worker after another is gone, every second one after it has stored a fold.
    for death in range(12):
        database = SqliteDatabase(tmp_path / "a.db")
        study = Study(database, "study", {})
        assert take(study) is not None, f"abandoned after {death} deaths"
        if death % 2:
            assert study.keep(0, death // 2, FoldScore(0.5), duration_s=1.0)
        database.close()


def test_locks_of_the_dead_are_cleared_away(tmp_path: Path) -> None:
    locks = tmp_path / "a.db.locks"
    SqliteDatabase(tmp_path / "a.db").close()
    (locks / "0123456789abcd").touch()
    living = SqliteDatabase(tmp_path / "a.db")
    SqliteDatabase(tmp_path / "a.db").close()
    assert {path.name for path in locks.iterdir()} == {"creation", living.worker.split()[0]}
    living.close()
