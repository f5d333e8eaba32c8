"""One worker of a search: claim a trial, score its folds and store them, until all are done."""

import contextlib
import copy
import json
import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.pruners import NopPruner
from optuna.trial import FrozenTrial, TrialState

from sts.base.errors import StsError
from sts.base.progress import Progress, progress
from sts.search.optuna_trials import (
    ATTEMPTS,
    WORKER,
    Chain,
    HopelessPruner,
    NumberedSampler,
    chains_of,
    count_deaths,
    count_folds,
    number_of,
    read_folds,
    record_of,
    suggest_settings,
    write_fold,
)
from sts.search.storage import SearchStorage, open_storage, whereabouts
from sts.search.trials import (
    FoldScore,
    SearchResult,
    SearchSettings,
    SearchSpace,
    TrialRecord,
    check_space,
    describe_space,
    result_of,
)

logger = logging.getLogger("sts")

_Score = Callable[[dict[str, Any], int], FoldScore]
"""score(settings, fold); a value that is not finite, or a FloatingPointError, counts as worst."""

# Seconds between two checks of the trials of other workers.
POLL_S: Final = 0.5
# Attribute of a study with everything that its scores depend on.
TERMS: Final = "terms"


def search(
    score: _Score,
    space: SearchSpace,
    settings: SearchSettings,
    *,
    storage: str | Path | None,
    name: str,
    depends_on: Mapping[str, Any] | None = None,
    on_trial: Callable[[TrialRecord], None] | None = None,
) -> SearchResult:
    """Try settings until `settings.trials` trials are done and return them all.

    Any number of processes may call this with the same arguments, at the same time or later: they
    share the trials, continue those of workers that died after the last finished fold, and all
    return the same result. The study is an ordinary study of Optuna, which Optuna's tools can read.

    A lone worker that was killed and started again gets the same trials, bit for bit, as one that
    was not, if `score` depends on its arguments alone, Optuna is the same release, and no fold
    ended the worker three times. On a server it has to wait until the heartbeat of its predecessor
    is missed, and takes new trials meanwhile, so that later ones may differ. With several workers
    they always differ, since a proposal depends on the trials that the others have finished.

    Parameters
    ----------
    score
        Called with settings out of the space and a fold, counted from 0; returns what to maximise.
    storage
        A path of an SQLite file for the processes of one host, an address of PostgreSQL or MySQL
        for those of several, None for a search in memory.
    name
        The study within the storage.
    depends_on
        Everything else that scores depend on, as JSON (data, model). A study is not continued if it
        differs, or folds, seed, pruning or space do; the number of trials may change.
    on_trial
        Called with each trial that this worker finished.
    """
    check_space(space)
    # The log lines of Optuna on every study and trial are suppressed.
    logging.getLogger("optuna").setLevel(logging.ERROR)
    terms = {
        "folds": settings.folds,
        "seed": settings.seed,
        "prune": settings.prune,
        "space": describe_space(space),
        "about": dict(depends_on or {}),
    }
    with open_storage(storage, _repeat) as opened:
        study = _open_study(opened, name, terms, settings)
        worker = _Worker(opened, study, score, space, settings)
        with progress(settings.trials, "search") as bar:
            worker.work(bar, on_trial)
        chains = chains_of(study.get_trials(deepcopy=False))
        return result_of(
            tuple(record_of(number, chain) for number, chain in enumerate(chains)), space
        )


def _open_study(
    opened: SearchStorage,
    name: str,
    terms: Mapping[str, Any],
    settings: SearchSettings,
) -> optuna.Study:
    """Start a study, or continue a study that was started with the same terms."""
    wanted = json.loads(json.dumps(terms, sort_keys=True, allow_nan=False))
    with opened.alone():
        study = optuna.create_study(
            study_name=name,
            storage=opened.optuna,
            direction="maximize",
            pruner=HopelessPruner() if settings.prune else NopPruner(),
            load_if_exists=True,
        )
        stored = study.user_attrs.get(TERMS)
        if stored is None:
            study.set_user_attr(TERMS, wanted)
        elif stored != wanted:
            raise StsError(
                f"the study {name!r} in {opened.shown} was started with other terms "
                f"({', '.join(_changes(stored, wanted))}): use the same, or name another "
                "storage"
            )
    return study


