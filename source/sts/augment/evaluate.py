"""One method on one division: the generator is fitted once, then every cell of it is scored."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from sklearn.base import clone

from sts.augment.contract import GENERATORS, Generator, make_generator
from sts.augment.division import nested
from sts.augment.grid import BASELINE, BORROW, Item, ScoreKey, rng_of, seed_of
from sts.augment.neurons import Neurons
from sts.augment.views import RowView, ViewedRows, borrowed, make_view
from sts.base.types import Floats, Ints
from sts.evaluation.predictions import scores_of
from sts.tabular.classifiers import (
    CLASSIFIERS,
    VOTE,
    VOTERS,
    BenchmarkClassifier,
    predict_probabilities,
    together,
)

INNER_FOLDS: Final = 3

Keep = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, eq=False)
class Bench:
    """What the cells of an item share; each part is made when it is first asked for."""

    item: Item

    @cached_property
    def fit(self) -> Neurons:
        """Return the training neurons."""
        return self.item.neurons.rows(self.item.division.fit)

    @cached_property
    def scored(self) -> Neurons:
        """Return the neurons that are scored."""
        return self.item.neurons.rows(self.item.division.scored)

    @cached_property
    def view(self) -> RowView:
        """Return both sides as classifiers take them."""
        return self.view_of(self.fit)

    def view_of(self, fit: Neurons) -> RowView:
        """Return both sides, everything learnt from these training neurons."""
        division, grid = self.item.division, self.item.grid
        return make_view(
            fit,
            self.scored.X,
            grid.preparing,
            seed=seed_of(grid.seed, "reducer", division.repeat, division.fold),
            names=fit.names,
        )

    @cached_property
    def generator(self) -> Generator:
        """Return the generator, fitted on training rows."""
        item = self.item
        made = make_generator(
            item.method, device=item.grid.device, settings=dict(item.settings), task=item.task
        )
        return made.fit(self.view.learnt_from, self.view.y, self.rng("fit"))

    def rng(self, *words: str | int) -> np.random.Generator:
        """Return random numbers for one purpose of this item."""
        division = self.item.division
        return rng_of(self.item.grid.seed, self.item.method, division.repeat, division.fold, *words)

    def synthetic(self, counts: Mapping[int, int], purpose: str) -> tuple[Floats, Ints]:
        """Return made rows and their classes, so many of each class."""
        rows = [
            self.generator.sample(label, count, self.rng(purpose, label, count))
            for label, count in counts.items()
        ]
        labels = np.repeat(list(counts), [len(each) for each in rows])
        return np.concatenate(rows), labels.astype(np.int64)

    @cached_property
    def chosen(self) -> dict[str, BenchmarkClassifier]:
        """Return every classifier, its settings searched on training rows if asked for."""
        names = [name for name in CLASSIFIERS if name in self._fitted]
        return {
            name: self._tuned(name) if self.item.grid.tune else self._plain(name) for name in names
        }

    def _plain(self, name: str, **settings: Any) -> BenchmarkClassifier:
        return BenchmarkClassifier(name=name, settings=settings, random_state=self.seed(name))

    @property
    def _fitted(self) -> set[str]:
        wanted = set(self.item.grid.classifiers)
        return wanted | set(VOTERS) if VOTE in wanted else wanted

    def _tuned(self, name: str) -> BenchmarkClassifier:
        """Return the settings with the best macro F1 on folds within the training rows."""
        kind, view = CLASSIFIERS[name], self.view
        rows = view.train.missing if kind.takes_missing else view.train.complete
        classes = self.fit.classes

        def value(choice: BenchmarkClassifier) -> float:
            folds = nested(view.y, INNER_FOLDS, rng_of(self.item.grid.seed, "nested"))
            scores = []
            for fit, scored in folds:
                fitted = clone(choice).fit(rows[fit], view.y[fit])
                said = predict_probabilities(fitted, rows[scored], classes=len(classes))
                scores.append(scores_of(said, view.y[scored], classes)["macro_f1"])
            return float(np.mean(scores))

        tried = [self._plain(name, **each) for each in ({}, *kind.candidates)]
        # The first of equals: the settings as they are.
        return max(tried, key=value)

    def seed(self, name: str) -> int:
        """Return the seed of a classifier: the same for all methods, so that they are paired."""
        division = self.item.division
        return seed_of(self.item.grid.seed, name, division.repeat, division.fold)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingRows:
    """Rows to fit on, for one level of one method."""

    view: RowView
    rows: ViewedRows
    y: Ints
    synthetic: int = 0
    balanced: bool = False


def evaluate(item: Item, *, done: Sequence[ScoreKey] = (), keep: Keep | None = None) -> Bench:
    """Score the cells of an item that are not done and hand each to `keep`."""
    bench = Bench(item)
    finished = set(done)
    waiting = [key for key in item.cells() if key not in finished]
    for added, part in dict.fromkeys((key.added, key.part) for key in waiting):
        here = [key for key in waiting if (key.added, key.part) == (added, part)]
        begin_s = time.perf_counter()
        training = training_rows(bench, added, part)
        made_s = time.perf_counter() - begin_s
        _score_level(bench, training, here, keep or (lambda row: None), made_s)
    return bench


def training_rows(bench: Bench, added: int, part: float) -> TrainingRows:
    """Return the rows that the classifiers of one level are fitted on."""
    item = bench.item
    if part < 1:
        view = bench.view_of(bench.fit.rows(_some(bench.fit.y, part, bench.rng("part"))))
        return TrainingRows(view=view, rows=view.train, y=view.y)
    view = bench.view
    if item.method == BORROW:
        if item.lenders is None:
            raise ValueError("an item that borrows needs lenders")
        more = borrowed(view, item.lenders)
        return TrainingRows(
            view=view,
            rows=view.train.joined(more),
            y=np.concatenate([view.y, item.lenders.y]),
        )
    if item.method == BASELINE or not GENERATORS[item.method].adds_rows:
        return TrainingRows(view=view, rows=view.train, y=view.y, balanced=item.method != BASELINE)
    present = np.unique(view.y).tolist()
    rows, labels = bench.synthetic(dict.fromkeys(present, added), "added")
    return TrainingRows(
        view=view,
        rows=view.train.joined(view.made(rows)),
        y=np.concatenate([view.y, labels]),
        synthetic=len(labels),
    )


def _some(y: Ints, part: float, rng: np.random.Generator) -> Ints:
    """Return a part of the rows of each class, at least one."""
    kept = []
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        kept.append(rows[: max(1, round(part * len(rows)))])
    return np.sort(np.concatenate(kept))


def _score_level(
    bench: Bench, training: TrainingRows, keys: Sequence[ScoreKey], keep: Keep, made_s: float
) -> None:
    said: dict[str, tuple[Floats, str, float]] = {}

    def words_of(name: str) -> tuple[Floats, str, float]:
        if name not in said:
            said[name] = _vote(words_of) if name == VOTE else _words(bench, training, name)
        return said[name]

    for key in keys:
        probabilities, how, seconds = words_of(key.classifier)
        choice = bench.chosen.get(key.classifier)
        keep(
            {
                **vars(key),
                **scores_of(probabilities, bench.scored.y, bench.fit.classes),
                "setup": setup_of(key.classifier, choice),
                "how": how,
                "train_rows": len(training.y) - training.synthetic,
                "synthetic_rows": training.synthetic,
                "scored_rows": len(bench.scored),
                # The generator's share goes to the first cell that waited for it.
                "seconds": round(seconds + made_s, 4),
            }
        )
        made_s = 0.0


def setup_of(name: str, choice: BenchmarkClassifier | None) -> str:
    """Return the settings of a classifier as a cell records them."""
    if name == VOTE:
        return json.dumps(VOTERS)
    kind = CLASSIFIERS[name]
    settings = {**kind.settings, **((choice.settings or {}) if choice else {})}
    said = {"temperature": kind.temperature, "rarity": kind.rarity}
    return json.dumps({**settings, **said}, sort_keys=True)


def _words(bench: Bench, training: TrainingRows, name: str) -> tuple[Floats, str, float]:
    """Return what a classifier says of the scored rows, how it was fitted, and how long it took."""
    begin_s = time.perf_counter()
    missing = CLASSIFIERS[name].takes_missing
    fitted = clone(bench.chosen[name]).set_params(balanced=training.balanced)
    fitted.fit(training.rows.missing if missing else training.rows.complete, training.y)
    scored = training.view.scored
    rows = scored.missing if missing else scored.complete
    probabilities = predict_probabilities(fitted, rows, classes=len(bench.fit.classes))
    return probabilities, fitted.how_, time.perf_counter() - begin_s


def _vote(
    words_of: Callable[[str], tuple[Floats, str, float]],
) -> tuple[Floats, str, float]:
    members = {name: words_of(name) for name in VOTERS}
    how = "; ".join(f"{name}: {how}" for name, (_, how, _) in members.items() if how)
    said = together({name: probabilities for name, (probabilities, _, _) in members.items()})
    # What the members cost is told beside their own cells.
    return said, how, 0.0
