"""The sampler draws from the space, depends on nothing but seed and trials, and learns."""

from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from sts.search.optuna_trials import (
    STARTUP,
    NumberedSampler,
    chains_of,
    distributions_of,
    suggest_settings,
)
from sts.search.trials import Choice, Float, Int, SearchSpace
from tests.search.worlds import SPACE

LINE: SearchSpace = {"x": Float(0.0, 1.0)}


def past(
    value: float,
    settings: dict[str, Any],
    state: TrialState = TrialState.COMPLETE,
    *,
    space: SearchSpace = LINE,
) -> FrozenTrial:
    """Return a trial that was made; one that was pruned has scored its first fold."""
    return optuna.create_trial(
        params=settings,
        distributions=distributions_of(space),
        state=state,
        value=value if state == TrialState.COMPLETE else None,
        intermediate_values={1: value} if state == TrialState.PRUNED else {},
    )


def history(count: int, best: float = 0.7) -> list[FrozenTrial]:
    """Return trials on a line, the better the nearer to `best`."""
    places = [(0.37 * number) % 1.0 for number in range(count)]
    return [past(-abs(x - best), {"x": x}) for x in places]


def propose(space: SearchSpace, trials: Sequence[FrozenTrial], *, seed: int) -> dict[str, Any]:
    """Return the settings that the sampler draws for the trial after these."""
    sampler = NumberedSampler(space, seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(trials)
    sampler.chains = chains_of(study.get_trials())
    return suggest_settings(study.ask(), space)


@pytest.mark.parametrize("seed", range(5))
def test_proposals_lie_in_the_space(seed: int) -> None:
    trials: list[FrozenTrial] = []
    for _ in range(STARTUP + 5):
        settings = propose(SPACE, trials, seed=seed)
        assert settings.keys() == SPACE.keys()
        assert 1e-3 <= settings["rate"] <= 1.0
        assert 0.0 <= settings["width"] <= 1.0
        assert isinstance(settings["depth"], int)
        assert 1 <= settings["depth"] <= 9
        assert settings["kind"] in ("plain", "fancy", None)
        trials.append(past(settings["width"], settings, space=SPACE))


def test_a_parameter_of_one_value_keeps_it() -> None:
    space: SearchSpace = {
        "a": Float(0.5, 0.5),
        "b": Int(3, 3),
        "c": Choice(("x",)),
        "d": Float(0, 1),
    }
    fixed = {"a": 0.5, "b": 3, "c": "x"}
    trials = [past(at, {**fixed, "d": at / 20}, space=space) for at in range(12)]
    settings = propose(space, trials, seed=0)
    assert {name: settings[name] for name in "abc"} == fixed


@pytest.mark.parametrize("count", [0, 15])
def test_a_proposal_depends_on_seed_and_history_alone(count: int) -> None:
    first = propose(LINE, history(count), seed=1)
    propose(LINE, history(4), seed=3)
    assert propose(LINE, history(count), seed=1) == first
    assert propose(LINE, history(count), seed=2) != first


def test_each_of_the_first_trials_has_a_seed_of_its_own() -> None:
    # As long as the sampler does not learn, only their number tells these trials apart.
    draws = {propose(LINE, history(count), seed=0)["x"] for count in range(STARTUP)}
    assert len(draws) == STARTUP


def test_a_trial_that_is_begun_again_draws_what_its_worker_had_not_drawn() -> None:
    def draw(given: dict[str, Any]) -> dict[str, Any]:
        """Return the settings of trial 2, of which some were drawn before its worker died."""
        trials = history(2)
        left = past(0.0, {}, TrialState.FAIL, space={})
        again = optuna.create_trial(
            state=TrialState.WAITING,
            params=given,
            distributions={name: distributions_of(SPACE)[name] for name in given},
            system_attrs={"failed_trial": 2, "retry_history": [2]},
        )
        sampler = NumberedSampler(SPACE, 0)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials([*trials, left, *history(1), again])
        sampler.chains = chains_of(study.get_trials())
        return suggest_settings(study.ask(), SPACE)

    whole = propose(SPACE, history(2), seed=0)
    assert draw({}) == whole
    assert draw({name: whole[name] for name in ("depth", "kind")}) == whole


def test_the_order_in_which_a_space_is_written_changes_nothing() -> None:
    turned = dict(reversed(SPACE.items()))
    assert propose(turned, [], seed=0) == propose(SPACE, [], seed=0)


def distance(trials: list[FrozenTrial], place: float) -> float:
    """Return how far from a place proposals lie, on average over 40 draws."""
    draws = [propose(LINE, trials, seed=seed)["x"] for seed in range(40)]
    return sum(abs(x - place) for x in draws) / len(draws)


def test_proposals_go_where_trials_were_good() -> None:
    # Draws from all of the line would lie 0.29 away on average.
    assert distance(history(20), 0.7) < 0.15


def test_what_another_worker_tries_is_not_tried_beside_it() -> None:
    trials = history(20)
    beside = [*trials, *(past(0.0, {"x": 0.7}, TrialState.RUNNING) for _ in range(3))]
    assert distance(beside, 0.7) > distance(trials, 0.7)


def test_what_was_pruned_counts_as_bad_and_what_failed_not_at_all() -> None:
    trials = history(20)
    bad = [past(0.0, {"x": 0.68 + 0.01 * at}, TrialState.PRUNED) for at in range(5)]
    assert distance([*trials, *bad], 0.7) > distance(trials, 0.7)
    # Of the same numbers as the others, since the number decides the seed.
    left = [past(0.0, {"x": 0.7}, TrialState.FAIL), *trials]
    wide = [past(0.0, {"x": 0.1}, TrialState.FAIL), *trials]
    assert distance(left, 0.7) == distance(wide, 0.7)
