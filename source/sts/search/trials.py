"""What a search is told and what it finds: its settings, the scores of folds, the trials."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Final, Literal

from sts.base.errors import StsError
from sts.search.space import Space

State = Literal["running", "complete", "pruned", "diverged", "abandoned"]
"""`diverged`: a fold gave no finite score; `abandoned`: one fold ended its worker each time."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How long and how a search goes on."""

    trials: int = 50
    folds: int = 3
    seed: int = 0
    prune: bool = True

    def __post_init__(self) -> None:
        for name, lowest in LOWEST.items():
            if (given := getattr(self, name)) < lowest:
                raise StsError(f"{name} of a search must be {lowest} or more, not {given}")


LOWEST: Final = {"trials": 1, "folds": 1, "seed": 0}


@dataclass(frozen=True)
class FoldScore:
    """The score of one fold, higher being better, and what else is worth keeping as JSON."""

    value: float
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial; two are equal when they tried and found the same, whoever did it when."""

    number: int
    settings: Mapping[str, Any]
    state: State
    folds: tuple[FoldScore, ...]
    """The folds that ended, the first ones."""
    duration_s: float = field(compare=False)
    """The sum over these folds."""
    worker: str | None = field(compare=False)
    """Who works on it, or did last."""
    attempts: int = field(compare=False)
    """How often somebody began the fold that is under way."""

    @property
    def values(self) -> tuple[float, ...]:
        """Return the scores of the folds."""
        return tuple(fold.value for fold in self.folds)

    @property
    def value(self) -> float | None:
        """Return the mean over all folds, None unless the trial is complete."""
        return fmean(self.values) if self.state == "complete" else None


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """All trials of a study; the best is the first of the highest."""

    trials: tuple[TrialRecord, ...]
    space: Space = field(default_factory=dict, repr=False)

    @property
    def best_trial(self) -> TrialRecord:
        """Return the trial with the highest mean over the folds."""
        return max(self.trials, key=lambda trial: -math.inf if trial.value is None else trial.value)

    @property
    def best(self) -> dict[str, Any]:
        """Return the settings of the best trial."""
        return dict(self.best_trial.settings)

    @property
    def value(self) -> float:
        """Return the mean over the folds of the best trial."""
        return fmean(self.best_trial.values)


def result_of(trials: tuple[TrialRecord, ...], space: Space) -> SearchResult:
    """Return the result of a search that is over, or say that no settings were good for a score."""
    if all(trial.value is None for trial in trials):
        states = [trial.state for trial in trials]
        counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
        raise StsError(
            f"no trial of the search gave a score ({counts}): look at the log for what failed first"
        )
    return SearchResult(trials=trials, space=space)
