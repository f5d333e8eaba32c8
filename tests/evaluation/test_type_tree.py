"""A tree of types holds every label once, and probabilities agree on all its levels."""

import numpy as np
import pytest

from sts.evaluation.type_tree import ROOT, TypeTree

LABELS = (
    "Inhibitory > Sst > Sst Chodl",
    "Inhibitory > Sst > Sst Hpse",
    "Inhibitory > Pvalb",
    "Excitatory",
    "Inhibitory",
)
TREE = TypeTree.from_labels(LABELS)


def test_a_tree_holds_every_label_and_its_ancestors_once_parents_first() -> None:
    assert TREE.labels == (
        "",
        "Excitatory",
        "Inhibitory",
        "Inhibitory > Pvalb",
        "Inhibitory > Sst",
        "Inhibitory > Sst > Sst Chodl",
        "Inhibitory > Sst > Sst Hpse",
    )
    assert TREE.parents.tolist() == [-1, 0, 0, 2, 2, 4, 4]
    assert TREE.leaves.tolist() == [1, 3, 5, 6]
    assert TREE.children(2).tolist() == [3, 4]


def test_the_order_of_labels_does_not_matter() -> None:
    assert TypeTree.from_labels(reversed(LABELS)) == TREE


@pytest.mark.parametrize("paths", [((), ("a", "b")), ((), ("a",), ("a",)), (("a",),), ((),)])
def test_what_is_no_tree_is_refused(paths: tuple[tuple[str, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r"node|root"):
        TypeTree(paths=paths)


def test_a_level_holds_every_leaf_once() -> None:
    for depth in (1, 2, 3, 4):
        level = TREE.level(depth)
        assert (TREE.contains[np.ix_(level, TREE.leaves)].sum(axis=0) == 1).all()
    assert [TREE.labels[node] for node in TREE.level(2)] == [
        "Excitatory",
        "Inhibitory > Pvalb",
        "Inhibitory > Sst",
    ]


def test_a_label_that_is_not_there_is_its_nearest_ancestor() -> None:
    wanted = ["Inhibitory > Sst > Sst Nr2f2", "Inhibitory > Vip > Vip Gpc3", "Glia", ""]
    assert TREE.find_nodes(wanted).tolist() == [4, 2, ROOT, ROOT]
    assert TREE.find_nodes(TREE.labels).tolist() == list(range(len(TREE)))


def test_a_node_is_lifted_to_its_ancestor_and_not_lowered() -> None:
    nodes = np.array([5, 4, 3, 2, 1, 0])
    assert TREE.lift(nodes, 1).tolist() == [2, 2, 2, 2, 1, -1]
    assert TREE.lift(nodes, 2).tolist() == [4, 4, 3, -1, 1, -1]
    # Pvalb and Excitatory are leaves above the depth: nothing finer is there.
    assert TREE.lift(nodes, 3).tolist() == [5, -1, 3, -1, 1, -1]


def test_new_probabilities_of_a_level_reach_all_nodes() -> None:
    rng = np.random.default_rng(3)
    leaves = rng.dirichlet(np.ones(len(TREE.leaves)), size=20)
    before = leaves @ TREE.contains[:, TREE.leaves].T
    wanted = rng.dirichlet(np.ones(3), size=20)
    after = TREE.with_level(before, wanted, 2)
    np.testing.assert_allclose(after[:, TREE.level(2)], wanted)
    np.testing.assert_allclose(after, after[:, TREE.leaves] @ TREE.contains[:, TREE.leaves].T)
    np.testing.assert_allclose(after[:, 5] / after[:, 4], before[:, 5] / before[:, 4])
