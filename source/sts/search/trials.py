"""A search in plain values: its space, its settings, its trials and its result."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Final, Literal

from sts.base.errors import StsError
from sts.base.settings import to_dict

Value = float | int | str | bool | None


@dataclass(frozen=True)
class Float:
    """A number from `low` to `high`, both included; `log` spreads its logarithm evenly."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, lowest_log=0.0 if self.log else -math.inf)


@dataclass(frozen=True)
class Int:
    """A whole number from `low` to `high`, both included; `log` spreads its logarithm evenly."""

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        if int(self.low) != self.low or int(self.high) != self.high:
            raise ValueError(f"an Int needs whole numbers, not {self.low} and {self.high}")
        _check_range(self.low, self.high, lowest_log=0.0 if self.log else -math.inf)


@dataclass(frozen=True)
class Choice:
    """One of some plain values, without an order."""

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.values, tuple) or not self.values:
            raise ValueError(f"a Choice needs a tuple of values, not {self.values!r}")
        # JSON keeps only these; 1, 1.0 and True are one value to the sampler.
        if not all(isinstance(value, Value) for value in self.values):
            raise ValueError(f"a Choice is among numbers, texts, bools and None: {self.values!r}")
        if len(set(self.values)) < len(self.values):
            raise ValueError(f"a value of a Choice appears twice: {self.values!r}")


Parameter = Float | Int | Choice
SearchSpace = Mapping[str, Parameter]


def _check_range(low: float, high: float, *, lowest_log: float) -> None:
    if not lowest_log < low <= high < math.inf:
        raise ValueError(f"a range goes from low to high (log: above 0), not {low} to {high}")


def check_space(space: SearchSpace) -> None:
    """Refuse an empty space and values that are not parameters."""
    if not space:
        raise ValueError("a space needs at least one setting")
    for name, parameter in space.items():
        if not isinstance(name, str) or not isinstance(parameter, Parameter):
            raise ValueError(f"not a Float, Int or Choice under a name: {name!r}: {parameter!r}")


def describe_space(space: SearchSpace) -> dict[str, Any]:
    """Return the space as plain values that differ where spaces differ."""
    return {
        name: {"kind": type(parameter).__name__, **to_dict(parameter)}
        for name, parameter in space.items()
    }


TrialEnd = Literal["running", "complete", "pruned", "diverged", "abandoned"]
"""`diverged`: a fold gave no finite score; `abandoned`: one fold ended its worker each time."""


# Lowest values of the fields of SearchSettings.
LOWEST: Final = {"trials": 1, "folds": 1, "seed": 0}


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """The number of trials and folds of a search, its seed, and whether it prunes."""

    trials: int = 50
    folds: int = 3
    seed: int = 0
    prune: bool = True

    def __post_init__(self) -> None:
        for name, lowest in LOWEST.items():
            if (value := getattr(self, name)) < lowest:
                raise StsError(f"{name} of a search must be {lowest} or more, not {value}")


@dataclass(frozen=True)
class FoldScore:
    """The score of one fold (higher is better), and other results for JSON."""

    value: float
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial; trials are equal if settings and scores are equal, whatever their workers are."""

    number: int
    settings: Mapping[str, Any]
    state: TrialEnd
    folds: tuple[FoldScore, ...]
    """The finished folds, which are the first ones."""
    duration_s: float = field(compare=False)
    """The sum over these folds."""
    worker: str | None = field(compare=False)
    """The worker of the trial, or its last one."""
    attempts: int = field(compare=False)
    """Number of starts of the next fold."""

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
    """All trials of a search; of trials with the same best score the first is the best."""

    trials: tuple[TrialRecord, ...]
    space: SearchSpace = field(default_factory=dict, repr=False)

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


def result_of(trials: tuple[TrialRecord, ...], space: SearchSpace) -> SearchResult:
    """Return the result of a finished search; raise StsError if no trial has a score."""
    if all(trial.value is None for trial in trials):
        states = [trial.state for trial in trials]
        counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
        raise StsError(
            f"no trial of the search gave a score ({counts}): look at the log for what failed first"
        )
    return SearchResult(trials=trials, space=space)
