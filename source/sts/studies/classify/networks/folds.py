"""Folds of small networks, which are trained side by side in processes of their own."""

import logging
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from sts.base.errors import StsError
from sts.base.parallel import map_unordered
from sts.search.trials import FoldScore

logger = logging.getLogger("sts")


class FoldProcesses:
    """Score the later folds of a trial in other processes while the search waits for the first.

    A score depends on settings and fold alone. If a trial is pruned, its other folds are ended. If
    a process dies, this one scores the folds from then on.
    """

    def __init__(
        self, work: Callable[[dict[str, Any], int], FoldScore], folds: int, *, workers: int
    ) -> None:
        self._work, self._folds, self._workers = work, folds, workers
        self._settings: dict[str, Any] = {}
        self._left: set[int] = set()
        self._found: dict[int, FoldScore | FloatingPointError] = {}
        self._scores: Generator[tuple[int, Any]] = map_unordered(len, ())
        self._died = False

    def __call__(self, settings: dict[str, Any], fold: int) -> FoldScore:
        """Return the score of a fold."""
        if self._died:
            return self._work(settings, fold)
        if settings != self._settings or fold not in self._left:
            self.close()
            self._settings, self._left = dict(settings), set(range(fold, self._folds))
            work = partial(_score_or_error, self._work, self._settings)
            self._scores = map_unordered(work, sorted(self._left), workers=self._workers)
        try:
            while fold not in self._found:
                _, (number, score) = next(self._scores)
                self._found[number] = score
        except StsError:
            # An error of the fold itself is raised again below.
            logger.warning(
                "search: a process that trained a fold has ended, most often because memory ran "
                "out: the folds are trained one after the other"
            )
            self._died = True
            return self._work(settings, fold)
        self._left.remove(fold)
        if not self._left:
            # The processes stay for the next trial.
            next(self._scores, None)
        found = self._found.pop(fold)
        if isinstance(found, FloatingPointError):
            raise found
        return found

    def close(self) -> None:
        """End the folds that have begun and were not asked for."""
        self._scores.close()
        self._left.clear()
        self._found.clear()


def _score_or_error(
    work: Callable[[dict[str, Any], int], FoldScore], settings: dict[str, Any], fold: int
) -> tuple[int, FoldScore | FloatingPointError]:
    """Return a fold with its score; the error of a fold is raised when its turn comes."""
    try:
        return fold, work(settings, fold)
    except FloatingPointError as error:
        return fold, error
