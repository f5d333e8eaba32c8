"""What Optuna keeps of a trial, and the trial as the rest of this package knows it.

A trial whose worker died is closed as failed, and a new one with the same settings and the folds
that were finished takes its place. Optuna numbers it anew; here both are one trial, which keeps the
number of the first.
"""

import base64
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import optuna
from optuna.trial import FrozenTrial, TrialState

from sts.search.trials import FoldScore, State, TrialRecord

# Under this name a trial says who works on it, or did last; empty if the worker has let go of it.
WORKER: Final = "worker"
# A text of MySQL holds 65,535 bytes.
PIECE: Final = 60_000
# A fold that ended its worker so many times is begun no more.
ATTEMPTS: Final = 3

Chain = list[FrozenTrial]
"""One trial: as it was begun first, then each repetition after a worker had died."""


def chains_of(trials: Sequence[FrozenTrial]) -> list[Chain]:
    """Return the trials of a study in the order in which they were first begun."""
    chains: dict[int, Chain] = {}
    for trial in trials:
        # Where Optuna's callback for stale trials writes the number of the first.
        first = trial.system_attrs.get("failed_trial", trial.number)
        chains.setdefault(first, []).append(trial)
    return [chains[first] for first in sorted(chains)]


def number_of(trial: FrozenTrial, chains: Sequence[Chain]) -> int:
    """Return which trial this is, counted from 0; a repetition has the number of the first."""
    first = trial.system_attrs.get("failed_trial", trial.number)
    return sum(chain[0].number < first for chain in chains)


def write_fold(trial: optuna.Trial, fold: int, score: FoldScore, *, duration_s: float) -> None:
    """Store the score of a fold with its trial; the fold counts once the last part is written."""
    packed = base64.b64encode(zlib.compress(json.dumps(dict(score.extras)).encode())).decode()
    pieces = [packed[start : start + PIECE] for start in range(0, len(packed), PIECE)]
    for index in range(1, len(pieces)):
        trial.set_user_attr(f"{_fold(fold)} part {index}", pieces[index])
    value = float(score.value) if math.isfinite(score.value) else None
    first = {"value": value, "duration_s": duration_s, "parts": len(pieces), "extras": pieces[0]}
    trial.set_user_attr(_fold(fold), first)


def _fold(fold: int) -> str:
    return f"fold {fold}"


def count_folds(stored: Mapping[str, Any]) -> int:
    """Return how many folds were finished, from the user attributes of a trial."""
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
    """Return how many workers died in the fold that comes next."""
    folds = count_folds(chain[-1].user_attrs)
    return sum(
        trial.state == TrialState.FAIL
        and count_folds(trial.user_attrs) == folds
        and trial.user_attrs.get(WORKER) != ""
        for trial in chain
    )


def record_of(number: int, chain: Chain) -> TrialRecord:
    """Return a trial as the rest of this package knows it."""
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


def _state(chain: Chain, trial: FrozenTrial, folds: Sequence[FoldScore]) -> State:
    if trial.state == TrialState.COMPLETE:
        return "complete"
    if trial.state == TrialState.PRUNED:
        return "pruned" if math.isfinite(folds[-1].value) else "diverged"
    if trial.state == TrialState.FAIL and count_deaths(chain) >= ATTEMPTS:
        return "abandoned"
    return "running"
