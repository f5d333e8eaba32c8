"""Pruning spares hopeless trials and no other."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import optuna
import pytest

from sts.search.optuna_trials import ENOUGH, HopelessPruner


def worlds(noise: float, *, trials: int = 30, count: int = 50) -> list[np.ndarray]:
    """Return scores (trials, folds): a quality a trial, an ease a fold, and noise."""
    rng = np.random.default_rng(0)
    shape = (count, trials, 3)
    quality = rng.uniform(0.7, 0.9, (count, trials, 1))
    ease = rng.normal(0.0, 0.02, (count, 1, 3))
    return list(quality + ease + rng.normal(0.0, noise, shape))


def is_hopeless(values: Sequence[float], complete: Sequence[Sequence[float]]) -> bool:
    """Tell whether a trial with the scores `values` of its first folds is pruned."""
    study = optuna.create_study(direction="maximize", pruner=HopelessPruner())
    for scores in complete:
        means = {count: fmean(scores[:count]) for count in range(1, len(scores) + 1)}
        study.add_trial(
            optuna.create_trial(value=fmean(scores), intermediate_values=means, params={})
        )
    trial = study.ask()
    for count in range(1, len(values) + 1):
        trial.report(fmean(values[:count]), count)
    return trial.should_prune()


def test_nothing_is_pruned_before_there_is_enough_to_compare_with() -> None:
    complete = [[0.9, 0.9, 0.9]] * (ENOUGH - 1)
    assert not is_hopeless([0.1], complete)
    assert is_hopeless([0.1], [*complete, [0.9, 0.9, 0.9]])


@pytest.mark.parametrize("folds", [1, 2])
def test_without_noise_exactly_the_trials_below_the_best_are_pruned(folds: int) -> None:
    for scores in worlds(0.0):
        complete, rest = scores[:ENOUGH].tolist(), scores[ENOUGH:].tolist()
        best = max(map(fmean, complete))
        for trial in rest:
            # Sums of the same numbers in another order may differ in the last bits.
            if abs(fmean(trial) - best) > 1e-9:
                assert is_hopeless(trial[:folds], complete) == (fmean(trial) < best)


@pytest.mark.parametrize("noise", [0.005, 0.02, 0.1])
def test_a_new_best_is_seldom_pruned_whatever_the_noise(noise: float) -> None:
    lost = met = 0
    for scores in worlds(noise, count=200):
        complete, rest = scores[:ENOUGH].tolist(), scores[ENOUGH:].tolist()
        winners = [trial for trial in rest if fmean(trial) > max(map(fmean, complete))]
        met += len(winners)
        lost += sum(is_hopeless(trial[:1], complete) for trial in winners)
    assert met > 100
    # One of ten trials rises more than nine others, if order means nothing; few of them win by it.
    assert lost / met < 0.1


def test_with_moderate_noise_half_of_the_trials_are_spared_a_fold() -> None:
    pruned = [
        is_hopeless(trial[:1], scores[:ENOUGH].tolist())
        for scores in worlds(0.005)
        for trial in scores[ENOUGH:].tolist()
    ]
    assert np.mean(pruned) > 0.5
