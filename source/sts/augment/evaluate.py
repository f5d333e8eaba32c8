"""Evaluate one method on one division: fit the generator once, then compute every score."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from sklearn.base import clone
from sklearn.semi_supervised import SelfTrainingClassifier

from sts.augment.contract import GENERATORS, Generator, make_generator
from sts.augment.given import ConditionalGenerator
from sts.augment.grid import (
    BASELINE,
    PRIORS,
    REAL_NEURONS,
    THRESHOLDS,
    UNLABELLED,
    WEIGHTS,
    Item,
    ScoreKey,
    divide_training_rows,
    make_rng,
    make_seed,
)
from sts.augment.neurons import Neurons
from sts.augment.preparation import RowView, ViewedRows, make_view, view_borrowed
from sts.base.types import Floats, Ints
from sts.evaluation.predictions import scores_of
from sts.tabular.classifiers import (
    CLASSIFIERS,
    VOTE,
    VOTERS,
    BenchmarkClassifier,
    combine_votes,
    predict_probabilities,
    raise_to_floor,
)

INNER_FOLDS: Final = 3
# Powers of class frequencies among which thresholds are chosen; the first of equal ones is taken.
PRIOR_POWERS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
# The label of a neuron whose class is to be guessed, as in scikit-learn.
NO_LABEL: Final = -1
# Probability above which a guess becomes a label (that of scikit-learn), and rounds of guessing.
SURE: Final = 0.75
GUESSES: Final = 3

Keep = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, eq=False)
class PreparedItem:
    """The data, generator and classifiers that the scores of an item share.

    Each is created when it is first needed.
    """

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
        """Return both sides as inputs of classifiers."""
        return self.view_with(self.fit)

    def view_with(self, fit: Neurons) -> RowView:
        """Return both sides, with a preparation fitted on these training neurons."""
        division, grid = self.item.division, self.item.grid
        seed = make_seed(grid.seed, "reducer", division.repeat, division.fold)
        return make_view(fit, self.scored.X, grid.preparation, seed=seed)

    @cached_property
    def generator(self) -> Generator:
        """Return the generator, fitted on training rows."""
        item = self.item
        generator = make_generator(
            item.method, device=item.grid.device, settings=dict(item.settings), task=item.task
        )
        if item.condition is not None and GENERATORS[item.method].adds_rows:
            generator = ConditionalGenerator(
                generator=generator,
                condition=item.condition,
                space=self.view.space,
                which=item.division.fit,
            )
        return generator.fit(self.view.generator_rows, self.view.y, self.rng("fit"))

    def rng(self, *words: str | int) -> np.random.Generator:
        """Return random numbers for one purpose of this item."""
        item, division = self.item, self.item.division
        return make_rng(item.grid.seed, item.method, division.repeat, division.fold, *words)

    def generate(self, counts: Mapping[int, int], purpose: str) -> tuple[Floats, Ints]:
        """Return synthetic rows and their classes; `counts` is the number of rows by class."""
        rows = [
            self.generator.sample(label, count, self.rng(purpose, label, count))
            for label, count in counts.items()
        ]
        labels = np.repeat(list(counts), [len(each) for each in rows])
        return np.concatenate(rows), labels.astype(np.int64)

    @cached_property
    def classifiers(self) -> dict[str, BenchmarkClassifier]:
        """Return every classifier; with `tune`, its settings are searched on training rows."""
        wanted = set(self.item.grid.classifiers)
        if VOTE in wanted:
            wanted |= set(VOTERS)
        make = self.tune if self.item.grid.tune else self.make_classifier
        return {name: make(name) for name in CLASSIFIERS if name in wanted}

    def make_classifier(self, name: str, **settings: Any) -> BenchmarkClassifier:
        """Return a classifier that is not fitted yet, with changes of its settings."""
        # The seed is the same for all methods, so that their scores are paired.
        division = self.item.division
        seed = make_seed(self.item.grid.seed, name, division.repeat, division.fold)
        return BenchmarkClassifier(name=name, settings=settings, random_state=seed)

    def tune(self, name: str) -> BenchmarkClassifier:
        """Return the classifier with the best macro F1 on folds within the training rows."""
        kind, view = CLASSIFIERS[name], self.view
        rows = view.train.missing if kind.takes_missing else view.train.complete
        classes = self.fit.classes

        def score(candidate: BenchmarkClassifier) -> float:
            scores = []
            folds = divide_training_rows(
                view.y, INNER_FOLDS, make_rng(self.item.grid.seed, "nested")
            )
            for fit, scored in folds:
                fitted = clone(candidate).fit(rows[fit], view.y[fit])
                probabilities = predict_probabilities(fitted, rows[scored], classes=len(classes))
                scores.append(scores_of(probabilities, view.y[scored], classes)["macro_f1"])
            return float(np.mean(scores))

        candidates = [self.make_classifier(name, **each) for each in ({}, *kind.candidates)]
        # The first of equal settings is the default.
        return max(candidates, key=score)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingRows:
    """Rows to fit on, for one level of one method."""

    view: RowView
    rows: ViewedRows
    y: Ints
    synthetic: int = 0
    balanced: bool = False
    """Whether all classes have the same weight."""

    @property
    def labelled(self) -> int:
        """Return the number of real rows whose class is given."""
        return int((self.y != NO_LABEL).sum()) - self.synthetic


def evaluate(
    item: Item, *, done: Sequence[ScoreKey] = (), keep: Keep | None = None
) -> PreparedItem:
    """Compute the missing scores of an item and pass each to `keep`."""
    prepared = PreparedItem(item)
    finished = set(done)
    missing = [key for key in item.score_keys() if key not in finished]
    for added, part in dict.fromkeys((key.added, key.part) for key in missing):
        here = [key for key in missing if (key.added, key.part) == (added, part)]
        begin_s = time.perf_counter()
        training = make_training_rows(prepared, added, part)
        spent_s = time.perf_counter() - begin_s
        _score_level(prepared, training, here, keep or (lambda row: None), spent_s)
    return prepared


def make_training_rows(prepared: PreparedItem, added: int, part: float) -> TrainingRows:
    """Return the rows that the classifiers of one level are fitted on."""
    item = prepared.item
    if part < 1:
        chosen = _choose_part(prepared.fit.y, part, prepared.rng("part"))
        view = prepared.view_with(prepared.fit.rows(chosen))
        return TrainingRows(view=view, rows=view.train, y=view.y)
    view = prepared.view
    if item.method in REAL_NEURONS:
        if item.borrowed is None:
            raise ValueError("an item that borrows needs neurons to borrow")
        rows, labels = view.train.join(view_borrowed(view, item.borrowed)), item.borrowed.y
        if item.method == UNLABELLED:
            labels = np.full_like(labels, NO_LABEL)
        return TrainingRows(view=view, rows=rows, y=np.concatenate([view.y, labels]))
    if item.method == BASELINE or not GENERATORS[item.method].adds_rows:
        return TrainingRows(view=view, rows=view.train, y=view.y, balanced=item.method == WEIGHTS)
    present = np.unique(view.y).tolist()
    synthetic, labels = prepared.generate(dict.fromkeys(present, added), "added")
    return TrainingRows(
        view=view,
        rows=view.train.join(view.take(synthetic)),
        y=np.concatenate([view.y, labels]),
        synthetic=len(labels),
    )


def _choose_part(y: Ints, part: float, rng: np.random.Generator) -> Ints:
    """Return a share of the rows of each class, at least one row."""
    chosen = []
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        chosen.append(rows[: max(1, round(part * len(rows)))])
    return np.sort(np.concatenate(chosen))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Prediction:
    """Probabilities of the scored rows from one classifier."""

    probabilities: Floats
    how: str
    """How the fit differs from one on fewer rows."""
    seconds: float = 0.0


def _score_level(
    prepared: PreparedItem,
    training: TrainingRows,
    keys: Sequence[ScoreKey],
    keep: Keep,
    spent_s: float,
) -> None:
    """Score the classifiers of one level; the first score includes the time spent on the rows."""
    predictions: dict[str, _Prediction] = {}

    def predict(name: str) -> _Prediction:
        if name not in predictions:
            if name == VOTE:
                predictions[name] = _vote({voter: predict(voter) for voter in VOTERS})
            else:
                predictions[name] = _predict(prepared, training, name)
        return predictions[name]

    for key in keys:
        prediction = predict(key.classifier)
        classifier = prepared.classifiers.get(key.classifier)
        keep(
            {
                **vars(key),
                **scores_of(prediction.probabilities, prepared.scored.y, prepared.fit.classes),
                "setup": describe_setup(key.classifier, classifier),
                "how": prediction.how,
                "train_rows": training.labelled,
                "synthetic_rows": training.synthetic,
                "scored_rows": len(prepared.scored),
                "seconds": round(prediction.seconds + spent_s, 4),
            }
        )
        spent_s = 0.0


def describe_setup(name: str, classifier: BenchmarkClassifier | None) -> str:
    """Return the settings of a classifier as they are stored with its scores."""
    if name == VOTE:
        return json.dumps(VOTERS)
    kind = CLASSIFIERS[name]
    settings = {**kind.settings, **((classifier.settings or {}) if classifier else {})}
    correction = {"temperature": kind.temperature, "rarity": kind.rarity}
    return json.dumps({**settings, **correction}, sort_keys=True)


def _predict(prepared: PreparedItem, training: TrainingRows, name: str) -> _Prediction:
    begin_s = time.perf_counter()
    fitted = clone(prepared.classifiers[name]).set_params(balanced=training.balanced)
    scored = training.view.scored
    if CLASSIFIERS[name].takes_missing:
        X, X_scored = training.rows.missing, scored.missing
    else:
        X, X_scored = training.rows.complete, scored.complete
    power = 0.0
    if prepared.item.method in (PRIORS, THRESHOLDS):
        tuned = prepared.item.method == THRESHOLDS
        power = _choose_prior_power(prepared, fitted, X, training.y) if tuned else 1.0
    notes = [f"priors to the power {power:g}"] if power else []
    if prepared.item.method == UNLABELLED:
        fitted, guessed = _guess_labels(fitted, X, training.y)
        notes.append(f"{guessed} of {(training.y == NO_LABEL).sum()} labels guessed")
    else:
        fitted.fit(X, training.y)
    probabilities = predict_probabilities(fitted, X_scored, classes=len(prepared.fit.classes))
    probabilities = divide_by_priors(probabilities, training.y, power)
    how = "; ".join(filter(None, [fitted.how_, *notes]))
    seconds = time.perf_counter() - begin_s
    return _Prediction(probabilities=probabilities, how=how, seconds=seconds)


def _guess_labels(
    classifier: BenchmarkClassifier, X: Floats, y: Ints
) -> tuple[BenchmarkClassifier, int]:
    """Return a classifier fitted on labelled rows and on its own sure guesses; and their number."""
    trained = SelfTrainingClassifier(classifier, threshold=SURE, max_iter=GUESSES).fit(X, y)
    guessed = trained.transduction_ != NO_LABEL
    return trained.estimator_, int(guessed.sum() - (y != NO_LABEL).sum())


def divide_by_priors(probabilities: Floats, y: Ints, power: float) -> Floats:
    """Return probabilities divided by a power of class frequencies; 1: all classes are as likely.

    A class without a training row is as unlikely as before.
    """
    if not power:
        return probabilities
    counts = np.bincount(y, minlength=probabilities.shape[1])
    lifted = probabilities * np.where(counts, counts / len(y), 1.0) ** -power
    return raise_to_floor(lifted / lifted.sum(axis=1, keepdims=True))


def _choose_prior_power(
    prepared: PreparedItem, classifier: BenchmarkClassifier, X: Floats, y: Ints
) -> float:
    """Return the power with the best macro F1 on folds of the training rows.

    One power for all classes, because rare classes have too few rows for thresholds of their own.
    """
    classes = prepared.fit.classes
    probabilities, truth = [], []
    rng = make_rng(prepared.item.grid.seed, "thresholds")
    for fit, scored in divide_training_rows(y, INNER_FOLDS, rng):
        fitted = clone(classifier).fit(X[fit], y[fit])
        probabilities.append(predict_probabilities(fitted, X[scored], classes=len(classes)))
        truth.append(y[scored])
    together, labels = np.concatenate(probabilities), np.concatenate(truth)

    def score(power: float) -> float:
        return scores_of(divide_by_priors(together, y, power), labels, classes)["macro_f1"]

    return max(PRIOR_POWERS, key=score)


def _vote(voters: Mapping[str, _Prediction]) -> _Prediction:
    """Return the vote. Its time is 0: the times of the voters are in their own scores."""
    return _Prediction(
        probabilities=combine_votes({name: each.probabilities for name, each in voters.items()}),
        how="; ".join(f"{name}: {each.how}" for name, each in voters.items() if each.how),
    )
