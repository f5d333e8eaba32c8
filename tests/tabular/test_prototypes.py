"""Prototypes measure in the features that a cell has, and know what is unlike them."""

import numpy as np
import pytest

from sts.evaluation.type_tree import TypeTree
from sts.tabular.prototypes import Prototypes, find_limits, fit_prototypes, score_hidden

TREE = TypeTree.from_labels(["A > A1", "A > A2", "B > B1"])
RNG = np.random.default_rng(0)
NODES = TREE.find_nodes(np.repeat(["A > A1", "A > A2", "B > B1"], 200).tolist())
X = RNG.normal(size=(600, 8)) + 3.0 * np.eye(8)[np.repeat([0, 1, 2], 200)]


@pytest.fixture(scope="module")
def prototypes() -> Prototypes:
    return fit_prototypes(X, NODES, TREE)


def test_a_cell_is_nearest_to_the_prototype_of_its_type(prototypes: Prototypes) -> None:
    nearest = prototypes.nodes[prototypes.scores(X).argmin(axis=1)]
    # Types are more than four deviations apart.
    assert (nearest == NODES).mean() > 0.95


def test_the_score_does_not_grow_with_the_features_that_are_known(prototypes: Prototypes) -> None:
    masks = np.zeros((3, 8), bool)
    masks[1, 3:] = True
    masks[2, 5:] = True
    medians = np.median(score_hidden(prototypes, X, masks), axis=1)
    # A normal score; tails are compressed, which makes all cells a little more typical.
    assert np.abs(medians).max() < 1.0


def test_a_strange_cell_is_beyond_the_limit_of_its_features(prototypes: Prototypes) -> None:
    masks = np.zeros((2, 8), bool)
    masks[1, 3:] = True
    rule = find_limits(masks, score_hidden(prototypes, X, masks), 95.0)
    strange = np.full((2, 8), 30.0)
    strange[1, 3:] = np.nan
    assert rule.nearest_masks(strange).tolist() == [0, 1]
    assert (rule.excess(strange, prototypes.scores(strange)) > 0).all()
    own = rule.excess(X, prototypes.scores(X))
    # 95 % of these cells set the limit.
    assert (own > 0).mean() == pytest.approx(0.05, abs=0.01)


def test_a_cell_without_features_is_unlike_all(prototypes: Prototypes) -> None:
    assert (prototypes.scores(np.full((1, 8), np.nan)) > 1e3).all()


def test_a_type_of_few_cells_has_no_prototype() -> None:
    nodes = NODES.copy()
    nodes[3:200] = TREE.find_nodes(["A"])[0]
    found = fit_prototypes(X, nodes, TREE).nodes
    assert TREE.find_nodes(["A > A1"])[0] not in found
    assert TREE.find_nodes(["A"])[0] in found
