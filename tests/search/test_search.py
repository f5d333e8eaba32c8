"""What a search finds, stores and refuses, in one process."""

import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path
from statistics import fmean

import numpy as np
import optuna
import pytest

from sts.base.errors import StsError
from sts.search import storage
from sts.search.trials import Float, FoldScore, Int, SearchSettings, SearchSpace
from tests.search.worlds import SPACE, find, quality, refuse


def test_the_best_trial_is_the_highest_mean_over_the_folds() -> None:
    result = find(None, trials=12)
    assert [trial.number for trial in result.trials] == list(range(12))
    for trial in result.trials:
        folds = [quality(trial.settings, fold) for fold in range(3)]
        # What was stored is what was scored, to the last bit.
        assert trial.folds == tuple(folds[: len(trial.folds)])
    complete = [trial.value for trial in result.trials if trial.value is not None]
    assert result.value == max(complete)
    assert dict(result.best_trial.settings) == result.best


def test_a_search_comes_near_the_known_best() -> None:
    best = find(None, trials=60).best
    # The best is 0.7; of 60 random points the nearest three lie within 0.025 on average.
    assert abs(best["width"] - 0.7) < 0.1
    assert best["kind"] != "plain"
    assert abs(best["depth"] - 4) <= 1


def test_the_same_seed_gives_the_same_trials_and_another_does_not() -> None:
    first, again, other = (find(None, trials=14, seed=seed) for seed in (5, 5, 6))
    assert first == again
    assert first.trials[0].settings != other.trials[0].settings


def test_a_finished_search_returns_what_it_found_without_scoring(tmp_path: Path) -> None:
    assert find(tmp_path / "a.db", trials=5) == find(tmp_path / "a.db", refuse, trials=5)


def test_a_search_can_go_on_with_more_trials(tmp_path: Path) -> None:
    find(tmp_path / "a.db", trials=4)
    assert find(tmp_path / "a.db", trials=14) == find(None, trials=14)


def test_an_sqlite_address_and_a_path_are_the_same_storage(tmp_path: Path) -> None:
    found = find(f"sqlite:///{tmp_path}/a.db", trials=2)
    assert find(str(tmp_path / "a.db"), refuse, trials=2) == found


def test_studies_of_one_file_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find(tmp_path / "a.db", trials=3)
    monkeypatch.setattr("tests.search.worlds.NAME", "another")
    second = find(tmp_path / "a.db", trials=3, seed=1)
    assert [trial.number for trial in second.trials] == [0, 1, 2]
    assert first != second


def test_each_finished_trial_is_told_once() -> None:
    told = []
    result = find(None, trials=15, on_trial=told.append)
    assert tuple(told) == result.trials


def test_pruned_trials_save_folds_and_leave_the_best_alone() -> None:
    # The folds differ for all settings alike, so that the first tells all: nothing good is lost.
    pruned, whole = find(None, trials=40), find(None, trials=40, prune=False)
    states = [trial.state for trial in pruned.trials]
    assert states.count("pruned") >= 10
    for trial in pruned.trials:
        full = math.fsum(quality(trial.settings, fold).value for fold in range(3)) / 3
        assert trial.state == "complete" or full < pruned.value
    assert {trial.state for trial in whole.trials} == {"complete"}


@pytest.mark.parametrize("kind", ["nan", "infinite", "raised"])
def test_a_fold_without_a_finite_score_makes_its_trial_the_worst(kind: str) -> None:
    def score(settings: dict[str, object], fold: int) -> FoldScore:
        found = quality(settings, fold)
        if settings["kind"] == "fancy" and fold == 1:
            if kind == "raised":
                raise FloatingPointError("the loss is not a number")
            return FoldScore(math.nan if kind == "nan" else math.inf)
        return found

    result = find(None, score, trials=25)
    lost = [trial for trial in result.trials if trial.settings["kind"] == "fancy"]
    assert {trial.state for trial in lost} <= {"diverged", "pruned"}
    assert "diverged" in {trial.state for trial in lost}
    assert result.best["kind"] != "fancy"
    assert all(trial.value is None for trial in lost)


