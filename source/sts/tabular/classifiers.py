"""The classifiers of the benchmark: their settings, and the correction of their probabilities.

All run on one thread, because scores of the grid are computed in parallel.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import validate_data

from sts.base.errors import one_of
from sts.base.types import Floats
from sts.tabular.estimators import (
    FLOOR,
    LANDMARKS,
    LandmarkSvm,
    PairwiseSvm,
    Prepared,
    ProbableClassifier,
    RankScores,
    encode_labels,
)
from sts.tabular.trees import BoostedTrees

VOTE: Final = "vote"
# Weights in the vote, chosen with the settings below by `benchmarks/tune_augment.py`.
VOTERS: Final = {"svm": 1.0, "lda": 3.0, "extra-trees": 1.0, "lightgbm": 3.0}
# Number of rows above which the kernel is approximated: libsvm needs memory ~ rows squared.
SVM_ROWS: Final = 50_000
# Largest number of rows for a tree.
TREE_ROWS: Final = 20_000
# Number of rows times epochs in the training of an MLP.
MLP_ROWS: Final = 500_000
# Number of rows above which logistic regression stops early.
LOGISTIC_ROWS: Final = 20_000

Settings = Mapping[str, Any]
# An estimator, and its difference from an estimator for fewer rows.
EstimatorAndNote = tuple[Any, str]


def _make_svm(settings: Settings, rows: int, seed: int) -> EstimatorAndNote:
    """Return a support vector machine with a radial kernel."""
    if rows <= SVM_ROWS:
        return Prepared(RankScores(), PairwiseSvm(**settings, random_state=seed)), ""
    how = f"kernel approximated by {LANDMARKS} landmarks (Nystroem), linear machine"
    return Prepared(RankScores(), LandmarkSvm(**settings, random_state=seed)), how


def _make_mlp(settings: Settings, rows: int, seed: int) -> EstimatorAndNote:
    """Return a perceptron of one hidden layer."""
    epochs = int(np.clip(MLP_ROWS // rows, 10, 120))
    estimator = MLPClassifier(
        (settings["hidden"],),
        alpha=settings["alpha"],
        # Few epochs over many rows: larger batches need less time.
        batch_size=int(np.clip(rows // 50, 32, 256)),
        max_iter=epochs,
        # The number of epochs, so that training never stops early.
        n_iter_no_change=epochs,
        random_state=seed,
    )
    return Prepared(RankScores(), estimator), f"{epochs} epochs" if epochs < 120 else ""


def _make_tree(settings: Settings, rows: int, seed: int) -> EstimatorAndNote:
    """Return one decision tree."""
    return DecisionTreeClassifier(**settings, random_state=seed), ""


def _make_forest(settings: Settings, rows: int, seed: int) -> EstimatorAndNote:
    """Return a random forest."""
    part, how = _limit_rows(rows)
    return RandomForestClassifier(**settings, max_samples=part, random_state=seed), how


def _make_extra_trees(settings: Settings, rows: int, seed: int) -> EstimatorAndNote:
    """Return extremely randomised trees."""
    part, how = _limit_rows(rows)
    estimator = ExtraTreesClassifier(
        **settings, bootstrap=part is not None, max_samples=part, random_state=seed
    )
    # Thresholds are uniform over the range of a column: ranks distribute them over the rows.
    return Prepared(RankScores(), estimator), how


def _limit_rows(rows: int) -> tuple[float | None, str]:
    """Return the share of the rows for a tree, and the note about it."""
    if rows <= TREE_ROWS:
        return None, ""
    return TREE_ROWS / rows, f"{TREE_ROWS:,} rows drawn for each tree"


def _make_naive_bayes(settings: Settings, rows: int, seed: int) -> EstimatorAndNote:
    """Return Gaussian naive Bayes."""
    return Prepared(RankScores(), GaussianNB(**settings)), ""


def _make_lda(settings: Settings, rows: int, seed: int) -> EstimatorAndNote:
    """Return linear discriminant analysis whose covariance is shrunk."""
    return Prepared(RankScores(), LinearDiscriminantAnalysis(solver="lsqr", **settings)), ""


def _make_logistic(settings: Settings, rows: int, seed: int) -> EstimatorAndNote:
    """Return multinomial logistic regression, which is not random."""
    how = "" if rows <= LOGISTIC_ROWS else "stopped after 50 iterations"
    regression = LogisticRegression(**settings, max_iter=50 if how else 500, tol=1e-3)
    return Prepared(RankScores(), regression), how


def _make_lightgbm(settings: Settings, rows: int, seed: int) -> EstimatorAndNote:
    """Return gradient-boosted trees, which accept missing values."""
    _, how = _limit_rows(rows)
    subsample = min(0.8, TREE_ROWS / rows)
    return BoostedTrees(**settings, subsample=subsample, extra_trees=True, random_state=seed), how


@dataclass(frozen=True, kw_only=True)
class BenchmarkKind:
    """One kind of classifier."""

    title: str
    make: Callable[[Settings, int, int], EstimatorAndNote]
    """make(settings, rows, seed) returns an estimator and a note."""
    settings: Settings
    candidates: Sequence[Settings] = ()
    """Settings that a nested search tries instead of the defaults."""
    takes_missing: bool = False
    temperature: float = 1.0
    """Divisor of the logarithms of probabilities: above 1 if the classifier is overconfident.
    Chosen, like the settings, by log loss on neurons that no fold of the benchmark scores."""
    rarity: float = 0.0
    """Probabilities are divided by this power of the class frequencies: above 0 if the classifier
    underrates rare classes. Chosen with the temperature."""
    weighted: bool = True
    """Whether it accepts weights of rows; if not, it is balanced by its `priors`."""


@dataclass(kw_only=True, eq=False, repr=False)
class BenchmarkClassifier(ProbableClassifier):
    """A classifier of the benchmark by name, with corrected probabilities."""

    name: str = "lightgbm"
    settings: Settings | None = None
    """Settings that replace those of the kind."""
    balanced: bool = False
    """Whether all classes have the same weight, independent of their number of rows."""
    random_state: int = 0

    @property
    def kind(self) -> BenchmarkKind:
        """Return the kind with this name; an error suggests the nearest name."""
        return CLASSIFIERS[one_of(self.name, CLASSIFIERS, "classifier")]

    @property
    def takes_missing(self) -> bool:
        """Tell whether rows can have missing values."""
        return self.kind.takes_missing

    def fit(self, X: Any, y: Any) -> Self:
        """Fit on training rows; `how_` describes the differences from a fit on fewer rows."""
        kind = self.kind
        finite: Any = "allow-nan" if kind.takes_missing else True
        X, y = validate_data(self, X, y, ensure_all_finite=finite, dtype=np.float64)
        self.classes_, labels = encode_labels(y, None)
        settings = {**kind.settings, **(self.settings or {})}
        estimator, self.how_ = kind.make(settings, len(X), self.random_state)
        counts = np.bincount(labels)
        weights = {}
        if self.balanced and kind.weighted:
            weights["sample_weight"] = len(labels) / (len(counts) * counts[labels])
        elif self.balanced:
            estimator.set_params(estimator__priors=np.full(len(counts), 1 / len(counts)))
        # If all classes have the same weight, none is rare.
        self.lift_ = 1.0 if self.balanced else (counts / len(labels)) ** -kind.rarity
        self.estimator_ = estimator.fit(X, labels, **weights)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each fitted class, (rows, classes)."""
        X = self._checked(X)
        raw = np.nan_to_num(self.estimator_.predict_proba(X))
        powers = np.maximum(raw, FLOOR**2) ** (1 / self.kind.temperature) * self.lift_
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def predict_probabilities(classifier: BenchmarkClassifier, X: Floats, *, classes: int) -> Floats:
    """Return the probability of each class, at least the floor, (rows, classes)."""
    probabilities = np.zeros((len(X), classes))
    # A class without a training row has no column in the prediction.
    probabilities[:, classifier.classes_] = classifier.predict_proba(X)
    return raise_to_floor(probabilities)


