"""Each classifier made from its settings, and a cheaper way where rows are too many for it.

The libraries are imported when one is made; all run on one thread, since cells of the grid run side
by side.
"""

import warnings
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from sts.base.types import Floats, Ints
from sts.tabular.machines import LANDMARKS, LandmarkSvm, PairwiseSvm

# libsvm needs the square of the rows; beyond this many the kernel is approximated.
SVM_ROWS: Final = 50_000
# A tree of a forest sees no more rows than this, and boosting draws as many for each.
TREE_ROWS: Final = 20_000
# What an MLP may learn from in all, and logistic regression look at.
MLP_ROWS: Final = 500_000
LOGISTIC_ROWS: Final = 20_000
# Ranks are told apart no finer than this, and no score lies further out.
QUANTILES: Final = 200
OUTERMOST: Final = 3.0

Settings = Mapping[str, Any]
Made = tuple[Any, str]


def svm(settings: Settings, rows: int, seed: int) -> Made:
    """Return a support vector machine with a radial kernel."""
    if rows <= SVM_ROWS:
        return Ranked(PairwiseSvm(**settings, seed=seed)), ""
    how = f"kernel approximated by {LANDMARKS} landmarks (Nystroem), linear machine"
    return Ranked(LandmarkSvm(**settings, seed=seed)), how


