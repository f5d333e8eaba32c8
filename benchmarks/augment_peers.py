"""Time the classifiers of the benchmark against the usual ones of scikit-learn and LightGBM."""

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from sts.augment.evaluate import PreparedItem, make_training_rows
from sts.tabular.classifiers import BenchmarkClassifier, predict_probabilities


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Time and accuracy of one classifier and of the usual one."""

    classifier: str
    ours_s: float
    usual_s: float
    accuracy: float
    usual_accuracy: float


def usual_of(name: str) -> Any:
    """Return the library's own classifier, at its defaults, with probabilities."""
    from lightgbm import LGBMClassifier
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    return {
        "svm": lambda: SVC(probability=True),
        "mlp": MLPClassifier,
        "tree": DecisionTreeClassifier,
        "forest": RandomForestClassifier,
        "naive-bayes": GaussianNB,
        "lda": LinearDiscriminantAnalysis,
        "logistic": lambda: LogisticRegression(max_iter=1000),
        "extra-trees": ExtraTreesClassifier,
        "lightgbm": lambda: LGBMClassifier(n_jobs=1, verbose=-1),
    }[name]()


def time_classifiers(prepared: PreparedItem, added: int) -> Iterator[Pair]:
    """Time the classifiers of an item and the usual ones, with rows added to each class."""
    training = make_training_rows(prepared, added, 1.0)
    X, y, scored = training.rows.complete, training.y, prepared.view.scored.complete
    truth = prepared.scored.y
    for name in prepared.item.grid.classifiers:
        begin_s = time.perf_counter()
        with threadpool_limits(1):
            fitted = BenchmarkClassifier(name=name).fit(X, y)
            said = predict_probabilities(fitted, scored, classes=len(prepared.fit.classes))
        ours_s = time.perf_counter() - begin_s
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            begin_s = time.perf_counter()
            usual = usual_of(name).fit(X, y)
            usual_said = usual.predict_proba(scored)
            usual_s = time.perf_counter() - begin_s
        yield Pair(
            classifier=name,
            ours_s=ours_s,
            usual_s=usual_s,
            accuracy=float(np.mean(said.argmax(axis=1) == truth)),
            usual_accuracy=float(np.mean(usual.classes_[usual_said.argmax(axis=1)] == truth)),
        )
