"""LightGBM's text is read strictly: what would crash the library, or hold it up, is one line."""

import re
from pathlib import Path

import numpy as np
import pytest

from sts.base.types import Floats, Ints
from sts.tabular import trees as module
from sts.tabular.estimators import predict_logits
from sts.tabular.models import find_kind
from sts.tabular.tree_text import NotTrees, check_tree_text
from sts.tabular.trees import BoostedTrees, TreeSettings, load_trees

NAMES = ("a", "b", "c")


def text_of(X: Floats, y: Ints, settings: TreeSettings) -> str:
    trees = find_kind("lightgbm").fit(X, y, settings, seed=0, names=NAMES)
    assert isinstance(trees, BoostedTrees)
    return trees.text()


@pytest.fixture(scope="module")
def text() -> str:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.integers(0, 4, 200)
    X[::5, 1] = np.nan
    return text_of(X, y, TreeSettings(n_estimators=3))


def test_an_honest_model_passes_and_answers_as_it_did(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model.txt"
    path.write_text(text)
    cells = np.random.default_rng(1).normal(size=(30, 3))
    found = load_trees(path, text.encode(), NAMES)
    here = BoostedTrees.from_text(text)
    np.testing.assert_array_equal(predict_logits(found, cells), predict_logits(here, cells))


def test_trees_of_one_leaf_and_of_any_depth_pass() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    for least in (1, 25, 60):
        settings = TreeSettings(n_estimators=2, min_child_samples=least, max_depth=-1)
        honest = text_of(X, y, settings)
        assert check_tree_text(honest.encode(), NAMES) == honest


def change(text: str, name: str, value: str) -> str:
    """Change the first value of a line of the first tree, and its size with it."""
    begin = text.index("Tree=0")
    found = re.compile(rf"^{name}=(\S+)", re.MULTILINE).search(text, begin)
    assert found
    spoilt = text[: found.start(1)] + value + text[found.end(1) :]
    size = re.search(r"tree_sizes=(\d+)", spoilt)
    assert size
    grown = int(size[1]) + len(value) - len(found[1])
    return spoilt[: size.start(1)] + str(grown) + spoilt[size.end(1) :]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("left_child", "0", "leads nowhere, or back"),
        ("left_child", "99999", "leads nowhere, or back"),
        ("right_child", "-99999", "leads nowhere, or back"),
        ("left_child", "-2147483648", "too large"),
        ("split_feature", "3", "splits a feature that does not exist"),
        ("split_feature", "-1", "splits a feature that does not exist"),
        ("decision_type", "1", "decision_type"),
        ("num_leaves", "1000000000", "leaves"),
        ("num_leaves", "0", "leaves"),
        ("num_leaves", "5", "values, not"),
        ("num_cat", "1", "num_cat must be 0"),
        ("is_linear", "1", "is_linear must be 0"),
        ("leaf_value", "nan", "leaf_value must be numbers"),
        ("leaf_value", "1e999", "leaf_value must be finite"),
        ("leaf_value", "inf", "leaf_value must be numbers"),
        ("leaf_count", "-5", "do not add up"),
        ("internal_count", "1000", "do not add up"),
        ("threshold", "x", "threshold must be numbers"),
    ],
)
def test_a_tree_of_no_sense_is_refused(text: str, name: str, value: str, line: str) -> None:
    with pytest.raises(NotTrees, match=line):
        check_tree_text(change(text, name, value).encode(), NAMES)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("num_class=4", "num_class=2000000000"),
        ("num_class=4", "num_class=3"),
        ("num_tree_per_iteration=4", "num_tree_per_iteration=0"),
        ("max_feature_idx=2", "max_feature_idx=2000000000"),
        ("num_class:4", "num_class:2000000000"),
        ("objective=multiclass", "objective=binary"),
        ("version=v4", "version=v9"),
        ("tree_sizes=", "tree_sizes=1 "),
        ("tree_sizes=", "tree_sizes=-5 5 "),
        ("feature_names=a", "feature_names=z"),
        ("Tree=1\n", "Tree=7\n"),
        ("end of trees", "end of tree"),
        ("label_index=0", "label_index=0\nlabel_index=0"),
        ("pandas_categorical:null", "pandas_categorical:[[1]]"),
        ("[boosting: gbdt]", '[boosting: "}]'),
    ],
)
def test_a_header_or_an_end_of_no_sense_is_refused(text: str, old: str, new: str) -> None:
    assert old in text
    with pytest.raises(NotTrees) as told:
        check_tree_text(text.replace(old, new, 1).encode(), NAMES)
    assert str(told.value).isprintable()


def test_text_that_is_cut_off_or_none_is_refused(text: str) -> None:
    raw = text.encode()
    end = raw.index(b"end of trees")
    for content in (b"", b"tree", b"hello", raw[:100], raw[: end // 2], raw[:end], b"\xff" * 50):
        with pytest.raises(NotTrees):
            check_tree_text(content, NAMES)
    with pytest.raises(NotTrees, match="not UTF-8"):
        check_tree_text(raw.replace(b"feature_names=a", b"feature_names=\xff", 1), NAMES)


def test_what_kills_the_library_kills_the_sandbox_alone(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that the check would miss: the library meets it in a process apart first."""
    spoilt = change(text, "left_child", "99999999")
    path = tmp_path / "model.txt"
    path.write_text(spoilt)
    monkeypatch.setattr(module, "check_tree_text", lambda content, names: content.decode())
    with pytest.raises(NotTrees, match="LightGBM cannot load it"):
        load_trees(path, spoilt.encode(), NAMES)