def mlp(settings: Settings, rows: int, seed: int) -> Made:
    """Return a perceptron of one hidden layer."""
    from sklearn.neural_network import MLPClassifier

    epochs = int(np.clip(MLP_ROWS // rows, 10, 120))
    estimator = MLPClassifier(
        (settings["hidden"],),
        alpha=settings["alpha"],
        # Few epochs over many rows: larger batches keep their price down.
        batch_size=int(np.clip(rows // 50, 32, 256)),
        max_iter=epochs,
        # A loss that must fall by this much would end it early; it never does.
        n_iter_no_change=epochs,
        random_state=seed,
    )
    return Ranked(Quiet(estimator)), f"{epochs} epochs" if epochs < 120 else ""


def tree(settings: Settings, rows: int, seed: int) -> Made:
    """Return one decision tree."""
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(**settings, random_state=seed), ""


def forest(settings: Settings, rows: int, seed: int) -> Made:
    """Return a random forest."""
    from sklearn.ensemble import RandomForestClassifier

    part, how = _part(rows)
    return RandomForestClassifier(**settings, max_samples=part, random_state=seed), how


def extra_trees(settings: Settings, rows: int, seed: int) -> Made:
    """Return extremely randomised trees."""
    from sklearn.ensemble import ExtraTreesClassifier

    part, how = _part(rows)
    estimator = ExtraTreesClassifier(
        **settings, bootstrap=part is not None, max_samples=part, random_state=seed
    )
    # Thresholds are drawn evenly between the ends of a column: ranks make them even over the rows.
    return Ranked(estimator), how


def _part(rows: int) -> tuple[float | None, str]:
    if rows <= TREE_ROWS:
        return None, ""
    return TREE_ROWS / rows, f"{TREE_ROWS:,} rows drawn for each tree"


def naive_bayes(settings: Settings, rows: int, seed: int) -> Made:
    """Return Gaussian naive Bayes."""
    from sklearn.naive_bayes import GaussianNB

    return Ranked(GaussianNB(**settings)), ""


def lda(settings: Settings, rows: int, seed: int) -> Made:
    """Return linear discriminant analysis whose covariance is shrunk."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return Ranked(Quiet(LinearDiscriminantAnalysis(solver="lsqr", **settings))), ""


def logistic(settings: Settings, rows: int, seed: int) -> Made:
    """Return multinomial logistic regression; nothing in it is random."""
    from sklearn.linear_model import LogisticRegression

    how = "" if rows <= LOGISTIC_ROWS else "stopped after 50 iterations"
    iterations = 50 if how else 500
    return Ranked(Quiet(LogisticRegression(**settings, max_iter=iterations, tol=1e-3))), how


def lightgbm(settings: Settings, rows: int, seed: int) -> Made:
    """Return gradient-boosted trees, which take missing values as they are."""
    return Boosted({**settings, "subsample": min(0.8, TREE_ROWS / rows)}, seed), (
        "" if rows <= TREE_ROWS else f"{TREE_ROWS:,} rows drawn for each tree"
    )


class Ranked:
    """Normal scores of the ranks in each column: no tail outweighs, or hides, how rows differ."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def set_params(self, **values: Any) -> None:
        """Change settings of the estimator."""
        self.estimator.set_params(**values)

    def fit(self, X: Floats, y: Ints, **weights: Floats | None) -> "Ranked":
        """Fit ranks and scales on the rows, then the estimator."""
        from sklearn.preprocessing import QuantileTransformer

        self._ranks = QuantileTransformer(
            n_quantiles=min(QUANTILES, len(X)), output_distribution="normal", subsample=None
        ).fit(X)
        scores = self._scores(X)
        self._mean, deviation = scores.mean(axis=0), scores.std(axis=0)
        self._deviation = np.where(deviation > 0, deviation, 1.0)
        self.estimator.fit((scores - self._mean) / self._deviation, y, **weights)
        self.classes_ = self.estimator.classes_
        return self

    def _scores(self, X: Floats) -> Floats:
        return np.asarray(np.clip(self._ranks.transform(X), -OUTERMOST, OUTERMOST))

    def predict_proba(self, X: Floats) -> Floats:
        """Return probabilities of the classes that were fitted."""
        return np.asarray(
            self.estimator.predict_proba((self._scores(X) - self._mean) / self._deviation)
        )


class Quiet:
    """Fit without warnings of another iteration that was possible, or of a class of one row."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def set_params(self, **values: Any) -> None:
        """Change settings of the estimator."""
        self.estimator.set_params(**values)

    def fit(self, X: Floats, y: Ints, **weights: Floats | None) -> "Quiet":
        """Fit as far as it goes."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.estimator.fit(X, y, **weights)
        self.classes_ = self.estimator.classes_
        return self

    def predict_proba(self, X: Floats) -> Floats:
        """Return probabilities of the classes that were fitted."""
        return np.asarray(self.estimator.predict_proba(X))


class Boosted:
    """LightGBM whose splits are drawn, not searched (extremely randomised): better on few rows."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._settings, self._seed = settings, seed

    def fit(self, X: Floats, y: Ints, sample_weight: Floats | None = None) -> "Boosted":
        """Fit on rows in which NaN is missing."""
        import lightgbm as library

        self.classes_, labels = np.unique(y, return_inverse=True)
        data = library.Dataset(
            X, labels, weight=sample_weight, params={"max_bin": 63, "verbosity": -1}
        )
        self._booster = library.train(
            self._parameters(len(self.classes_)),
            data,
            num_boost_round=self._settings["n_estimators"],
        )
        return self

    def _parameters(self, classes: int) -> dict[str, Any]:
        given = self._settings
        return {
            "objective": "multiclass",
            "num_class": classes,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
            "extra_trees": True,
            "seed": self._seed,
            "max_bin": 63,
            "num_leaves": given["num_leaves"],
            "max_depth": given["max_depth"],
            "learning_rate": given["learning_rate"],
            "min_data_in_leaf": given["min_child_samples"],
            "feature_fraction": given["colsample_bytree"],
            "bagging_fraction": given["subsample"],
            "bagging_freq": 1,
            "lambda_l1": 0.1,
            "lambda_l2": 0.3,
        }

    def predict_proba(self, X: Floats) -> Floats:
        """Return probabilities of the classes that were fitted."""
        return np.asarray(self._booster.predict(X, num_threads=1)).reshape(len(X), -1)
