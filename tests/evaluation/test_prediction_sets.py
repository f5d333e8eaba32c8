"""Sets hold the true type as often as they promise, and agree on all levels of a tree."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom

from sts.base.types import Floats, Ints
from sts.evaluation.calibration import form_sets
from sts.evaluation.prediction_sets import (
    FEWEST_OF_SOURCE,
    calibrate_sets,
    common_nodes,
    safe_answers,
)
from sts.evaluation.type_tree import ROOT, TypeTree
from tests.evaluation.worlds import sum_up

TREE = TypeTree.from_labels(
    [
        "Excitatory",
        "Inhibitory > Pvalb",
        *(f"Inhibitory > Sst > Sst {name}" for name in "abc"),
        *(f"Inhibitory > Vip > Vip {name}" for name in "de"),
    ]
)
LEAVES = len(TREE.leaves)


def draw(count: int, seed: int) -> tuple[Floats, Ints]:
    """Return probabilities of the nodes of cells and the leaf of each; neither is quite right."""
    rng = np.random.default_rng(seed)
    leaf = rng.choice(LEAVES, size=count, p=[0.25, 0.2, 0.15, 0.1, 0.05, 0.15, 0.1])
    logits = rng.normal(size=(count, LEAVES)) + 2.0 * np.eye(LEAVES)[leaf]
    # Sst is known badly: a guarantee for all classes together would not hold for it.
    logits[np.isin(leaf, (2, 3, 4))] *= 0.3
    odds = np.exp(logits)
    return sum_up(TREE, odds / odds.sum(axis=1, keepdims=True)), TREE.leaves[leaf]


CALIBRATION, TRUTH = draw(3000, 0)
CELLS, CELLS_TRUTH = draw(6000, 1)


def test_p_values_are_shares_of_the_calibration_cells_of_the_class() -> None:
    tree = TypeTree.from_labels(["A", "B"])
    calibration = np.array([[1.0, 0.9, 0.1], [1.0, 0.7, 0.3], [1.0, 0.2, 0.8]])
    made = calibrate_sets(calibration, np.array([1, 1, 2]), tree, depth=1)
    found = made.p_values(np.array([[1.0, 0.8, 0.2], [1.0, 0.1, 0.9]]))
    # Of class A one of two calibration cells is less probable than .8, none less than .1.
    assert np.allclose(found, [[2 / 3, 1 / 2], [1 / 3, 2 / 2]])


def test_a_class_without_calibration_cells_is_never_excluded() -> None:
    tree = TypeTree.from_labels(["A", "B"])
    made = calibrate_sets(np.array([[1.0, 0.9, 0.1]]), np.array([1]), tree, depth=1)
    assert made.p_values(np.array([[1.0, 1.0, 0.0]]))[0, 1] == 1.0


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_coverage_lies_in_the_binomial_interval_for_every_group(
    depth: int, coverage: float
) -> None:
    made = calibrate_sets(CALIBRATION, TRUTH, TREE, depth=depth, group_depth=2)
    sets = form_sets(made.p_values(CELLS), coverage)
    truth = np.searchsorted(made.level, TREE.lift(CELLS_TRUTH, depth))
    held = sets[np.arange(len(truth)), truth]
    groups = TREE.lift(CELLS_TRUTH, min(depth, 2))
    calibrated = TREE.lift(TRUTH, min(depth, 2))
    for group in np.unique(groups):
        own = held[groups == group]
        # Calibration cells are a sample too: their number is what limits how exact this can be.
        effective = 1 / (1 / len(own) + 1 / (calibrated == group).sum())
        low, high = binom.ppf([0.001, 0.999], int(effective), coverage) / effective
        assert low <= own.mean() <= high + 1 / (calibrated == group).sum()


def test_coverage_is_exact_on_average_over_calibrations() -> None:
    # With n calibration cells it is ceil((n + 1) c) / (n + 1) without ties: 10 / 11 here.
    rng = np.random.default_rng(2)
    held = []
    tree = TypeTree.from_labels(["A"])
    for _ in range(4000):
        numbers = np.column_stack([np.ones(11), rng.random(11)])
        made = calibrate_sets(numbers[1:], np.ones(10, np.int64), tree, depth=1)
        found = made.p_values(numbers[:1])
        held.append(bool(form_sets(found, 0.9)[0, 0]))
    low, high = binom.ppf([0.001, 0.999], len(held), 10 / 11)
    assert low <= sum(held) <= high


def test_a_higher_coverage_never_takes_a_type_out() -> None:
    p_values = calibrate_sets(CALIBRATION, TRUTH, TREE, depth=3).p_values(CELLS)
    sets = [form_sets(p_values, coverage) for coverage in (0.5, 0.8, 0.9, 0.99)]
    sizes = [each.sum() for each in sets]
    assert all((lower <= upper).all() for lower, upper in itertools.pairwise(sets))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_larger_sets_never_end_deeper() -> None:
    p_values = calibrate_sets(CALIBRATION, TRUTH, TREE, depth=3).p_values(CELLS)
    before = None
    for coverage in (0.5, 0.8, 0.9):
        sets = form_sets(p_values, coverage)
        ends = common_nodes(TREE, sets, depth=3)
        if before is not None:
            # Where more types are possible, a cell ends at the same node or at one above it.
            there = before != ROOT
            assert TREE.contains[ends[there], before[there]].all()
        before = ends


def test_a_cell_ends_at_the_deepest_node_that_holds_its_set() -> None:
    level = [TREE.labels[node].split(" > ")[-1] for node in TREE.level(3)]
    sets = np.array([[name in wanted for name in level] for wanted in (
        {"Sst a"}, {"Sst a", "Sst c"}, {"Sst a", "Vip d"}, {"Sst a", "Excitatory"}, set()
    )])  # fmt: skip
    ends = [TREE.labels[node] for node in common_nodes(TREE, sets, depth=3)]
    assert ends == ["Inhibitory > Sst > Sst a", "Inhibitory > Sst", "Inhibitory", "", ""]


def test_cells_known_less_finely_calibrate_the_levels_above_alone() -> None:
    truth = TRUTH.copy()
    truth[::2] = TREE.lift(truth[::2], 2)
    finest = calibrate_sets(CALIBRATION, truth, TREE, depth=3)
    above = calibrate_sets(CALIBRATION, truth, TREE, depth=2)
    assert len(finest.known) < len(above.known) == len(truth)
    whole = calibrate_sets(CALIBRATION, TRUTH, TREE, depth=2)
    assert np.array_equal(above.p_values(CELLS), whole.p_values(CELLS))


@pytest.mark.parametrize("coverage", [0.0, 1.0, 90.0])
def test_a_coverage_that_is_none_is_refused(coverage: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        form_sets(np.ones((1, 2)), coverage)


def test_the_safe_answer_goes_down_while_the_set_is_one_type() -> None:
    tree = TypeTree.from_labels(["A > A1", "A > A2", "B > B1"])
    top, fine = [tree.labels[node] for node in tree.level(1)], tree.level(2)
    assert top == ["A", "B"]
    first = np.array([[1, 0], [1, 0], [1, 1], [0, 0], [1, 0], [1, 0]], dtype=bool)
    second = np.array(
        [[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=bool
    )
    assert len(fine) == 3
    found = [tree.labels[node] for node in safe_answers(tree, [first, second])]
    # One type; two of A; two sides; no side, but one type; sides that disagree; an empty set.
    assert found == ["A > A1", "A", "", "A > A1", "A", "A"]


def draw_two_sets(count: int, seed: int) -> tuple[Floats, Ints, Ints]:
    """Return cells of two data sets; two of five labels in the second are wrong."""
    nodes, truth = draw(count, seed)
    rng = np.random.default_rng(seed)
    sources = rng.integers(2, size=count)
    wrong = (sources == 1) & (rng.random(count) < 0.4)
    truth[wrong] = rng.permutation(truth[wrong])
    return nodes, truth, sources


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_coverage_holds_in_every_data_set(depth: int) -> None:
    calibration, truth, sources = draw_two_sets(6000, 0)
    cells, cells_truth, own = draw_two_sets(6000, 1)
    made = calibrate_sets(calibration, truth, TREE, depth=depth, group_depth=2, sources=sources)
    places = np.searchsorted(made.level, TREE.lift(cells_truth, depth))
    held = {
        name: form_sets(p_values)[np.arange(len(places)), places]
        for name, p_values in (
            ("known", made.p_values(cells, own)),
            ("unknown", made.p_values(cells)),
            ("pooled", calibrate_sets(calibration, truth, TREE, depth=depth).p_values(cells)),
        )
    }
    for source in (0, 1):
        # Some 3,000 calibration cells and as many tested.
        assert held["known"][own == source].mean() == pytest.approx(0.9, abs=0.02)
        assert held["unknown"][own == source].mean() > 0.88
    assert min(held["pooled"][own == source].mean() for source in (0, 1)) < 0.87


def test_few_cells_of_a_data_set_are_calibrated_with_all_others() -> None:
    sources = np.zeros(len(TRUTH), dtype=np.int64)
    rare = np.concatenate(
        [np.flatnonzero(leaf == TRUTH)[: FEWEST_OF_SOURCE - 1] for leaf in np.unique(TRUTH)]
    )
    sources[rare] = 1
    pooled = calibrate_sets(CALIBRATION, TRUTH, TREE, depth=3)
    made = calibrate_sets(CALIBRATION, TRUTH, TREE, depth=3, sources=sources)
    own = np.ones(len(CELLS), dtype=np.int64)
    assert np.array_equal(made.p_values(CELLS, own), pooled.p_values(CELLS))
    assert (made.p_values(CELLS) >= pooled.p_values(CELLS)).all()
