"""When the rest of a trial's folds is not worth the time."""

from collections.abc import Sequence
from typing import Final

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

# If settings come in no particular order, the best of them has a chance of 1 in n + 1 of being
# raised by its last folds more than n others were, so that it could be pruned wrongly.
ENOUGH: Final = 9


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
