"""When the rest of a trial's folds is not worth the time."""

from collections.abc import Sequence
from statistics import fmean
from typing import Final

# If settings come in no particular order, the best of them has a chance of 1 in n + 1 of being
# raised by its last folds more than n others were, so that it could be pruned wrongly.
ENOUGH: Final = 9


def is_hopeless(values: Sequence[float], complete: Sequence[Sequence[float]]) -> bool:
    """Tell whether a trial stays below the best even if it rises as much as any trial so far.

    What its last folds add to the mean of the first ones is taken to be the largest that they
    added to any of the complete trials; the easier and the harder folds are thereby allowed for.

    Parameters
    ----------
    values
        Scores of the folds that ended.
    complete
        Scores of all folds of each complete trial.
    """
    if len(complete) < ENOUGH:
        return False
    means = [fmean(other) for other in complete]
    rises = (
        mean - fmean(other[: len(values)]) for mean, other in zip(means, complete, strict=True)
    )
    return fmean(values) + max(rises) < max(means)
