"""The candidates of `tables.py`: classifiers of tables, ours and those of others.

Each takes the rows of one fold and returns the probabilities of all classes for the rows to score.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.linear_model import LogisticRegression

from sts.augment.evaluate import INNER_FOLDS, PreparedItem
from sts.augment.grid import divide_training_rows
from sts.base.types import Floats, Ints
from sts.tabular.classifiers import (
    CLASSIFIERS,
    VOTE,
    VOTERS,
    BenchmarkClassifier,
    predict_probabilities,
    raise_to_floor,
)
from sts.tabular.models import find_kind
from sts.tabular.type_classifier import TypeTreeClassifier
from sts.tabular.type_members import make_fine_members, make_members

# The task of T-types.
TYPES: Final = "types"


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """The training rows of one fold, and the rows to score."""

    prepared: PreparedItem
    missing: Floats
    complete: Floats
    y: Ints
    scored_missing: Floats
    scored_complete: Floats
    names: tuple[str, ...]
    """The classes."""
    seed: int
    tune: bool
    checkpoint: Path | None

    def part(self, fit: Ints, scored: Ints) -> "Rows":
        """Return training rows as a fold of its own."""
        return Rows(
            **{
                **vars(self),
                "missing": self.missing[fit],
                "complete": self.complete[fit],
                "y": self.y[fit],
                "scored_missing": self.missing[scored],
                "scored_complete": self.complete[scored],
                "tune": False,
            }
        )

    @property
    def classes(self) -> int:
        """Return the number of classes."""
        return len(self.names)


Predict = Callable[[Rows], Floats]


def predict_ours(name: str) -> Predict:
    """Return what fits a classifier of the benchmark of augmentation."""

    def predict(rows: Rows) -> Floats:
        makes = rows.prepared.tune if rows.tune else rows.prepared.make_classifier
        classifier: BenchmarkClassifier = makes(name)
        if CLASSIFIERS[name].takes_missing:
            X, scored = rows.missing, rows.scored_missing
        else:
            X, scored = rows.complete, rows.scored_complete
        return predict_probabilities(classifier.fit(X, rows.y), scored, classes=rows.classes)

    return predict


def predict_tree(rows: Rows) -> Floats:
    """Return the classifier of the tree of types of baseline_pipeline.py.

    E-types have two levels, such as Exc and Exc_3.
    """
    paths = [name if ">" in name else f"{name.split('_')[0]} > {name}" for name in rows.names]
    tree = TypeTreeClassifier(
        estimator=make_members(rows.seed),
        fine_estimator=make_fine_members(rows.seed),
        random_state=rows.seed,
    ).fit(rows.missing, np.array(paths)[rows.y])
    places = np.array([paths.index(path) for path in tree.classes_.tolist()])
    return spread_classes(tree.predict_proba(rows.scored_missing), places, rows.classes)


def predict_stack(rows: Rows) -> Floats:
    """Return a logistic regression of the log probabilities of the voters on inner folds."""
    inner: list[Floats] = []
    truth: list[Ints] = []
    rng = np.random.default_rng(rows.seed)
    for fit, scored in divide_training_rows(rows.y, INNER_FOLDS, rng):
        part = rows.part(fit, scored)
        inner.append(np.hstack([np.log(predict_ours(name)(part)) for name in VOTERS]))
        truth.append(rows.y[scored])
    stack = LogisticRegression(C=0.003, max_iter=2000).fit(np.vstack(inner), np.concatenate(truth))
    outer = np.hstack([np.log(predict_ours(name)(rows)) for name in VOTERS])
    return spread_classes(stack.predict_proba(outer), stack.classes_, rows.classes)


def spread_classes(probabilities: Any, labels: Ints, classes: int) -> Floats:
    """Return probabilities of all classes, at least the floor, from those of fitted ones."""
    whole = np.zeros((len(probabilities), classes))
    whole[:, labels] = probabilities
    return raise_to_floor(whole)


def predict_peer(make: Callable[[Rows], Any], *, missing: bool) -> Predict:
    """Return what fits a classifier of others, which follows scikit-learn's conventions."""

    def predict(rows: Rows) -> Floats:
        X, scored = (
            (rows.missing, rows.scored_missing)
            if missing
            else (rows.complete, rows.scored_complete)
        )
        labels, y = np.unique(rows.y, return_inverse=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = make(rows).fit(X, y)
            return spread_classes(fitted.predict_proba(scored), labels, rows.classes)

    return predict


def _make_baseline(name: str) -> Callable[[Rows], Any]:
    kind = find_kind(name)
    return lambda rows: kind.make(kind.make_settings({}), rows.seed)


def _make_catboost(rows: Rows) -> Any:
    from catboost import CatBoostClassifier

    return CatBoostClassifier(
        loss_function="MultiClass",
        thread_count=1,
        random_seed=rows.seed,
        verbose=False,
        allow_writing_files=False,
    )


def _make_realmlp(rows: Rows) -> Any:
    from pytabkit import RealMLP_TD_Classifier

    return RealMLP_TD_Classifier(device="cpu", random_state=rows.seed, n_threads=1, verbosity=0)


def _make_tabm(rows: Rows) -> Any:
    from pytabkit import TabM_D_Classifier

    return TabM_D_Classifier(device="cpu", random_state=rows.seed, n_threads=1, verbosity=0)


def _make_tabpfn(rows: Rows) -> Any:
    from tabpfn import TabPFNClassifier

    return TabPFNClassifier(
        model_path=str(rows.checkpoint), device="cpu", random_state=rows.seed, n_jobs=1
    )


def _make_tabicl(rows: Rows) -> Any:
    from tabicl import TabICLClassifier

    return TabICLClassifier(
        model_path=str(rows.checkpoint),
        allow_auto_download=False,
        device="cpu",
        random_state=rows.seed,
        n_jobs=1,
    )


PEERS: Final[Mapping[str, Predict]] = {
    "catboost": predict_peer(_make_catboost, missing=True),
    "realmlp": predict_peer(_make_realmlp, missing=False),
    "tabm": predict_peer(_make_tabm, missing=False),
}
# Their weights are not fetched. TabPFN v2's licence asks for attribution, TabICL's is BSD.
FOUNDATION: Final[Mapping[str, Predict]] = {
    "tabpfn": predict_peer(_make_tabpfn, missing=True),
    "tabicl": predict_peer(_make_tabicl, missing=True),
}
# Models that can do one task alone, by the beginning of its name.
SPECIAL: Final = {"baseline": "sts", "baseline-stack": "sts", "type-tree": ("e", "me", TYPES)}
CANDIDATES: Final[Mapping[str, Predict]] = {
    **{name: predict_ours(name) for name in CLASSIFIERS},
    "stack": predict_stack,
    "pool": predict_peer(lambda rows: make_members(rows.seed), missing=True),
    "baseline": predict_peer(_make_baseline("lightgbm"), missing=True),
    "baseline-stack": predict_peer(_make_baseline("stack"), missing=True),
    "type-tree": predict_tree,
    **PEERS,
    **FOUNDATION,
}
NAMES: Final = (*CANDIDATES, VOTE)
