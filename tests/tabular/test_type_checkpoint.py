"""A stored tree of types answers as the fitted one, or says what is wrong with it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression

from sts.base.errors import StsError
from sts.base.types import Floats
from sts.evaluation.prediction_sets import calibrate_sets
from sts.tabular import stored_members
from sts.tabular.estimators import Prepared
from sts.tabular.gaussian_scores import GaussianScores
from sts.tabular.packed_trees import PackedTrees, pack_boosted
from sts.tabular.prototypes import find_limits, fit_prototypes, score_hidden
from sts.tabular.released import DIGESTS, load_released, save_released
from sts.tabular.stored_members import KINDS, StoredPool, store_members
from sts.tabular.trees import BoostedTrees
from sts.tabular.type_checkpoint import (
    ARRAYS,
    TypeCard,
    TypeModel,
    find_ranks,
    load_types,
    save_types,
    store_nodes,
)
from sts.tabular.type_classifier import TypeTreeClassifier
from sts.tabular.type_members import DenseNetworks, PooledClassifier, make_discriminant
from tests.base.tampering import sign

NAMES = ("vrest", "ri", "sag", "tau", "latency")
TYPES = (
    "Excitatory > Excitatory",
    "Inhibitory > Pvalb > Pvalb",
    "Inhibitory > Sst > Sst > Sst a",
    "Inhibitory > Sst > Sst > Sst b",
    "Inhibitory > Sst > Sst > Sst c",
)


def make_members() -> PooledClassifier:
    """Return small members of every kind that can be stored."""
    boosted = BoostedTrees(n_estimators=5, min_child_samples=3, learning_rate=0.3)
    forest = Prepared(GaussianScores(), ExtraTreesClassifier(5, min_samples_leaf=2, random_state=0))
    regression = Prepared(GaussianScores(), LogisticRegression())
    networks = Prepared(GaussianScores(), DenseNetworks(count=2, units=8))
    return PooledClassifier(members=(boosted, forest, make_discriminant(), regression, networks))


def draw(count: int, seed: int = 0) -> tuple[Floats, Any]:
    """Return cells of five types; a tenth of the values is missing."""
    rng = np.random.default_rng(seed)
    leaf = rng.integers(len(TYPES), size=count)
    X = rng.normal(size=(count, len(NAMES))) + 4.0 * np.eye(len(TYPES))[leaf]
    X[rng.random(X.shape) < 0.1] = np.nan
    return X, np.array(TYPES)[leaf]


X, y = draw(300)
NEW = np.vstack([draw(60, seed=1)[0], np.full((1, len(NAMES)), np.nan)])


@pytest.fixture(scope="module")
def fitted() -> TypeTreeClassifier:
    masks = np.array([[False, False, False, True, True]])
    return TypeTreeClassifier(estimator=make_members(), masks=masks).fit(X, y)


@pytest.fixture(scope="module")
def model(fitted: TypeTreeClassifier) -> TypeModel:
    tree = fitted.tree_
    nodes, masks = tree.find_nodes(y), np.zeros((2, len(NAMES)), bool)
    masks[1, 3:] = True
    prototypes = fit_prototypes(X, nodes, tree)
    levels = range(1, int(tree.depths.max()) + 1)
    card = TypeCard(names=NAMES, types=tree.labels, depths=tuple(levels))
    said = [fitted.node_probabilities(np.where(mask, np.nan, X)) for mask in masks]
    return TypeModel(
        card=card,
        nodes=store_nodes(fitted),
        sets=tuple(
            tuple(calibrate_sets(each, nodes, tree, depth=depth) for depth in levels)
            for each in said
        ),
        prototypes=prototypes,
        unlike=find_limits(masks, score_hidden(prototypes, X, masks), 95.0),
        ranks=find_ranks(X),
    )


@pytest.fixture
def stored(tmp_path: Path, model: TypeModel) -> Iterator[Path]:
    folder = tmp_path / "tree"
    save_types(folder, model)
    yield folder


def test_stored_members_answer_as_the_fitted_ones(fitted: TypeTreeClassifier) -> None:
    pool = fitted.estimators_[fitted.tree_.paths.index(("Inhibitory",))]
    kept = store_members(pool)
    # The pool, and one member of every kind alone.
    assert set(kept.kinds[1:]) == set(KINDS)
    again = StoredPool.of(kept.kinds, kept.arrays(), len(NAMES), 2)
    # Sums in another order differ in the last digits.
    assert np.abs(again.predict_proba(NEW) - pool.predict_proba(NEW)).max() < 1e-12
    for member, stored_member in zip(pool.members_, again.members, strict=True):
        gaps = stored_member.predict_proba(NEW) - member.predict_proba(NEW)
        assert np.abs(gaps).max() < 1e-12, type(member).__name__


def test_a_classifier_without_a_kind_cannot_be_stored() -> None:
    with pytest.raises(ValueError, match="needs a kind in KINDS"):
        store_members(LogisticRegression().fit(np.nan_to_num(X), y))


def test_every_list_of_nodes_is_sound_trees_or_refused() -> None:
    trees, _ = pack_boosted(BoostedTrees(n_estimators=3, min_child_samples=3).fit(X, y))
    arrays = {**trees.arrays(), "trees": np.array(len(trees.roots))}
    rng = np.random.default_rng(0)
    accepted = 0
    for _ in range(200):
        changed = arrays["is_leaf"].copy()
        changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
        try:
            found = PackedTrees.of({**arrays, "is_leaf": changed}, len(NAMES))
        except StsError:
            continue
        accepted += 1
        leaves = found.find_leaves(NEW)
        assert (leaves >= 0).all()
        assert (leaves < found.is_leaf.sum()).all()
    # Both happen: two flips of bits can make another tree of as many nodes.
    assert accepted < 200


def test_a_stored_tree_answers_as_before(
    stored: Path, model: TypeModel, fitted: TypeTreeClassifier
) -> None:
    again = load_types(stored)
    said = again.node_probabilities(NEW)
    # The last share of a leaf is what the others leave: the last digit may differ.
    assert np.abs(said - model.node_probabilities(NEW)).max() < 1e-12
    assert np.abs(said - fitted.node_probabilities(NEW)).max() < 1e-12
    for one, other in zip(
        again.find_sets(NEW, said, 0.9), model.find_sets(NEW, said, 0.9), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        again.measure_unlike(NEW).scores, model.measure_unlike(NEW).scores
    )
    assert {path.name for path in stored.iterdir()} == {"model.json", ARRAYS}


def test_no_row_of_the_training_cells_is_stored(model: TypeModel) -> None:
    rows = {row.tobytes() for row in np.nan_to_num(X)}
    scaled = (X - model.prototypes.centre) / model.prototypes.spread
    rows |= {row.tobytes() for row in np.nan_to_num(np.arcsinh(scaled))}
    kept = [*model.prototypes.means, *model.ranks.percentiles]
    assert not rows & {np.ascontiguousarray(row).tobytes() for row in kept}


@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_damage_of_the_arrays_is_found(stored: Path, harm: str) -> None:
    path = stored / ARRAYS
    raw = bytearray(path.read_bytes())
    if harm == "gone":
        path.unlink()
    else:
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw if harm == "flip" else raw[:-100])
    with pytest.raises(StsError, match="train it again with"):
        load_types(stored)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"format": "sts-types 0"}, "no card of format"),
        ({"sha256": {}}, "contradicts itself"),
        ({"names": ["vrest", "tau"]}, "does not|do not|doesn't|that does not exist"),
        ({"names": ["vrest", "vrest"]}, "one twice"),
        ({"types": ["", "Inhibitory > Sst"]}, "no tree"),
        ({"types": [""] * 3000}, "too many"),
        ({"members": {}}, "nodes that branch"),
        ({"depths": [1]}, "depths of its tree"),
        ({"coverage": 2.0}, "at most 1"),
    ],
)
def test_a_card_that_contradicts_its_files_is_refused(
    stored: Path, changed: dict[str, Any], line: str
) -> None:
    path = stored / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(StsError, match=line):
        load_types(stored)


def test_arrays_that_do_not_fit_are_refused(stored: Path) -> None:
    path = stored / ARRAYS
    whole = safetensors.numpy.load(path.read_bytes())
    for name in whole:
        changed = np.ascontiguousarray(np.atleast_1d(whole[name])[:-1])
        path.write_bytes(safetensors.numpy.save({**whole, name: changed}))
        sign(stored, ARRAYS)
        with pytest.raises(StsError):
            load_types(stored)


def test_a_release_is_checked_against_its_digests(tmp_path: Path, model: TypeModel) -> None:
    folder = tmp_path / "released"
    given = save_released(folder, model, "# Card\n")
    assert load_released(folder).card == given.card
    # It is replaced, and nothing else of the folder goes.
    save_released(folder, replace(model, card=replace(model.card, seed=1)), "# Other\n")
    assert load_released(folder).card.seed == 1
    assert len(list(tmp_path.iterdir())) == 1
    for name in ("MODEL_CARD.md", "model.json", ARRAYS, DIGESTS):
        path = folder / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"!")
        with pytest.raises(StsError, match="install the package again"):
            load_released(folder)
        path.unlink()
        with pytest.raises(StsError, match=rf"lacks .*{name}: install"):
            load_released(folder)
        path.write_bytes(content)
    load_released(folder)


def test_kinds_are_named_in_files_as_they_are_here() -> None:
    assert set(stored_members.KINDS) == {
        "boosted trees",
        "forest",
        "linear functions",
        "networks",
    }
