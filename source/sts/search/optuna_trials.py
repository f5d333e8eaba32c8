"""Trials in Optuna: their storage, the choice of the next settings, and pruning.

If the worker of a trial dies, the trial is closed as failed, and a new one with the same settings
and the finished folds takes its place. Optuna gives it a new number; here both are one trial, with
the number of the first.

The next settings come from a tree-structured Parzen estimator. It is built anew for each trial,
with a seed of that trial, so that only the earlier trials decide, and no interruption or process.
"""

import base64
import json
import math
import zlib
from collections.abc import Mapping, Sequence
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

from sts.search.trials import Float, FoldScore, Int, Parameter, SearchSpace, TrialEnd, TrialRecord

# Attribute of a trial with its (last) worker; empty if this worker has returned the trial.
WORKER: Final = "worker"
# Largest number of characters of one attribute: a text of MySQL can have 65,535 bytes.
PIECE_CHARACTERS: Final = 60_000
# Number of times that a fold can end its worker before its trial is abandoned.
ATTEMPTS: Final = 3

Chain = list[FrozenTrial]
"""One trial: its first start, then each repetition after the death of a worker."""


def chains_of(trials: Sequence[FrozenTrial]) -> list[Chain]:
    """Return the trials of a study in the order of their first start."""
    chains: dict[int, Chain] = {}
    for trial in trials:
        # Where Optuna's callback for stale trials writes the number of the first.
        first = trial.system_attrs.get("failed_trial", trial.number)
        chains.setdefault(first, []).append(trial)
    return [chains[first] for first in sorted(chains)]


def number_of(trial: FrozenTrial, chains: Sequence[Chain]) -> int:
    """Return the number of a trial, from 0; a repetition has the number of its first start."""
    first = trial.system_attrs.get("failed_trial", trial.number)
    return sum(chain[0].number < first for chain in chains)


def write_fold(trial: optuna.Trial, fold: int, score: FoldScore, *, duration_s: float) -> None:
    """Store the score of a fold with its trial; the fold counts once the last part is written."""
    packed = base64.b64encode(zlib.compress(json.dumps(dict(score.extras)).encode())).decode()
    pieces = [
        packed[start : start + PIECE_CHARACTERS]
        for start in range(0, len(packed), PIECE_CHARACTERS)
    ]
    for index in range(1, len(pieces)):
        trial.set_user_attr(f"{_fold(fold)} part {index}", pieces[index])
    value = float(score.value) if math.isfinite(score.value) else None
    first = {"value": value, "duration_s": duration_s, "parts": len(pieces), "extras": pieces[0]}
    trial.set_user_attr(_fold(fold), first)


def _fold(fold: int) -> str:
    return f"fold {fold}"


def count_folds(stored: Mapping[str, Any]) -> int:
    """Return the number of finished folds, from the user attributes of a trial."""
    count = 0
    while _fold(count) in stored:
        count += 1
    return count


def read_folds(stored: Mapping[str, Any]) -> tuple[FoldScore, ...]:
    """Return the finished folds, from the user attributes of a trial."""
    return tuple(_read_fold(stored, fold) for fold in range(count_folds(stored)))


def _read_fold(stored: Mapping[str, Any], fold: int) -> FoldScore:
    first = stored[_fold(fold)]
    more = (stored[f"{_fold(fold)} part {index}"] for index in range(1, first["parts"]))
    packed = "".join([first["extras"], *more])
    extras = json.loads(zlib.decompress(base64.b64decode(packed)))
    return FoldScore(math.nan if first["value"] is None else first["value"], extras)


def count_deaths(chain: Chain) -> int:
    """Return the number of workers that died in the next fold."""
    folds = count_folds(chain[-1].user_attrs)
    return sum(
        trial.state == TrialState.FAIL
        and count_folds(trial.user_attrs) == folds
        and trial.user_attrs.get(WORKER) != ""
        for trial in chain
    )


def record_of(number: int, chain: Chain) -> TrialRecord:
    """Return a trial in the plain form that the rest of this package uses."""
    decided = (trial for trial in chain if trial.state in (TrialState.COMPLETE, TrialState.PRUNED))
    trial = next(decided, chain[-1])
    folds = read_folds(trial.user_attrs)
    durations = (trial.user_attrs[_fold(fold)]["duration_s"] for fold in range(len(folds)))
    return TrialRecord(
        number=number,
        settings=dict(trial.params),
        state=_state(chain, trial, folds),
        folds=folds,
        duration_s=math.fsum(durations),
        worker=trial.user_attrs.get(WORKER) or None,
        attempts=count_deaths(chain) + 1,
    )


def _state(chain: Chain, trial: FrozenTrial, folds: Sequence[FoldScore]) -> TrialEnd:
    if trial.state == TrialState.COMPLETE:
        return "complete"
    if trial.state == TrialState.PRUNED:
        return "pruned" if math.isfinite(folds[-1].value) else "diverged"
    if trial.state == TrialState.FAIL and count_deaths(chain) >= ATTEMPTS:
        return "abandoned"
    return "running"


# Number of trials with random settings before the estimator has enough data.
STARTUP: Final = 10
# Complete trials that the pruner needs. With n of them, the chance that the best trial would be
# pruned wrongly, because its last folds raise it more than those of all n others, is 1 in n + 1.
ENOUGH: Final = 9


def distributions_of(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Return the space in Optuna's terms, ordered by name."""
    return {name: _distribution(space[name]) for name in sorted(space)}


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Float):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    if isinstance(parameter, Int):
        return IntDistribution(parameter.low, parameter.high, log=parameter.log)
    return CategoricalDistribution(parameter.values)


def suggest_settings(trial: optuna.Trial, space: SearchSpace) -> dict[str, Any]:
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

    Settings of running trials of other workers are treated as bad, so that they are not repeated.
    """

    chains: Sequence[Chain] = ()
    """The earlier trials, as the worker has just read them."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._seed = seed
        self._space = {
            name: distribution
            for name, distribution in distributions_of(space).items()
            if not distribution.single()
        }

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the settings that are drawn together: all of them."""
        return self._space

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return all settings of a trial, also those that a dead worker had drawn."""
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
        """Return a setting that is not in the space."""
        sampler = self._make_sampler(trial)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _make_sampler(self, trial: FrozenTrial) -> TPESampler:
        number = number_of(trial, self.chains)
        seed = int(np.random.SeedSequence((self._seed, number)).generate_state(1)[0])
        # Only if there are other workers: this option makes Optuna read all trials again.
        others = any(chain[-1].state == TrialState.RUNNING for chain in self.chains)
        return TPESampler(
            seed=seed, n_startup_trials=STARTUP, multivariate=True, constant_liar=others
        )


class HopelessPruner(BasePruner):
    """Stop a trial that stays below the best one even if it rises as much as any trial so far.

    Trials report the mean of their finished folds after each fold. The remaining folds are assumed
    to raise this mean by as much as they did in any complete trial, so that easy and hard folds are
    accounted for.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Tell whether the trial cannot become the best with its remaining folds."""
        folds = trial.last_step
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if folds is None or len(complete) < ENOUGH:
            return False
        rises = [
            (other.value, other.value - other.intermediate_values[folds])
            for other in complete
            if other.value is not None
        ]
        best, largest_rise = (max(values) for values in zip(*rises, strict=True))
        return bool(trial.intermediate_values[folds] + largest_rise < best)
