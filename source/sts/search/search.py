"""One worker of a search: take a trial, score its folds, store them, until all trials are done."""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sts.base.errors import StsError
from sts.base.progress import Progress, progress
from sts.search.address import PostgresAddress, read_address
from sts.search.database import Database
from sts.search.postgres import PostgresDatabase
from sts.search.pruning import is_hopeless
from sts.search.space import Space, check_space, describe_space
from sts.search.sqlite import SqliteDatabase
from sts.search.study import Study, Turn
from sts.search.trials import FoldScore, SearchResult, SearchSettings, TrialRecord, result_of

logger = logging.getLogger("sts")

Score = Callable[[dict[str, Any], int], FoldScore]
"""score(settings, fold); a value that is not finite, or a FloatingPointError, counts as worst."""

POLL_S: Final = 0.5


def search(
    score: Score,
    space: Space,
    settings: SearchSettings,
    *,
    storage: str | Path | None,
    name: str,
    about: Mapping[str, Any] | None = None,
    on_trial: Callable[[TrialRecord], None] | None = None,
) -> SearchResult:
    """Try settings until `settings.trials` trials are done and return them all.

    Any number of processes may call this with the same arguments, at the same moment or later: they
    share the trials, take over those of workers that died, and all return the same result. A lone
    worker that was killed and begun again gets the same trials, bit for bit, as one that was not,
    if `score` depends on its arguments alone, Optuna is the same release, and no fold ended the
    worker three times.

    Parameters
    ----------
    score
        Called with settings out of the space and a fold, counted from 0; returns what to maximise.
    storage
        A path of an SQLite file for the processes of one host, a postgresql:// address for those of
        several, None for a search that leaves nothing behind.
    name
        The study within the storage.
    about
        What else the scores depend on, as JSON (data, model); a study is not continued under other
        terms. The number of trials may change.
    on_trial
        Told of each trial that this worker finished.
    """
    check_space(space)
    terms = {
        "folds": settings.folds,
        "seed": settings.seed,
        "prune": settings.prune,
        "space": describe_space(space),
        "about": dict(about or {}),
    }
    with _opened(storage) as database:
        study = Study(database, name, terms)
        with progress(settings.trials, "search") as bar:
            for record in _work(study, score, space, settings, bar):
                if on_trial is not None:
                    on_trial(record)
        return result_of(study.records())


@contextlib.contextmanager
def _opened(storage: str | Path | None) -> Iterator[Database]:
    address = read_address(storage)
    database = (
        PostgresDatabase(address)
        if isinstance(address, PostgresAddress)
        else SqliteDatabase(address)
    )
    with contextlib.closing(database):
        yield database


def _work(
    study: Study, score: Score, space: Space, settings: SearchSettings, bar: Progress
) -> Iterator[TrialRecord]:
    """Yield each trial that this worker finished, until there is none left to wait for."""

    def next_settings(trials: Sequence[TrialRecord], number: int) -> dict[str, Any]:
        # Optuna takes half a second to import; what is already searched does not need it.
        from sts.search.sampler import propose

        return propose(space, trials, seed=settings.seed, number=number)

    told, waiting = 0, False
    while True:
        turn = study.next_turn(settings.trials, next_settings)
        bar.advance(turn.finished - told, note=_best_so_far(turn.trials))
        told = turn.finished
        if turn.trial is not None:
            record = _run(study, turn, turn.trial, score, settings)
            if record is not None:
                yield record
        elif turn.finished < len(turn.trials):
            if not waiting:
                left = len(turn.trials) - turn.finished
                logger.info("search: waiting for %d trials of other workers", left)
            waiting = True
            time.sleep(POLL_S)
        else:
            return


def _best_so_far(trials: Sequence[TrialRecord]) -> str:
    best = max((trial.value for trial in trials if trial.value is not None), default=None)
    return "" if best is None else f"best {best:.4f}"


def _run(
    study: Study, turn: Turn, trial: TrialRecord, score: Score, settings: SearchSettings
) -> TrialRecord | None:
    """Score the folds that a trial lacks and close it; None if another worker has taken it."""
    complete = [other.values for other in turn.trials if other.state == "complete"]
    values = list(trial.values)
    try:
        while True:
            if values and not math.isfinite(values[-1]):
                return study.finish(trial.number, "diverged")
            if len(values) == settings.folds:
                return study.finish(trial.number, "complete")
            if values and settings.prune and is_hopeless(values, complete):
                return study.finish(trial.number, "pruned")
            start_s = time.monotonic()
            fold_score = _scored(score, trial, len(values))
            duration_s = time.monotonic() - start_s
            if not study.keep(trial.number, len(values), fold_score, duration_s=duration_s):
                logger.warning("search: trial %d was taken by another worker", trial.number)
                return None
            values.append(fold_score.value)
    except BaseException:
        # Without it the trial would be taken over too, but count as one that ended its worker.
        with contextlib.suppress(StsError):
            study.release(trial.number)
        raise


def _scored(score: Score, trial: TrialRecord, fold: int) -> FoldScore:
    try:
        return score(dict(trial.settings), fold)
    except FloatingPointError as error:
        logger.warning("search: trial %d, fold %d: %s", trial.number, fold, error)
        return FoldScore(math.nan)
