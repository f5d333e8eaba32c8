"""The sampler draws from the space, depends on nothing but its arguments, and learns."""

import logging
from typing import Any

import pytest

from sts.search.sampler import STARTUP, propose
from sts.search.space import Choice, Float, Int, Space
from sts.search.trials import FoldScore, State, TrialRecord
from tests.search.worlds import SPACE


def record(
    number: int, value: float, settings: dict[str, Any], state: State = "complete"
) -> TrialRecord:
    return TrialRecord(
        number=number,
        settings=settings,
        state=state,
        folds=(FoldScore(value),) if state in ("complete", "pruned") else (),
        duration_s=0.0,
        worker=None,
        attempts=1,
    )


def history(count: int, best: float = 0.7) -> list[TrialRecord]:
    """Return trials on a line, the better the nearer to `best`."""
    places = [(0.37 * number) % 1.0 for number in range(count)]
    return [record(at, -abs(x - best), {"x": x}) for at, x in enumerate(places)]


LINE: Space = {"x": Float(0.0, 1.0)}


@pytest.mark.parametrize("seed", range(5))
def test_proposals_lie_in_the_space(seed: int) -> None:
    trials: list[TrialRecord] = []
    for number in range(STARTUP + 5):
        settings = propose(SPACE, trials, seed=seed, number=number)
        assert settings.keys() == SPACE.keys()
        assert 1e-3 <= settings["rate"] <= 1.0
        assert 0.0 <= settings["width"] <= 1.0
        assert isinstance(settings["depth"], int)
        assert 1 <= settings["depth"] <= 9
        assert settings["kind"] in ("plain", "fancy", None)
        trials.append(record(number, settings["width"], settings))


def test_a_parameter_of_one_value_keeps_it() -> None:
    space: Space = {"a": Float(0.5, 0.5), "b": Int(3, 3), "c": Choice(("x",)), "d": Float(0, 1)}
    trials = [record(at, at, {"a": 0.5, "b": 3, "c": "x", "d": at / 20}) for at in range(12)]
    settings = propose(space, trials, seed=0, number=12)
    assert {name: settings[name] for name in "abc"} == {"a": 0.5, "b": 3, "c": "x"}


@pytest.mark.parametrize("count", [0, 15])
def test_a_proposal_depends_on_seed_number_and_history_alone(count: int) -> None:
    def draw(seed: int, number: int, trials: list[TrialRecord]) -> dict[str, Any]:
        return propose(LINE, trials, seed=seed, number=number)

    first = draw(1, 15, history(count))
    draw(3, 1, history(4))
    assert draw(1, 15, history(count)) == first
    assert draw(2, 15, history(count)) != first
    assert draw(1, 16, history(count)) != first


def test_the_order_in_which_a_space_is_written_changes_nothing() -> None:
    turned = dict(reversed(SPACE.items()))
    assert propose(turned, [], seed=0, number=0) == propose(SPACE, [], seed=0, number=0)


def distance(trials: list[TrialRecord], place: float) -> float:
    """Return how far from a place proposals lie, on average over 40 draws."""
    draws = [propose(LINE, trials, seed=seed, number=20)["x"] for seed in range(40)]
    return sum(abs(x - place) for x in draws) / len(draws)


def test_proposals_go_where_trials_were_good() -> None:
    # Draws from all of the line would lie 0.29 away on average.
    assert distance(history(20), 0.7) < 0.15


def test_what_another_worker_tries_is_not_tried_beside_it() -> None:
    trials = history(20)
    beside = [*trials, *(record(20 + at, 0.0, {"x": 0.7}, "running") for at in range(3))]
    assert distance(beside, 0.7) > distance(trials, 0.7)


def test_what_diverged_or_was_pruned_counts_as_bad_and_what_was_abandoned_not_at_all() -> None:
    trials = history(20)
    states: tuple[State, ...] = ("diverged", "pruned")
    for state in states:
        bad = [record(20 + at, 0.0, {"x": 0.68 + 0.01 * at}, state) for at in range(5)]
        assert distance([*trials, *bad], 0.7) > distance(trials, 0.7)
    left = [*trials, record(20, 0.0, {"x": 0.7}, "abandoned")]
    assert distance(left, 0.7) == distance(trials, 0.7)


def test_optuna_keeps_silent() -> None:
    propose(LINE, [], seed=0, number=0)
    assert not logging.getLogger("optuna.study").isEnabledFor(logging.WARNING)
