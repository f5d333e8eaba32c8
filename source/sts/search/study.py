"""The trials of one search in its database: who tries what, and what came of it."""

import json
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sts.base.errors import StsError
from sts.search.database import Database, Execute, whereabouts
from sts.search.trials import FoldScore, State, TrialRecord

logger = logging.getLogger("sts")

# A fold that ended its worker so many times is begun no more.
ATTEMPTS: Final = 3
MINE: Final = "WHERE study = ? AND number = ? AND state = 'running' AND worker = ?"
AMONG: Final = "WHERE study = ? AND number BETWEEN ? AND ?"
EVERY: Final = (0, 2**31 - 1)
NO_EXTRAS: Final = "'{}'"

Propose = Callable[[Sequence[TrialRecord], int], Mapping[str, Any]]
"""propose(trials, number) returns the settings of a new trial."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What a worker finds when it asks for work: a trial, or whom to wait for, or nothing."""

    trial: TrialRecord | None
    trials: tuple[TrialRecord, ...]
    """All there are, without the extras of their folds."""

    @property
    def finished(self) -> int:
        """Return how many trials need no more work."""
        return sum(trial.state != "running" for trial in self.trials)


class Study:
    """One worker's view of a study; every method is one transaction."""

    def __init__(self, database: Database, name: str, terms: Mapping[str, Any]) -> None:
        self._database, self._name = database, name
        text = json.dumps(terms, sort_keys=True, allow_nan=False)
        with database.transaction() as execute:
            execute("INSERT INTO sts_studies VALUES (?, ?) ON CONFLICT DO NOTHING", name, text)
            ((stored,),) = execute("SELECT terms FROM sts_studies WHERE name = ?", name)
        if stored != text:
            changes = ", ".join(_changes(json.loads(stored), json.loads(text)))
            raise StsError(
                f"the study {name!r} in {database.address} was begun under other terms "
                f"({changes}): go on with the same, or name another storage"
            )

    def next_turn(self, wanted: int, propose: Propose) -> Turn:
        """Take a trial that nobody works on any more, else begin a new one up to `wanted`."""
        with self._database.transaction() as execute:
            trials = self._read(execute, NO_EXTRAS)
            for trial in trials:
                if trial.state == "running" and self._is_left(trial):
                    if trial.attempts < ATTEMPTS:
                        self._take_over(execute, trial)
                        return Turn(trial=trial, trials=trials)
                    self._abandon(execute, trial)
                    trials = self._read(execute, NO_EXTRAS)
            if len(trials) >= wanted:
                return Turn(trial=None, trials=trials)
            number = len(trials)
            settings = json.dumps(dict(propose(trials, number)), allow_nan=False)
            execute(
                "INSERT INTO sts_trials VALUES (?, ?, ?, 'running', ?, 1)",
                *(self._name, number, settings, self._database.worker),
            )
            return Turn(trial=self._read(execute, NO_EXTRAS)[number], trials=trials)

    def _is_left(self, trial: TrialRecord) -> bool:
        if trial.worker is None:
            return True
        return trial.worker != self._database.worker and not self._database.is_alive(trial.worker)

    def _take_over(self, execute: Execute, trial: TrialRecord) -> None:
        if trial.worker is not None:
            logger.warning(
                "search: trial %d was left by %s after %d folds: going on with it",
                *(trial.number, whereabouts(trial.worker), len(trial.folds)),
            )
        execute(
            "UPDATE sts_trials SET worker = ?, attempts = attempts + 1 "
            "WHERE study = ? AND number = ?",
            *(self._database.worker, self._name, trial.number),
        )

    def _abandon(self, execute: Execute, trial: TrialRecord) -> None:
        logger.warning(
            "search: trial %d ended its worker %d times in fold %d and is abandoned: %s",
            *(trial.number, trial.attempts, len(trial.folds), dict(trial.settings)),
        )
        execute(
            "UPDATE sts_trials SET state = 'abandoned' WHERE study = ? AND number = ?",
            *(self._name, trial.number),
        )

    def keep(self, number: int, fold: int, score: FoldScore, *, duration_s: float) -> bool:
        """Store the score of a fold; return False if the trial has gone to another worker."""
        value = float(score.value) if math.isfinite(score.value) else None
        extras = json.dumps(dict(score.extras))
        with self._database.transaction() as execute:
            if not self._is_mine(execute, number):
                return False
            execute(
                "INSERT INTO sts_folds VALUES (?, ?, ?, ?, ?, ?)",
                *(self._name, number, fold, value, extras, duration_s),
            )
            # Whoever dies in the next fold has not died in this one.
            execute(
                "UPDATE sts_trials SET attempts = 1 WHERE study = ? AND number = ?",
                *(self._name, number),
            )
            return True

    def finish(self, number: int, state: State) -> TrialRecord | None:
        """Close a trial and return it; None if it has gone to another worker."""
        with self._database.transaction() as execute:
            if not self._is_mine(execute, number):
                return None
            execute(
                "UPDATE sts_trials SET state = ? WHERE study = ? AND number = ?",
                *(state, self._name, number),
            )
            return self._read(execute, "extras", (number, number))[0]

    def release(self, number: int) -> None:
        """Leave a trial to whoever comes next, as if this worker had not begun its fold."""
        with self._database.transaction() as execute:
            execute(
                f"UPDATE sts_trials SET worker = NULL, attempts = attempts - 1 {MINE}",
                *(self._name, number, self._database.worker),
            )

    def records(self) -> tuple[TrialRecord, ...]:
        """Return all trials, complete with the extras of their folds."""
        with self._database.transaction() as execute:
            return self._read(execute, "extras")

    def _is_mine(self, execute: Execute, number: int) -> bool:
        sql = f"SELECT 1 FROM sts_trials {MINE}"
        return bool(execute(sql, self._name, number, self._database.worker))

    def _read(
        self, execute: Execute, extras: str, numbers: tuple[int, int] = EVERY
    ) -> tuple[TrialRecord, ...]:
        """Return trials in order, from the first to the last of `numbers`.

        `extras` is the column of that name or a text in its place, since curves are long.
        """
        folds = defaultdict(list)
        for number, *fold in execute(
            f"SELECT number, value, {extras}, duration_s FROM sts_folds {AMONG} "
            "ORDER BY number, fold",
            *(self._name, *numbers),
        ):
            folds[number].append(fold)
        rows = execute(
            f"SELECT number, settings, state, worker, attempts FROM sts_trials {AMONG} "
            "ORDER BY number",
            *(self._name, *numbers),
        )
        return tuple(_record(*row, folds=folds[row[0]]) for row in rows)


def _record(
    number: int,
    settings: str,
    state: State,
    worker: str | None,
    attempts: int,
    *,
    folds: Sequence[Sequence[Any]],
) -> TrialRecord:
    return TrialRecord(
        number=number,
        settings=json.loads(settings),
        state=state,
        folds=tuple(
            FoldScore(math.nan if value is None else value, json.loads(extras))
            for value, extras, _ in folds
        ),
        duration_s=math.fsum(duration_s for *_, duration_s in folds),
        worker=worker,
        attempts=attempts,
    )


def _changes(stored: Any, given: Any, name: str = "") -> list[str]:
    """Return what differs between two nested mappings, by dotted names."""
    if isinstance(stored, dict) and isinstance(given, dict):
        names = sorted(stored.keys() | given.keys())
        below = ((stored.get(key), given.get(key), f"{name}.{key}".strip(".")) for key in names)
        return [change for triple in below for change in _changes(*triple)]
    return [] if stored == given else [f"{name} was {_short(stored)}, is {_short(given)}"]


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
