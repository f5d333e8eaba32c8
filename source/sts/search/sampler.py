"""The next settings to try, from the trials so far: a tree-structured Parzen estimator (Optuna).

The estimator is built anew for each trial, from the finished trials and a seed of that trial's own,
so that nothing but these decides: neither an interruption nor the process it runs in.
"""

import logging
import warnings
from collections.abc import Sequence
from statistics import fmean
from typing import Any, Final

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState, create_trial

from sts.search.space import Float, Int, Parameter, Space
from sts.search.trials import TrialRecord

# As many are drawn at random before the estimator has enough to go by.
STARTUP: Final = 10


def propose(
    space: Space, trials: Sequence[TrialRecord], *, seed: int, number: int
) -> dict[str, Any]:
    """Return the settings of trial `number`, drawn with a generator of (seed, number)."""
    # Sorted: the order in which a table lists its settings changes nothing.
    distributions = {name: _distribution(space[name]) for name in sorted(space)}
    study = _study(int(np.random.SeedSequence((seed, number)).generate_state(1)[0]))
    study.add_trials(_history(trials, distributions))
    return dict(study.ask(distributions).params)


def _study(seed: int) -> optuna.Study:
    # Optuna tells about every study and trial; what is worth telling is told by the search.
    logging.getLogger("optuna").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Settings are drawn together, not one by one, which Optuna 4 calls experimental.
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True)
    return optuna.create_study(direction="maximize", sampler=sampler)


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Float):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    if isinstance(parameter, Int):
        return IntDistribution(parameter.low, parameter.high, log=parameter.log)
    return CategoricalDistribution(parameter.values)


def _history(
    trials: Sequence[TrialRecord], distributions: dict[str, BaseDistribution]
) -> list[FrozenTrial]:
    worst = min((trial.value for trial in trials if trial.value is not None), default=None)
    known = (_outcome(trial, worst) for trial in trials)
    return [
        create_trial(params=dict(trial.settings), distributions=distributions, **outcome)
        for trial, outcome in zip(trials, known, strict=True)
        if outcome is not None
    ]


def _outcome(trial: TrialRecord, worst: float | None) -> dict[str, Any] | None:
    """Return how a trial ended in Optuna's terms, None if it says nothing about its settings."""
    if trial.state == "complete":
        return {"state": TrialState.COMPLETE, "value": trial.value}
    if trial.state == "pruned":
        # Ranked behind all complete ones, and among themselves by folds, then by score.
        reached = {len(trial.folds): fmean(trial.values)}
        return {"state": TrialState.PRUNED, "intermediate_values": reached}
    if trial.state == "diverged":
        # Without a value: ranked behind all others.
        return {"state": TrialState.PRUNED}
    if trial.state == "running" and worst is not None:
        # The constant liar: what another worker tries now is not to be tried beside it.
        return {"state": TrialState.COMPLETE, "value": worst}
    return None