def test_a_search_in_which_nothing_went_well_says_so() -> None:
    with pytest.raises(StsError, match=r"no trial of the search gave a score \(3 diverged\)"):
        find(None, lambda settings, fold: FoldScore(math.nan), trials=3)


WIDER: SearchSpace = {**SPACE, "width": Float(0.0, 2.0)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"folds": 5}, "folds was 3, is 5"),
        ({"prune": False}, "prune was true, is false"),
        ({"space": WIDER}, "space.width.high was 1.0, is 2.0"),
        ({"space": {**SPACE, "more": Int(1, 2)}}, "space.more was null, is"),
        ({"depends_on": {"data": "b" * 64}}, "about.data was"),
    ],
)
def test_a_study_is_not_continued_under_other_terms(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    terms: dict[str, object] = {"trials": 2, "depends_on": {"data": "a" * 64}}
    find(tmp_path / "a.db", **terms)  # type: ignore[arg-type]
    with pytest.raises(StsError, match=r"started with other terms") as caught:
        find(tmp_path / "a.db", refuse, **{**terms, **change})  # type: ignore[arg-type]
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"folds": 0}, {"seed": -1}])
def test_numbers_that_make_no_search_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(StsError, match="of a search must be"):
        SearchSettings(**wrong)  # type: ignore[arg-type]


def test_extras_that_are_no_json_are_a_fault_of_the_program(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        find(tmp_path / "a.db", lambda settings, fold: FoldScore(0.5, {"a": {1, 2}}), trials=1)


def test_a_search_says_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    find(None, trials=12)
    assert capfd.readouterr() == ("", "")


def test_a_trial_of_nine_settings_takes_few_transactions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    connect = storage._connect

    def connect_and_listen(path: str) -> sqlite3.Connection:
        connection = connect(path)
        connection.set_trace_callback(statements.append)
        return connection

    space: SearchSpace = {f"setting_{number}": Float(0.0, 1.0) for number in range(9)}
    find(tmp_path / "a.db", trials=20, score=flat, space=space, prune=False)
    monkeypatch.setattr(storage, "_connect", connect_and_listen)
    find(tmp_path / "a.db", trials=30, score=flat, space=space, prune=False)
    begun = sum(statement.startswith("BEGIN") for statement in statements)
    # Nine settings, twice three folds and some ten to take a trial, feel its pulse and close it:
    # 26 were counted. Each takes a millisecond or two.
    assert begun / 10 < 30


def flat(settings: dict[str, float], fold: int) -> FoldScore:
    return FoldScore(settings["setting_0"], {"curve": [0.1] * 100})


def test_what_is_stored_holds_whatever_json_holds(tmp_path: Path) -> None:
    extras = {"none": None, "text": "µ\n'", "nested": {"list": [1, 2.5, True]}}
    result = find(tmp_path / "a.db", lambda settings, fold: FoldScore(0.1, extras), trials=1)
    assert result.trials[0].folds[0].extras == extras
    json.dumps([dict(fold.extras) for fold in result.trials[0].folds])


def test_extras_of_any_length_are_kept(tmp_path: Path) -> None:
    # Digits of no pattern cannot be packed into one piece.
    digits = np.random.default_rng(0).integers(0, 10, 200_000)
    extras = {"text": "".join(map(str, digits))}
    found = find(tmp_path / "a.db", lambda settings, fold: FoldScore(0.1, extras), trials=1)
    assert found.trials[0].folds[2].extras == extras
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        sql = "SELECT max(length(value_json)), count(*) FROM trial_user_attributes"
        longest, count = connection.execute(sql).fetchone()
    # What a text of MySQL holds.
    assert longest < 65_535
    assert count > 4


def test_the_tools_of_optuna_read_the_study(tmp_path: Path) -> None:
    found = find(tmp_path / "a.db", trials=14)
    study = optuna.load_study(study_name="study", storage=f"sqlite:///{tmp_path}/a.db")
    assert study.best_trial.number == found.best_trial.number
    assert study.best_params == found.best
    assert study.best_value == found.value
    whole = found.trials[0]
    means = [fmean(whole.values[: count + 1]) for count in range(3)]
    assert study.trials[0].intermediate_values == dict(enumerate(means, start=1))
    assert set(study.trials_dataframe()["state"]) <= {"COMPLETE", "PRUNED"}
