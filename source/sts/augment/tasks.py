"""What is to be told from what: e-types from E or M+E features, STS classes from EP features."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from sts.augment.curation import possible, technical_columns
from sts.augment.neurons import Neurons, read_neuron_table
from sts.base.errors import StsError, one_of
from sts.base.files import read_csv
from sts.base.types import CLASSES
from sts.datasets.cells import with_donors
from sts.datasets.ep_tables import (
    PUBLISHED_TABLES,
    EpTable,
    find_ep_tables,
    load_ep_tables,
    with_labels,
)
from sts.datasets.formulas import FORMULAS_WITH_CONTRASTS, REPLACED, derive
from sts.datasets.labels import find_labels, read_labels
from sts.datasets.splits import donor_groups, find_split, leave_out_held
from sts.datasets.store import Texts

logger = logging.getLogger("sts")

FEATURES: Final = ("curated", "derived")
# Where each table lies in a folder of data, as fetched or as it came.
FILES: Final = {
    "e": ("etypes/e-type.csv", "e-type.csv"),
    "me": ("etypes/mee-type.csv", "mee-type.csv"),
}
PATCH_CLAMP: Final = next(name for name, kind in PUBLISHED_TABLES.items() if kind == "PatchClamp")
# What says that a value is missing; the space of the classifiers has flags of its own.
FLAG: Final = "missing_"


@dataclass(frozen=True, kw_only=True, eq=False)
class Universe:
    """All neurons that are divided together, so that several tasks share their splits."""

    group: Texts
    """(groups,), each once."""
    stratum: Texts
    """Class, and in which tables the group is: what is spread evenly over the folds."""
    label: Texts


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """Neurons to classify, and what goes with them."""

    name: str
    title: str
    neurons: Neurons
    universe: Universe
    left_out: dict[str, str]
    """Technical columns and why they are left out."""
    lenders: Neurons | None = None
    """Neurons without morphology that may join the training rows; never one that is scored."""
    circular: bool = False
    """Whether the classes were made from the same features."""


def load_task(name: str, data: Path, *, features: str = "curated") -> Task:
    """Return a task from a folder of data."""
    one_of(features, FEATURES, "features")
    task = TASKS[one_of(name, TASKS, "task")](data)
    lenders = task.lenders
    if features == "derived":
        task = replace(
            task,
            neurons=with_derived(task.neurons),
            lenders=None if lenders is None else with_derived(lenders),
        )
    neurons = task.neurons
    counts = neurons.counts()
    logger.info(
        "%s: %d neurons, %d features, %d classes of %d to %d neurons",
        *(task.title, len(neurons), len(neurons.names), len(counts), counts.min(), counts.max()),
    )
    return task


def with_derived(neurons: Neurons) -> Neurons:
    """Return the neurons with derived features behind their own, without what those replace."""
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


def _electrical(data: Path) -> Task:
    e, me = _published(data, "e"), _found(data, "me")
    return Task(
        name="e",
        title="E to e-type",
        neurons=_possible(e),
        universe=_shared(e, _published(data, "me") if me else None),
        left_out=_left_out(data, "e"),
        circular=True,
    )


def _with_morphology(data: Path) -> Task:
    me, found = _published(data, "me"), _found(data, "e")
    e = _published(data, "e") if found else None
    return Task(
        name="me",
        title="M+E to e-type",
        neurons=_possible(me),
        universe=_shared(me if e is None else e, me),
        left_out=_left_out(data, "me"),
        lenders=None if e is None else _possible(_lenders(e, me)),
        circular=True,
    )


def _published(data: Path, name: str) -> Neurons:
    path = _found(data, name)
    if path is None:
        raise StsError(
            f"no {' or '.join(FILES[name])} in {data}: fetch it with `data_pipeline.py fetch "
            "etypes`, or try --demo"
        )
    table = data / PATCH_CLAMP
    return read_neuron_table(path, known=read_csv(table, []) if table.is_file() else ())


def _found(data: Path, name: str) -> Path | None:
    return next((data / file for file in FILES[name] if (data / file).is_file()), None)


def _left_out(data: Path, name: str) -> dict[str, str]:
    path = _found(data, name)
    if path is None:
        return {}
    with path.open(encoding="utf-8-sig") as file:
        return technical_columns(file.readline().strip().split(";"))


def _possible(neurons: Neurons) -> Neurons:
    columns = [possible(name, values) for name, values in neurons.columns().items()]
    return replace(neurons, X=np.column_stack(columns))


def _lenders(e: Neurons, me: Neurons) -> Neurons:
    """Return the neurons without morphology under the columns and classes of those with it."""
    outside = ~np.isin(e.group, me.group) & ~np.isin(e.specimen_id, me.specimen_id)
    known = np.isin(np.array(e.classes)[e.y], me.classes)
    lenders = e.rows(outside & known)
    columns = lenders.columns()
    absent = np.full(len(lenders), np.nan)
    return replace(
        lenders,
        X=np.column_stack([columns.get(name, absent) for name in me.names]),
        y=np.array([me.classes.index(e.classes[label]) for label in lenders.y], dtype=np.int64),
        names=me.names,
        classes=me.classes,
    )


def _shared(e: Neurons, me: Neurons | None) -> Universe:
    """Return the neurons of both tables, those with morphology strata of their own."""
    labels = dict(zip(e.group.tolist(), np.array(e.classes)[e.y].tolist(), strict=True))
    with_morphology: set[str] = set()
    if me is not None:
        with_morphology = set(me.group.tolist())
        labels |= dict(zip(me.group.tolist(), np.array(me.classes)[me.y].tolist(), strict=True))
    groups = sorted(labels)
    return Universe(
        group=np.array(groups),
        stratum=np.array([f"{labels[g]}|{g in with_morphology}" for g in groups]),
        label=np.array([labels[g] for g in groups]),
    )


def _spike_trains(data: Path) -> Task:
    table = load_ep_tables(find_ep_tables(data))
    found = find_labels(data)
    if found is not None:
        table = with_labels(table, read_labels(found), origin=str(found))
    split = find_split(data)
    if split is not None:
        # The holdout of the networks and the baseline is theirs to open.
        table = table.rows(np.isin(table.specimen_id, sorted(split.train)))
    table = table.rows(table.truth >= 0)
    if not len(table):
        raise StsError(f"no cell in {data} has a label: give it labels, or try --demo")
    table = leave_out_held(table, data, where=str(data))
    table = with_donors(table, data)
    # A donor stands on one side of every division, as a neuron does.
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
        universe=_by_group(groups, table),
        left_out={},
    )


def _by_group(groups: Texts, table: EpTable) -> Universe:
    """Return each group once, with the class and the data set of most of its neurons."""
    kinds: dict[str, Counter[tuple[str, str]]] = {}
    triples = zip(groups.tolist(), table.label.tolist(), table.dataset.tolist(), strict=True)
    for group, label, dataset in triples:
        kinds.setdefault(group, Counter())[label, dataset] += 1
    most = {group: count.most_common(1)[0][0] for group, count in kinds.items()}
    return Universe(
        group=np.array(list(most)),
        stratum=np.array([f"{label}|{dataset}" for label, dataset in most.values()]),
        label=np.array([label for label, _ in most.values()]),
    )


TASKS: Final[dict[str, Callable[[Path], Task]]] = {
    "e": _electrical,
    "me": _with_morphology,
    "sts": _spike_trains,
}
