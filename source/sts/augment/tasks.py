"""The classification tasks: e-types from E or M+E features, STS classes from EP features."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from sts.augment.curation import drop_impossible, technical_columns
from sts.augment.given import Condition, make_condition
from sts.augment.neurons import Neurons, read_neuron_table
from sts.base.errors import StsError, one_of
from sts.base.files import read_csv
from sts.base.types import CLASSES, Texts
from sts.datasets.cells import with_donors
from sts.datasets.ep_tables import (
    EpTable,
    find_ep_tables,
    load_ep_tables,
    with_labels,
)
from sts.datasets.formulas import FORMULAS_WITH_CONTRASTS, REPLACED, derive
from sts.datasets.labels import ETYPE, find_labels, read_labels
from sts.datasets.splits import donor_groups, find_split, leave_out_held
from sts.datasets.table import PUBLISHED_TABLES

logger = logging.getLogger("sts")

FEATURE_CHOICES: Final = ("curated", "derived")
# Possible paths of each table in a data folder.
TASK_FILES: Final = {
    "e": ("etypes/e-type.csv", "e-type.csv"),
    "me": ("etypes/mee-type.csv", "mee-type.csv"),
}
_PATCH_CLAMP: Final = next(name for name, kind in PUBLISHED_TABLES.items() if kind == "PatchClamp")
# Neurons of E on which settings of generators and classifiers were chosen, by their group: a fold
# that scored them would be too good. `benchmarks/tune_augment.py` drew them and chooses on them.
TUNING_NEURONS: Final = Path(__file__).with_name("tuning_neurons.csv")
# Prefix of formulas that flag a missing value; the space of the classifiers has its own flags.
FLAG: Final = "missing_"


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitGroups:
    """All groups that are divided jointly, so that several tasks share their splits.

    Groups that are not among them are in the training rows of every division.
    """

    group: Texts
    """(groups,), each once."""
    stratum: Texts
    """The class, and the tables with the group; strata are balanced over the folds."""
    label: Texts


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """Neurons to classify."""

    name: str
    title: str
    neurons: Neurons
    groups: SplitGroups
    left_out: dict[str, str]
    """Technical columns and why they are left out."""
    borrowable: Neurons | None = None
    """Neurons without morphology that can be added to the training rows; they are not scored."""
    circular: bool = False
    """Whether the classes were defined by the same features."""
    condition: Condition | None = None
    """What added rows must have; None: nothing in particular."""


def load_task(
    name: str, data: Path, *, features: str = "curated", given: Sequence[str] = ()
) -> Task:
    """Return a task from a folder of data; `given` is what added rows must have."""
    one_of(features, FEATURE_CHOICES, "features")
    task = TASKS[one_of(name, TASKS, "task")](data)
    if features == "derived":
        more = task.borrowable
        task = replace(
            task,
            neurons=add_derived(task.neurons),
            borrowable=None if more is None else add_derived(more),
        )
    counts = task.neurons.counts()
    logger.info(
        "%s: %d neurons, %d features, %d classes of %d to %d neurons",
        *(task.title, len(task.neurons), len(task.neurons.names)),
        *(len(counts), counts.min(), counts.max()),
    )
    return replace(task, condition=_condition(task, given, data)) if given else task


def _condition(task: Task, given: Sequence[str], data: Path) -> Condition:
    """Return what added rows must have; say how many neurons of which classes have it."""
    condition = make_condition(given, task.neurons, data)
    counts = task.neurons.rows(condition.met).counts()
    absent = [name for name, n in zip(task.neurons.classes, counts, strict=True) if not n]
    logger.info(
        "%s: %d of %d neurons%s",
        *(condition.words, counts.sum(), len(task.neurons)),
        f"; none of {', '.join(absent)}, which get no row" if absent else "",
    )
    return condition


def add_derived(neurons: Neurons) -> Neurons:
    """Return the neurons with derived features, without the columns that these replace."""
    formulas = {
        name: text for name, text in FORMULAS_WITH_CONTRASTS.items() if not name.startswith(FLAG)
    }
    derived = derive(neurons.columns(), formulas)
    own = {
        name: values
        for name, values in neurons.columns().items()
        if REPLACED.get(name) not in derived
    }
    return replace(
        neurons, X=np.column_stack([*own.values(), *derived.values()]), names=(*own, *derived)
    )


def _load_e(data: Path) -> Task:
    e = _read_published(data, "e")
    me = _read_published(data, "me") if _find_table(data, "me") else None
    return Task(
        name="e",
        title="E to e-type",
        neurons=_drop_impossible_values(e),
        groups=_share_groups(e, me),
        left_out=_list_left_out(data, "e"),
        circular=True,
    )


def _load_me(data: Path) -> Task:
    me = _read_published(data, "me")
    e = _read_published(data, "e") if _find_table(data, "e") else None
    return Task(
        name="me",
        title="M+E to e-type",
        neurons=_drop_impossible_values(me),
        groups=_share_groups(me if e is None else e, me),
        left_out=_list_left_out(data, "me"),
        borrowable=None if e is None else _drop_impossible_values(_select_borrowable(e, me)),
        circular=True,
    )


def _read_published(data: Path, name: str) -> Neurons:
    path = _find_table(data, name)
    if path is None:
        raise StsError(
            f"no {' or '.join(TASK_FILES[name])} in {data}: fetch it with `data_pipeline.py fetch "
            "etypes`, or try --demo"
        )
    table = data / _PATCH_CLAMP
    return read_neuron_table(path, known=read_csv(table, []) if table.is_file() else ())


def _find_table(data: Path, name: str) -> Path | None:
    return next((data / file for file in TASK_FILES[name] if (data / file).is_file()), None)


def _list_left_out(data: Path, name: str) -> dict[str, str]:
    path = _find_table(data, name)
    return {} if path is None else technical_columns(tuple(read_csv(path, (ETYPE,))[0]))


def _drop_impossible_values(neurons: Neurons) -> Neurons:
    columns = [drop_impossible(name, values) for name, values in neurons.columns().items()]
    return replace(neurons, X=np.column_stack(columns))


def _select_borrowable(e: Neurons, me: Neurons) -> Neurons:
    """Return the neurons without morphology, with the columns and classes of those with it."""
    outside = ~np.isin(e.group, me.group) & ~np.isin(e.specimen_id, me.specimen_id)
    known = np.isin(np.array(e.classes)[e.y], me.classes)
    chosen = e.rows(outside & known)
    columns = chosen.columns()
    absent = np.full(len(chosen), np.nan)
    return replace(
        chosen,
        X=np.column_stack([columns.get(name, absent) for name in me.names]),
        y=np.array([me.classes.index(e.classes[label]) for label in chosen.y], dtype=np.int64),
        names=me.names,
        classes=me.classes,
    )


def _share_groups(e: Neurons, me: Neurons | None) -> SplitGroups:
    """Return the groups of both tables; those with morphology have their own strata."""
    labels = dict(zip(e.group.tolist(), np.array(e.classes)[e.y].tolist(), strict=True))
    with_morphology: set[str] = set()
    if me is not None:
        with_morphology = set(me.group.tolist())
        labels |= dict(zip(me.group.tolist(), np.array(me.classes)[me.y].tolist(), strict=True))
    groups = sorted(labels.keys() - read_tuning_groups())
    return SplitGroups(
        group=np.array(groups),
        stratum=np.array([f"{labels[g]}|{g in with_morphology}" for g in groups]),
        label=np.array([labels[g] for g in groups]),
    )


@cache
def read_tuning_groups() -> frozenset[str]:
    """Return the groups of the neurons on which settings were chosen."""
    return frozenset(row["group"] for row in read_csv(TUNING_NEURONS, ("group",)))


def _load_sts(data: Path) -> Task:
    table = load_ep_tables(find_ep_tables(data))
    labels = find_labels(data)
    if labels is not None:
        table = with_labels(table, read_labels(labels), origin=str(labels))
    split = find_split(data)
    if split is not None:
        # The holdout is not used here: only the networks and the baseline use it.
        table = table.rows(np.isin(table.specimen_id, sorted(split.train)))
    table = table.rows(table.truth >= 0)
    if not len(table):
        raise StsError(f"no cell in {data} has a label: give it labels, or try --demo")
    table = leave_out_held(table, data, where=str(data))
    table = with_donors(table, data)
    # All neurons of a donor are on one side of every division.
    groups = donor_groups(table)
    neurons = Neurons(
        specimen_id=table.specimen_id,
        group=groups,
        y=table.truth,
        X=table.X,
        names=table.names,
        classes=CLASSES,
    )
    return Task(
        name="sts",
        title="EP features to STS class",
        neurons=neurons,
        groups=label_groups(groups, table),
        left_out={},
    )


def label_groups(groups: Texts, table: EpTable) -> SplitGroups:
    """Return each group once, with the most common class and data set of its neurons."""
    kinds: dict[str, Counter[tuple[str, str]]] = {}
    triples = zip(groups.tolist(), table.label.tolist(), table.dataset.tolist(), strict=True)
    for group, label, dataset in triples:
        kinds.setdefault(group, Counter())[label, dataset] += 1
    most = {group: count.most_common(1)[0][0] for group, count in kinds.items()}
    return SplitGroups(
        group=np.array(list(most)),
        stratum=np.array([f"{label}|{dataset}" for label, dataset in most.values()]),
        label=np.array([label for label, _ in most.values()]),
    )


TASKS: Final[dict[str, Callable[[Path], Task]]] = {
    "e": _load_e,
    "me": _load_me,
    "sts": _load_sts,
}
