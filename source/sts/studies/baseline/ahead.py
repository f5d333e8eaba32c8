"""The folds of a trial side by side, for a search that asks for them one after another."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from sts.search.trials import FoldScore

Score = Callable[[dict[str, Any], int], FoldScore]


class Ahead:
    """Score the folds that will be asked for next while one is waited for.

    What comes back depends on settings and fold alone, so that a search finds the same with any
    number of threads; the folds of a trial that is pruned are dropped unless they have begun.
    LightGBM lets go of the interpreter while it works.
    """

    def __init__(self, score: Score, folds: int, *, workers: int) -> None:
        self._score, self._folds = score, folds
        # Three folds that share two cores end sooner than two, and then one alone.
        self._pool = ThreadPoolExecutor(max(workers, folds)) if workers > 1 else None
        self._settings: dict[str, Any] = {}
        self._begun: dict[int, Future[FoldScore]] = {}

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop what has not begun and wait for what has."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __call__(self, settings: dict[str, Any], fold: int) -> FoldScore:
        """Return the score of a fold."""
        if self._pool is None:
            return self._score(settings, fold)
        if settings != self._settings or fold not in self._begun:
            for waiting in self._begun.values():
                waiting.cancel()
            self._settings = settings
            self._begun = {
                later: self._pool.submit(self._score, settings, later)
                for later in range(fold, self._folds)
            }
        return self._begun.pop(fold).result()
