"""The next settings to try, by a tree-structured Parzen estimator, and which trial to give up.

The estimator is built anew for each trial, with a seed of that trial's own, so that nothing but the
trials so far decides: neither an interruption nor the process it runs in.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from sts.search.records import Chain, number_of
from sts.search.space import Float, Int, Parameter, Space

# As many are drawn at random before the estimator has enough to go by.
STARTUP: Final = 10
# If settings come in no particular order, the best of them has a chance of 1 in n + 1 of being
# raised by its last folds more than n others were, so that it could be pruned wrongly.
ENOUGH: Final = 9


def distributions_of(space: Space) -> dict[str, BaseDistribution]:
    """Return the space in Optuna's terms, in an order that no table decides."""
    return {name: _distribution(space[name]) for name in sorted(space)}


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Float):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    if isinstance(parameter, Int):
        return IntDistribution(parameter.low, parameter.high, log=parameter.log)
    return CategoricalDistribution(parameter.values)


def suggest_settings(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """Return the settings of a trial: those it has, else those that the sampler draws."""
    return {name: _suggest(trial, name, space[name]) for name in sorted(space)}


def _suggest(trial: optuna.Trial, name: str, parameter: Parameter) -> Any:
    if isinstance(parameter, Float):
        return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
    if isinstance(parameter, Int):
        return trial.suggest_int(name, parameter.low, parameter.high, log=parameter.log)
    return trial.suggest_categorical(name, parameter.values)


class NumberedSampler(BaseSampler):
    """Draw the settings of a trial with a generator of (seed, number of the trial).

    What other workers try at this moment counts as bad, so that it is not tried twice.
    """

    chains: Sequence[Chain] = ()
    """The trials before the one that is drawn, as the worker has just read them."""

    def __init__(self, space: Space, seed: int) -> None:
        self._seed = seed
        self._space = {
            name: distribution
            for name, distribution in distributions_of(space).items()
            if not distribution.single()
        }

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return what is drawn together: everything."""
        return self._space

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return all settings of a trial, also those that a worker had drawn before it died."""
        sampler = self._make_sampler(trial)
        drawn = sampler.sample_relative(study, trial, search_space)
        return drawn or {
            name: sampler.sample_independent(study, trial, name, distribution)
            for name, distribution in search_space.items()
        }

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a setting that is not of the space."""
        sampler = self._make_sampler(trial)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _make_sampler(self, trial: FrozenTrial) -> TPESampler:
        number = number_of(trial, self.chains)
        seed = int(np.random.SeedSequence((self._seed, number)).generate_state(1)[0])
        # Looking for others costs another reading of all trials.
        others = any(chain[-1].state == TrialState.RUNNING for chain in self.chains)
        return TPESampler(
            seed=seed, n_startup_trials=STARTUP, multivariate=True, constant_liar=others
        )


class HopelessPruner(BasePruner):
    """Stop a trial that stays below the best even if it rises as much as any trial so far.

    Trials report the mean of their first folds after each of them. What the last folds add to
    this mean is taken to be the largest that they added to any of the complete trials; the easier
    and the harder folds are thereby allowed for.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Tell whether the folds that are left are not worth their time."""
        folds = trial.last_step
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if folds is None or len(complete) < ENOUGH:
            return False
        return trial.intermediate_values[folds] + _largest_rise(complete, folds) < max(
            other.value for other in complete if other.value is not None
        )


def _largest_rise(complete: Sequence[FrozenTrial], folds: int) -> float:
    return max(
        other.value - other.intermediate_values[folds]
        for other in complete
        if other.value is not None
    )
