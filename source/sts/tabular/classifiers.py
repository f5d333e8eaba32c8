"""The classifiers of the benchmark: how each is set up, and how one says how likely a class is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from sts.base.errors import one_of
from sts.base.types import Floats, Ints
from sts.tabular import estimators as made

# The smallest probability whose logarithm is taken: trees of a forest may all agree.
FLOOR: Final = 1e-4
VOTE: Final = "vote"
# How much the word of each counts: the best alone, and three that err otherwise than it does.
VOTERS: Final = {"svm": 2.0, "lda": 1.0, "extra-trees": 1.0, "lightgbm": 3.0}

Settings = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of classifier."""

    title: str
    make: Callable[[Settings, int, int], tuple[Any, str]]
    """make(settings, rows, seed) gives an estimator and what it does otherwise than it would."""
    settings: Settings
    candidates: Sequence[Settings] = ()
    """What a nested search tries beside the settings, each in their place."""
    takes_missing: bool = False
    temperature: float = 1.0
    """What logarithms of probabilities are divided by: above 1 for one that is too sure of itself.
    The nearest of .5 to 8 by log loss, over folds of task E without added rows."""
    rarity: float = 0.0
    """Power of the frequencies of the training rows that probabilities are divided by: above 0 for
    one that says too little of rare classes. Chosen with the temperature."""
    weighted: bool = True
    """False: without weights of rows; what is asked to be balanced is told by `priors`."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A classifier that was fitted."""

    estimator: Any
    classes: int
    temperature: float = 1.0
    how: str = ""
    """What was done otherwise than with fewer rows."""
    lift: Floats | float = 1.0
    """What the probability of each class that was fitted is multiplied by."""

    def probabilities(self, X: Floats) -> Floats:
        """Return the probability of each class, (n, classes), none below the floor."""
        said = np.maximum(np.nan_to_num(self.estimator.predict_proba(X)), FLOOR**2)
        powers = said ** (1 / self.temperature) * self.lift
        found = np.zeros((len(X), self.classes))
        # A class without a training row has no column.
        found[:, self.estimator.classes_] = powers / powers.sum(axis=1, keepdims=True)
        return floored(found)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A classifier by name, with settings that take the place of its own."""

    name: str
    settings: Settings = field(default_factory=dict)


def together(said: Mapping[str, Floats]) -> Floats:
    """Return the vote: the weighted geometric mean of what each voter says."""
    logs = [weight * np.log(said[name]) for name, weight in VOTERS.items()]
    # Unlike in an arithmetic mean, one voter alone can say that a class is out of question.
    powers = np.exp(np.sum(logs, axis=0) / sum(VOTERS.values()))
    return floored(powers / powers.sum(axis=1, keepdims=True))


def floored(probabilities: Floats) -> Floats:
    """Return probabilities of at least the floor, with a sum of one."""
    raised = np.maximum(probabilities, FLOOR)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def fit_classifier(
    choice: Choice, X: Floats, y: Ints, *, classes: int, seed: int, balanced: bool = False
) -> Fitted:
    """Fit a classifier on training rows.

    Parameters
    ----------
    balanced
        Let every class count the same, however many rows it has.
    """
    kind = CLASSIFIERS[one_of(choice.name, CLASSIFIERS, "classifier")]
    estimator, how = kind.make({**kind.settings, **choice.settings}, len(X), seed)
    counts = np.bincount(y, minlength=classes)
    there = counts[counts > 0]
    weights = {}
    if balanced and kind.weighted:
        weights["sample_weight"] = len(y) / (len(there) * counts[y])
    elif balanced:
        estimator.set_params(priors=np.full(len(there), 1 / len(there)))
    # Where all classes count the same, none is rare.
    lift = 1.0 if balanced else (there / len(y)) ** -kind.rarity
    return Fitted(estimator.fit(X, y, **weights), classes, kind.temperature, how, lift)


def grid_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return classifiers in the order of the table, each once; refuse unknown ones."""
    known = (*CLASSIFIERS, VOTE)
    wanted = {one_of(name, known, "classifier") for name in names}
    return tuple(name for name in known if name in wanted)


def title_of(name: str) -> str:
    """Return what figures call a classifier."""
    return "Soft vote" if name == VOTE else CLASSIFIERS[name].title


CLASSIFIERS: Final[dict[str, Kind]] = {
    "svm": Kind(
        title="SVM",
        make=made.svm,
        temperature=1.5,
        rarity=0.2,
        settings={"C": 5.0, "gamma": 0.006},
        candidates=({"C": 2.0}, {"C": 20.0}, {"gamma": 0.002}, {"gamma": 0.018}),
    ),
    "mlp": Kind(
        title="MLP",
        make=made.mlp,
        settings={"hidden": 64, "alpha": 1.0},
        candidates=({"alpha": 0.1}, {"alpha": 3.0}, {"hidden": 128}),
    ),
    "tree": Kind(
        title="Decision tree",
        make=made.tree,
        settings={"min_samples_leaf": 5, "ccp_alpha": 0.001},
        candidates=({"min_samples_leaf": 2}, {"min_samples_leaf": 10}, {"ccp_alpha": 0.003}),
    ),
    "forest": Kind(
        title="Random forest",
        make=made.forest,
        temperature=0.5,
        rarity=0.4,
        settings={"n_estimators": 150, "max_features": "sqrt"},
        candidates=({"max_features": 0.3},),
    ),
    "naive-bayes": Kind(
        title="Naive Bayes",
        make=made.naive_bayes,
        temperature=5.0,
        settings={"var_smoothing": 0.01},
        candidates=({"var_smoothing": 1e-9}, {"var_smoothing": 0.1}),
        weighted=False,
    ),
    "lda": Kind(
        title="LDA",
        make=made.lda,
        temperature=3.0,
        settings={"shrinkage": "auto"},
        candidates=({"shrinkage": 0.05}, {"shrinkage": 0.3}),
        weighted=False,
    ),
    "logistic": Kind(
        title="Logistic regression",
        make=made.logistic,
        settings={"C": 0.1},
        candidates=({"C": 0.03}, {"C": 0.3}, {"C": 1.0}),
    ),
    "extra-trees": Kind(
        title="Extra trees",
        make=made.extra_trees,
        temperature=0.5,
        rarity=0.4,
        settings={"n_estimators": 150, "max_features": 0.3},
        candidates=({"max_features": 0.15}, {"max_features": 0.6}),
    ),
    "lightgbm": Kind(
        title="LightGBM",
        make=made.lightgbm,
        temperature=1.2,
        rarity=0.2,
        settings={
            "num_leaves": 31,
            "max_depth": 8,
            "learning_rate": 0.06,
            "n_estimators": 250,
            "min_child_samples": 10,
            "colsample_bytree": 0.6,
        },
        candidates=({"colsample_bytree": 0.3}, {"num_leaves": 15}, {"min_child_samples": 5}),
        takes_missing=True,
    ),
}