def combine_votes(probabilities: Mapping[str, Floats]) -> Floats:
    """Return the vote: the weighted geometric mean of the probabilities of the voters."""
    logs = [weight * np.log(probabilities[name]) for name, weight in VOTERS.items()]
    # Unlike in an arithmetic mean, a single voter can exclude a class.
    powers = np.exp(np.sum(logs, axis=0) / sum(VOTERS.values()))
    return raise_to_floor(powers / powers.sum(axis=1, keepdims=True))


def raise_to_floor(probabilities: Floats) -> Floats:
    """Return probabilities of at least the floor, with a sum of one."""
    raised = np.maximum(probabilities, FLOOR)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def order_classifiers(names: Sequence[str]) -> tuple[str, ...]:
    """Return classifiers in the order of the table, each once; unknown names are an error."""
    known = (*CLASSIFIERS, VOTE)
    wanted = {one_of(name, known, "classifier") for name in names}
    return tuple(name for name in known if name in wanted)


def classifier_title(name: str) -> str:
    """Return the name of a classifier in figures."""
    return "Soft vote" if name == VOTE else CLASSIFIERS[name].title


CLASSIFIERS: Final[dict[str, BenchmarkKind]] = {
    "svm": BenchmarkKind(
        title="SVM",
        make=_make_svm,
        temperature=2.0,
        rarity=0.2,
        settings={"C": 5.0, "gamma": 0.006},
        candidates=({"C": 2.0}, {"C": 20.0}, {"gamma": 0.002}, {"gamma": 0.018}),
    ),
    "mlp": BenchmarkKind(
        title="MLP",
        make=_make_mlp,
        temperature=0.7,
        rarity=0.2,
        settings={"hidden": 64, "alpha": 1.0},
        candidates=({"alpha": 0.1}, {"alpha": 3.0}, {"hidden": 128}),
    ),
    "tree": BenchmarkKind(
        title="Decision tree",
        make=_make_tree,
        temperature=5.0,
        settings={"min_samples_leaf": 5, "ccp_alpha": 0.001},
        candidates=({"min_samples_leaf": 2}, {"min_samples_leaf": 10}, {"ccp_alpha": 0.003}),
    ),
    "forest": BenchmarkKind(
        title="Random forest",
        make=_make_forest,
        temperature=0.5,
        rarity=0.4,
        settings={"n_estimators": 150, "max_features": "sqrt"},
        candidates=({"max_features": 0.3},),
    ),
    "naive-bayes": BenchmarkKind(
        title="Naive Bayes",
        make=_make_naive_bayes,
        temperature=5.0,
        settings={"var_smoothing": 0.1},
        candidates=({"var_smoothing": 1e-9}, {"var_smoothing": 0.01}),
        weighted=False,
    ),
    "lda": BenchmarkKind(
        title="LDA",
        make=_make_lda,
        temperature=3.0,
        settings={"shrinkage": "auto"},
        candidates=({"shrinkage": 0.05}, {"shrinkage": 0.3}),
        weighted=False,
    ),
    "logistic": BenchmarkKind(
        title="Logistic regression",
        make=_make_logistic,
        temperature=0.7,
        rarity=0.4,
        settings={"C": 0.1},
        candidates=({"C": 0.03}, {"C": 0.3}, {"C": 1.0}),
    ),
    "extra-trees": BenchmarkKind(
        title="Extra trees",
        make=_make_extra_trees,
        temperature=0.7,
        rarity=0.2,
        settings={"n_estimators": 150, "max_features": 0.3},
        candidates=({"max_features": 0.15}, {"max_features": 0.6}),
    ),
    "lightgbm": BenchmarkKind(
        title="LightGBM",
        make=_make_lightgbm,
        temperature=1.0,
        rarity=0.4,
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