class _Worker:
    """One worker of a study."""

    def __init__(
        self,
        storage: SearchStorage,
        study: optuna.Study,
        score: _Score,
        space: SearchSpace,
        settings: SearchSettings,
    ) -> None:
        self._storage, self._study, self._score = storage, study, score
        self._space, self._settings = space, settings
        self._sampler = NumberedSampler(space, settings.seed)
        study.sampler = self._sampler

    def work(self, bar: Progress, on_trial: Callable[[TrialRecord], None] | None) -> None:
        """Work on trials until all of them are finished."""
        shown, waiting = 0, False
        while True:
            with contextlib.ExitStack() as alone:
                alone.enter_context(self._storage.alone())
                chains = self._restart_abandoned()
                finished = sum(_is_over(chain) for chain in chains)
                bar.advance(finished - shown, note=_best_so_far(chains))
                shown = finished
                free = any(chain[-1].state == TrialState.WAITING for chain in chains)
                takes = free or len(chains) < self._settings.trials
                number = self._take(chains, alone) if takes else None
            if number is not None and on_trial is not None:
                on_trial(self._record(number))
            if takes:
                continue
            if finished == len(chains):
                return
            if not waiting:
                logger.info("search: waiting for %d trials of others", len(chains) - finished)
            waiting = True
            time.sleep(POLL_S)

    def _restart_abandoned(self) -> list[Chain]:
        """Repeat the trials of workers that have ended; return all trials."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.storages.fail_stale_trials(self._study)
        changed = False
        chains = self._chains()
        for chain in chains:
            trial = chain[-1]
            if trial.state == TrialState.RUNNING and self._is_left(trial):
                # Its worker may close it at the same time.
                with contextlib.suppress(ValueError, UpdateFinishedTrialError):
                    self._study.tell(trial.number, state=TrialState.FAIL)
            elif trial.state != TrialState.FAIL or count_deaths(chain) >= ATTEMPTS:
                continue
            _repeat(self._study, trial)
            changed = True
        return self._chains() if changed else chains

    def _chains(self) -> list[Chain]:
        return chains_of(self._study.get_trials(deepcopy=False))

    def _is_left(self, trial: FrozenTrial) -> bool:
        # A worker writes its name into a trial before another worker can see the trial.
        worker = trial.user_attrs.get(WORKER)
        return not worker or self._storage.is_gone(worker)

    def _take(self, chains: Sequence[Chain], alone: contextlib.ExitStack) -> int | None:
        """Work on one trial and return its number in the storage, None if another took it."""
        numbers: list[int] = []
        failures: list[BaseException] = []

        def objective(trial: optuna.Trial) -> float:
            numbers.append(trial.number)
            try:
                return self._run(trial, alone)
            except (optuna.TrialPruned, UpdateFinishedTrialError):
                raise
            except BaseException as error:
                failures.append(error)
                # Returned: the trial is repeated, and not counted as one that ended its worker.
                with contextlib.suppress(Exception):
                    trial.set_user_attr(WORKER, "")
                raise

        self._sampler.chains = chains
        try:
            self._study.optimize(objective, n_trials=1)
        except (ValueError, UpdateFinishedTrialError):
            # Raised by Optuna if another worker has closed the trial meanwhile.
            if failures:
                raise failures[0] from None
            if not numbers:
                raise
            logger.warning("search: trial %d was taken by another worker", numbers[-1])
            return None
        return numbers[-1]

    def _run(self, trial: optuna.Trial, alone: contextlib.ExitStack) -> float:
        """Release the lock once the trial is taken; score its missing folds."""
        trial.set_user_attr(WORKER, self._storage.worker)
        settings = suggest_settings(trial, self._space)
        alone.close()
        values = [fold.value for fold in read_folds(trial.user_attrs)]
        # The previous worker may have died between storing a fold and reporting it.
        reported = self._count_reported(trial) if values else 0
        while not values or math.isfinite(values[-1]):
            if len(values) > reported:
                trial.report(fmean(values), len(values))
            if len(values) == self._settings.folds:
                return fmean(values)
            if values and trial.should_prune():
                raise optuna.TrialPruned
            values.append(self._score_fold(trial, settings, len(values)))
        raise optuna.TrialPruned

    def _count_reported(self, trial: optuna.Trial) -> int:
        return len(self._study.get_trials(deepcopy=False)[trial.number].intermediate_values)

    def _score_fold(self, trial: optuna.Trial, settings: dict[str, Any], fold: int) -> float:
        start_s = time.monotonic()
        try:
            score = self._score(dict(settings), fold)
        except FloatingPointError as error:
            logger.warning("search: trial %d, fold %d: %s", trial.number, fold, error)
            score = FoldScore(math.nan)
        write_fold(trial, fold, score, duration_s=time.monotonic() - start_s)
        return score.value

    def _record(self, number: int) -> TrialRecord:
        trials = self._study.get_trials(deepcopy=False)
        chains = chains_of(trials)
        place = number_of(trials[number], chains)
        return record_of(place, chains[place])


def _repeat(study: optuna.Study, trial: FrozenTrial) -> None:
    """Add a repetition of a trial that was closed as failed, with its finished folds."""
    chain = next(
        chain
        for chain in chains_of(study.get_trials(deepcopy=False))
        if any(other.number == trial.number for other in chain)
    )
    folds, worker = count_folds(trial.user_attrs), trial.user_attrs.get(WORKER)
    if count_deaths(chain) >= ATTEMPTS:
        logger.warning(
            "search: trial %d ended its worker %d times in fold %d and is abandoned: %s",
            *(chain[0].number, ATTEMPTS, folds, dict(trial.params)),
        )
        return
    if worker:
        logger.warning(
            "search: trial %d was left by %s after %d folds: it is continued",
            *(chain[0].number, whereabouts(worker), folds),
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        again = optuna.storages.RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)
        again(study, _without_worker(trial))


def _without_worker(trial: FrozenTrial) -> FrozenTrial:
    # A deep copy: Optuna's callback changes its argument.
    copied = copy.deepcopy(trial)
    copied.user_attrs = {n: value for n, value in copied.user_attrs.items() if n != WORKER}
    return copied


def _is_over(chain: Chain) -> bool:
    return chain[-1].state in (TrialState.COMPLETE, TrialState.PRUNED) or (
        chain[-1].state == TrialState.FAIL and count_deaths(chain) >= ATTEMPTS
    )


def _best_so_far(chains: list[Chain]) -> str:
    values = [
        trial.value
        for chain in chains
        for trial in chain
        if trial.state == TrialState.COMPLETE and trial.value is not None
    ]
    return f"best {max(values):.4f}" if values else ""


def _changes(stored: Any, wanted: Any, name: str = "") -> list[str]:
    """Return the differences between two nested mappings, by dotted names."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        names = sorted(stored.keys() | wanted.keys())
        below = ((stored.get(key), wanted.get(key), f"{name}.{key}".strip(".")) for key in names)
        return [change for triple in below for change in _changes(*triple)]
    return [] if stored == wanted else [f"{name} was {_short(stored)}, is {_short(wanted)}"]


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
