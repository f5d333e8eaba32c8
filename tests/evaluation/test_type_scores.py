"""Scores of a level: calls, sets and silence of the cells that are known as finely."""

import numpy as np
import pytest

from sts.base.types import Floats, Ints
from sts.evaluation.type_scores import (
    LevelAnswers,
    answer_level,
    score_answers,
    with_batch_shares,
)
from sts.evaluation.type_tree import TypeTree
from tests.evaluation.worlds import sum_up

TREE = TypeTree.from_labels(["Exc", "Inh > Sst > Sst a", "Inh > Sst > Sst b", "Inh > Vip > Vip c"])


def draw(count: int) -> tuple[Floats, Ints]:
    rng = np.random.default_rng(0)
    leaf = rng.integers(4, size=count)
    odds = np.exp(rng.normal(size=(count, 4)) + 2.0 * np.eye(4)[leaf])
    return sum_up(TREE, odds / odds.sum(axis=1, keepdims=True)), TREE.leaves[leaf]


PROBABILITIES, TRUTH = draw(3000)
# Some cells are known as inhibitory only, others by their subclass.
TRUTH[:200] = TREE.lift(TRUTH[:200], 1)
TRUTH[200:400] = TREE.lift(TRUTH[200:400], 2)
FOLDS = [np.arange(3000)[part::3] for part in range(3)]


def answers(depth: int, coverage: float = 0.9) -> LevelAnswers:
    return answer_level(PROBABILITIES, TRUTH, FOLDS, TREE, depth=depth, coverage=coverage)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_scores_are_shares_of_the_cells_known_as_finely(depth: int) -> None:
    found = answers(depth)
    level = TREE.level(depth)
    known = [cell for cell, node in enumerate(TRUTH) if TREE.lift(np.array([node]), depth)[0] >= 0]
    assert found.rows.tolist() == known
    called = level[PROBABILITIES[np.ix_(known, level)].argmax(axis=1)]
    right = called == TREE.lift(TRUTH[known], depth)
    scores = score_answers(found)
    assert scores.cells == len(known)
    assert scores.first.value == pytest.approx(right.mean())
    assert scores.first.value <= scores.among_few.value <= 1.0
    # Some 2,600 calibration cells and as many tested: two deviations of a share of .9 are .017.
    assert scores.held.value == pytest.approx(0.9, abs=0.02)
    # Of one data set, the most cautious sets are the others.
    assert (scores.cautious_held, scores.cautious_size) == (scores.held, scores.set_size)
    # Half of the wrong calls of the other folds lie below the threshold.
    assert scores.wrong_dropped == pytest.approx(0.5, abs=0.08)
    assert scores.right_dropped < scores.wrong_dropped


def test_a_higher_coverage_makes_larger_sets() -> None:
    low, high = (score_answers(answers(3, coverage)) for coverage in (0.8, 0.95))
    assert low.set_size < high.set_size
    assert low.held.value < high.held.value


def test_all_cells_are_their_groups_together() -> None:
    found = answers(3)
    groups = [score_answers(found, found.truth == each) for each in np.unique(found.truth)]
    whole = score_answers(found)
    assert sum(each.cells for each in groups) == whole.cells
    hits = sum(each.first.value * each.cells for each in groups)
    assert hits == pytest.approx(whole.first.value * whole.cells)
    assert whole.macro == pytest.approx(np.mean([each.first.value for each in groups]))


def test_class_frequencies_of_a_batch_are_estimated_without_labels() -> None:
    # Of the first data set only every tenth excitatory cell was recorded, of the second every
    # tenth inhibitory one; the classifier knows both together.
    is_excitatory = TREE.lift(TRUTH, 1) == TREE.level(1)[0]
    every_tenth = np.arange(len(TRUTH)) % 10 == 0
    parts = [np.flatnonzero(~is_excitatory | every_tenth), np.flatnonzero(is_excitatory)]
    parts[1] = np.concatenate([parts[1], np.flatnonzero(~is_excitatory & every_tenth)])
    rows, sources = np.concatenate(parts), np.repeat([0, 1], [len(part) for part in parts])
    order = np.random.default_rng(1).permutation(len(rows))
    rows, sources = rows[order], sources[order]
    folds = [np.arange(len(rows))[part::3] for part in range(3)]

    def score(in_batch: Floats | None) -> tuple[float, float]:
        found = answer_level(
            PROBABILITIES[rows], TRUTH[rows], folds, TREE, depth=1, in_batch=in_batch
        )
        scores = score_answers(found)
        return scores.first.value, scores.first_in_batch.value

    changed = with_batch_shares(
        PROBABILITIES[rows], TRUTH[rows], folds, TREE, depth=1, sources=sources
    )
    plain, in_batch = score(changed)
    assert in_batch > plain + 0.03
    assert score(None) == (plain, plain)


def test_few_cells_say_nothing_of_frequencies() -> None:
    rows = np.arange(57)
    folds = [rows[part::3] for part in range(3)]
    found = with_batch_shares(
        PROBABILITIES[rows], TRUTH[rows], folds, TREE, depth=1, sources=np.zeros(57, dtype=int)
    )
    np.testing.assert_array_equal(found, PROBABILITIES[rows])
