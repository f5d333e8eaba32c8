"""No neuron stands on both sides, classes are spread evenly, and tasks share their splits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sts.augment import tasks
from sts.augment.grid import choose_fold_count, deal_groups, divide_neurons, divide_training_rows
from sts.augment.tasks import SplitGroups, Task
from sts.base.errors import StsError
from tests.augment.tables import blobs, simulated_task


def groups_of(strata: list[str], labels: list[str]) -> SplitGroups:
    groups = np.array([f"g{number}" for number in range(len(labels))])
    return SplitGroups(group=groups, stratum=np.array(strata), label=np.array(labels))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("folds", [3, 4, 5])
def test_strata_and_classes_are_as_even_as_can_be(seed: int, folds: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice(["a", "b", "c"], 101, p=[0.7, 0.25, 0.05]).tolist()
    strata = [f"{label}|{rng.random() < 0.3}" for label in labels]
    groups = groups_of(strata, labels)
    dealt = deal_groups(groups, folds, rng)
    fold = np.array([dealt[group] for group in groups.group])
    for kinds in (strata, labels):
        for kind in set(kinds):
            counts = np.bincount(fold[np.array(kinds) == kind], minlength=folds)
            assert counts.max() - counts.min() <= 1, kind


def test_the_same_seed_deals_the_same_and_another_does_not() -> None:
    groups = groups_of(["a"] * 30, ["a"] * 30)
    first, again, other = (deal_groups(groups, 3, np.random.default_rng(s)) for s in (1, 1, 2))
    assert first == again != other


def overlap(task: Task, protocol: str = "cv") -> int:
    """Return how many groups stand on both sides of some division."""
    groups = task.neurons.group
    return sum(
        len(set(groups[row.fit].tolist()) & set(groups[row.scored].tolist()))
        for row in divide_neurons(task, protocol, folds=3, repeats=2, seed=0)
    )


@pytest.mark.parametrize("protocol", ["cv", "paper"])
def test_no_specimen_is_on_both_sides(tmp_path: Path, protocol: str) -> None:
    task = simulated_task(tmp_path, "me")
    # Each neuron twice, as in the published table: equal values are one group.
    order = np.repeat(np.arange(len(task.neurons)), 2)
    twice = replace(task, neurons=task.neurons.rows(order))
    assert overlap(twice, protocol) == 0
    # The same check sees a leak where there is one: groups that are rows.
    rows = np.array([f"row {number}" for number in range(len(order))])
    leaky = replace(
        twice,
        neurons=replace(twice.neurons, group=rows),
        groups=groups_of(["x"] * len(rows), ["x"] * len(rows)),
    )
    leaky = replace(leaky, groups=replace(leaky.groups, group=rows))
    sides = divide_neurons(leaky, protocol, folds=3, repeats=1, seed=0)[0]
    ids = leaky.neurons.specimen_id
    assert set(ids[sides.fit].tolist()) & set(ids[sides.scored].tolist())


def test_all_neurons_are_scored_once_a_repeat(tmp_path: Path) -> None:
    task = simulated_task(tmp_path)
    for repeat in range(2):
        folds = divide_neurons(task, "cv", folds=4, repeats=2, seed=0)[4 * repeat : 4 * repeat + 4]
        scored = np.concatenate([row.scored for row in folds])
        assert sorted(scored.tolist()) == list(range(len(task.neurons)))
        assert all(row.repeat == repeat for row in folds)


@pytest.mark.parametrize("protocol", ["cv", "paper"])
def test_neurons_on_which_settings_were_chosen_are_trained_on_and_never_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    chosen = np.sort(simulated_task(tmp_path).neurons.group)[::7]
    monkeypatch.setattr(tasks, "read_tuning_groups", lambda: frozenset(chosen.tolist()))
    task = simulated_task(tmp_path)
    tuned = np.flatnonzero(np.isin(task.neurons.group, chosen))
    scored = []
    for division in divide_neurons(task, protocol, folds=3, repeats=1, seed=0):
        assert np.isin(tuned, division.fit).all()
        scored += division.scored.tolist()
    assert scored
    assert not set(scored) & set(tuned.tolist())
    if protocol == "cv":
        assert len(scored) == len(task.neurons) - len(tuned)


def test_e_and_me_share_their_splits(tmp_path: Path) -> None:
    e, me = simulated_task(tmp_path), simulated_task(tmp_path, "me")
    for one, other in zip(
        *(divide_neurons(each, "cv", folds=3, repeats=2, seed=5) for each in (e, me)), strict=True
    ):
        held_out = set(e.neurons.specimen_id[one.scored].tolist())
        with_morphology = set(me.neurons.specimen_id.tolist())
        assert set(me.neurons.specimen_id[other.scored].tolist()) == held_out & with_morphology


def test_the_paper_holds_one_in_five_out_and_repeats_it(tmp_path: Path) -> None:
    task = simulated_task(tmp_path)
    found = divide_neurons(task, "paper", folds=3, repeats=5, seed=0)
    assert [row.repeat for row in found] == list(range(5))
    assert all(np.array_equal(row.scored, found[0].scored) for row in found)
    assert len(found[0].scored) == pytest.approx(len(task.neurons) / 5, abs=3)


@pytest.mark.parametrize(("rarest", "folds"), [(1, 3), (3, 3), (4, 4), (5, 5), (40, 5)])
def test_the_rarest_class_decides_how_many_folds(tmp_path: Path, rarest: int, folds: int) -> None:
    task = replace(simulated_task(tmp_path), neurons=blobs((50, rarest)))
    assert choose_fold_count(task) == folds


def test_too_few_folds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StsError, match="--folds must be at least 3"):
        divide_neurons(simulated_task(tmp_path), "cv", folds=2, repeats=1, seed=0)


def test_too_few_neurons_are_told_with_how_many_differ(tmp_path: Path) -> None:
    task = simulated_task(tmp_path)
    alike = replace(task.neurons, group=np.full(len(task.neurons), "g0"))
    groups = groups_of(["a"], ["a"])
    with pytest.raises(StsError, match="240 neurons, 1 of them with different values"):
        divide_neurons(
            replace(task, neurons=alike, groups=groups), "cv", folds=3, repeats=1, seed=0
        )


def test_nested_folds_stay_within_the_rows() -> None:
    y = np.repeat([0, 1], [9, 5])
    for fit, scored in divide_training_rows(y, 3, np.random.default_rng(0)):
        assert sorted([*fit, *scored]) == list(range(14))
        assert set(y[fit]) == {0, 1}
