"""The comparison of classifiers of tables: what is refused, and what is paired with what."""

import argparse
import importlib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sts.augment.neurons import Neurons
from sts.augment.tasks import SplitGroups, Task
from sts.base.errors import StsError
from tests.conftest import REPOSITORY


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    return importlib.import_module("tables")


def test_a_foundation_model_without_its_weights_is_one_line(tables: ModuleType) -> None:
    with pytest.raises(StsError, match="tabicl needs a file of its weights by --checkpoint"):
        tables._choose_candidates(["lda", "tabicl"], None)
    with pytest.raises(StsError, match="name one of tabpfn and tabicl"):
        tables._choose_candidates(["tabpfn", "tabicl"], None)
    with pytest.raises(StsError, match="did you mean 'catboost'"):
        tables._choose_candidates(["catbost"], None)


def test_classes_without_a_training_row_get_the_floor(tables: ModuleType) -> None:
    candidates = importlib.import_module("tables_candidates")
    spread = candidates.spread_classes(np.array([[0.25, 0.75]]), np.array([0, 2]), 3)
    assert spread[0] == pytest.approx([0.25, 0.0, 0.75], abs=1e-3)
    assert spread[0, 1] > 0
    assert spread.sum() == pytest.approx(1.0)


def row(candidate: str, fold: int, value: float) -> dict[str, Any]:
    place = {"task": "e", "candidate": candidate, "repeat": 0, "fold": fold}
    scores = {"accuracy": value, "macro_f1": value}
    return {**place, **scores, "seconds": 1.0, "megabytes": 20, "rows": [80, 20]}


def test_candidates_are_compared_on_the_same_folds(tables: ModuleType) -> None:
    rows = [row("lightgbm", fold, value) for fold, value in enumerate((0.2, 0.5, 0.8))]
    rows += [row("tabm", fold, value) for fold, value in enumerate((0.31, 0.6, 0.89))]
    reference, other = tables.summarise(rows, "lightgbm")
    assert reference[:2] == ["e", "lightgbm"]
    # Folds differ far more than candidates do, and cancel.
    assert other[4].startswith("0.100 [0.0")
    assert other[5] == "helps, helps"


def test_candidates_are_compared_by_the_score_that_is_named(tables: ModuleType) -> None:
    rows = [{**row("lightgbm", fold, 0.5), "top_3": 0.7 + fold / 10} for fold in range(3)]
    rows += [{**row("tabm", fold, 0.5), "top_3": 0.8 + fold / 9} for fold in range(3)]
    _, other, *more = tables.summarise([*rows, row("svm", 0, 0.5)], "lightgbm", "top_3")
    assert other[4].startswith("0.911 [")
    assert other[5].startswith("0.111 [")
    assert not more, "a candidate without that score"


def test_a_class_is_among_the_first_unless_as_many_are_above_it(tables: ModuleType) -> None:
    probabilities = np.array([[0.1, 0.2, 0.3, 0.4]] * 4)
    counts = [tables.count_among_first(probabilities, np.arange(4), first) for first in (1, 3, 4)]
    assert counts == [1, 3, 4]


def test_one_division_has_no_interval(tables: ModuleType) -> None:
    one, other = tables.summarise([row("lightgbm", 0, 0.2), row("tabm", 0, 0.31)], "lightgbm")
    assert one[2:5] == ["0.200", "0.200", ""]
    assert other[3:6] == ["0.310", "0.110", "no verdict, no verdict"]


def test_voters_that_are_fitted_are_not_fitted_again(
    tables: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[str] = []

    def fit(name: str, rows: Any) -> tuple[Any, float, float]:
        fitted.append(name)
        return np.array([[0.2, 0.8]]), 2.0, 5.0

    monkeypatch.setattr(tables, "fit", fit)
    known = {"svm": (np.array([[0.2, 0.8]]), 1.0, 9.0)}
    probabilities, seconds, megabytes = tables.vote(None, known)
    assert sorted(fitted) == ["extra-trees", "lda", "lightgbm"]
    assert probabilities == pytest.approx(np.array([[0.2, 0.8]]))
    assert (seconds, megabytes) == (7.0, 9.0)
    assert tables.vote(None, {"svm": "no memory"}) == "no memory"


def make_task(shift: float = 0.0) -> Task:
    """Return a task of 60 neurons in two classes."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 30)
    ids = np.array([f"{number:02}" for number in range(60)])
    labels = np.array(["Exc_1", "Inh_1"])[y]
    return Task(
        name="e",
        title="E",
        neurons=Neurons(
            specimen_id=ids,
            group=ids,
            y=y,
            X=rng.normal(size=(60, 3)) + y[:, None] + shift,
            names=("tau", "ri", "sag"),
            classes=("Exc_1", "Inh_1"),
        ),
        groups=SplitGroups(group=ids, stratum=labels, label=labels),
        left_out={},
    )


def make_arguments(out: Path, *candidates: str, **given: Any) -> argparse.Namespace:
    usual = {"data": Path(), "features": "curated", "folds": 3, "repeats": 1, "tune": False}
    usual |= {"task": ["e"], "score": ["macro_f1"], "checkpoint": None, "seed": 0}
    return argparse.Namespace(**{**usual, "out": out, "candidates": candidates, **given})


def test_scores_of_other_data_or_weights_are_computed_again(
    tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[str] = []

    def fit(name: str, rows: Any) -> tuple[Any, float, float]:
        fitted.append(name)
        return np.tile([0.2, 0.8], (len(rows.prepared.scored), 1)), 2.0, 5.0

    monkeypatch.setattr(tables, "fit", fit)
    weights = tmp_path / "weights"
    given = {"checkpoint": weights}
    out = tmp_path / "tables.json"
    for task, content, computed in (
        (make_task(), b"1", ["lda", "tabicl"] * 3),
        (make_task(), b"1", []),
        (make_task(), b"2", ["tabicl"] * 3),
        (make_task(shift=0.5), b"2", ["lda", "tabicl"] * 3),
    ):
        weights.write_bytes(content)
        monkeypatch.setattr(tables, "read_task", lambda *_, task=task: task)
        fitted.clear()
        rows = tables.run(make_arguments(out, "lda", "tabicl", **given))
        assert fitted == computed
        assert len(rows) == 6


def test_the_recall_of_a_class_that_no_task_has_is_refused(
    tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "read_task", lambda *_: make_task())
    asked = make_arguments(tmp_path / "tables.json", "lda", score=["recall_Exc_7"])
    with pytest.raises(StsError, match=r"mean 'recall_Exc_1'.*accuracy.*recall_Inh_1, top_3$"):
        tables.run(asked)


def test_a_tree_of_e_types_names_its_leaves(tables: ModuleType) -> None:
    candidates = importlib.import_module("tables_candidates")
    rng = np.random.default_rng(0)
    names = ("Exc_2", "Inh_2", "Inh_10")
    y = rng.integers(3, size=150)
    X = rng.normal(size=(150, 4)) + 5.0 * np.eye(4)[y]
    rows = SimpleNamespace(
        names=names, classes=3, seed=0, y=y[:100], missing=X[:100], scored_missing=X[100:]
    )
    found = candidates.predict_tree(rows)
    assert (found.argmax(axis=1) == y[100:]).mean() > 0.9
