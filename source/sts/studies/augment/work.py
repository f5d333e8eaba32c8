"""One item of the grid, on any worker: its scores, its fidelity, and some of its rows."""

import logging
import re
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from sts.augment.contract import GENERATORS
from sts.augment.evaluate import PreparedItem, evaluate
from sts.augment.fidelity import Measurement, measure_fidelity
from sts.augment.grid import BASELINE, Item, ScoreKey, score_key
from sts.base.errors import StsError
from sts.studies.augment.results import GeneratedRows
from sts.studies.augment.settings import Job
from sts.studies.augment.store import Store

logger = logging.getLogger("sts")

# Number of successive failed scores after which an item is abandoned.
MAX_FAILURES: Final = 3
# Start of a note of a generator, which contains numbers instead of names of classes.
NUMBERED: Final = re.compile(r"^class (\d+):")


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemPlan:
    """The remaining work on one item."""

    item: Item
    missing: tuple[ScoreKey, ...]
    """Scores to compute."""
    measure: bool
    """Whether to measure the fidelity of its rows."""
    sample: bool
    """Whether to store some of its rows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemOutcome:
    """The results of one item."""

    rows: list[dict[str, Any]]
    measurements: list[Measurement] = field(default_factory=list)
    samples: GeneratedRows | None = None
    notes: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    """The reason why results are missing, by place."""


def plan_item(job: Job, item: Item, store: Store, *, force: bool = False) -> ItemPlan:
    """Return the remaining work on an item; `force`: all of it."""
    method, division = item.method, item.division
    return ItemPlan(
        item=item,
        missing=tuple(item.score_keys() if force else find_missing_keys(item, store)),
        measure=is_measured(job, item) and (force or not store.measurements(method, division)),
        sample=is_sampled(job, item) and (force or store.samples(method, division) is None),
    )


def is_unfinished(plan: ItemPlan) -> bool:
    """Tell whether there is work left on an item."""
    return bool(plan.missing or plan.measure or plan.sample)


def find_missing_keys(item: Item, store: Store) -> list[ScoreKey]:
    """Return the scores of an item that are not stored."""
    done = {score_key(row) for row in store.scores(item.method, item.division)}
    return [key for key in item.score_keys() if key not in done]


def is_measured(job: Job, item: Item) -> bool:
    """Tell whether fidelity is measured: once per fold, for generators and the baseline."""
    measurable = item.method == BASELINE or _makes_rows(item.method)
    condition, division = item.condition, item.division
    enough = condition is None or condition.is_measurable(division.fit, division.scored)
    return job.fidelity and division.repeat == 0 and measurable and enough


def is_sampled(job: Job, item: Item) -> bool:
    """Tell whether rows are stored: in the first division, where they have units."""
    first = item.division.repeat == 0 and item.division.fold == 0
    native = job.space == "native"
    return first and native and (job.fidelity or bool(job.given)) and _makes_rows(item.method)


def _makes_rows(method: str) -> bool:
    return method in GENERATORS and GENERATORS[method].adds_rows


def run_item(plan: ItemPlan, *, store: Store) -> ItemOutcome:
    """Do the remaining work on one item, on any worker; each score is stored immediately."""
    item = plan.item
    rows = store.scores(item.method, item.division)
    prepared, failed = _score_item(item, rows, store)
    outcome = ItemOutcome(rows=rows, failed=failed)
    if prepared is None:
        return outcome
    try:
        if item.method in GENERATORS:
            outcome = replace(outcome, notes=_name_classes(prepared, store))
        if plan.measure:
            outcome = replace(outcome, measurements=measure_fidelity(prepared))
        if plan.sample:
            outcome = replace(outcome, samples=_generate_samples(prepared))
    except Exception as error:
        # If this fails, the scores must not be lost.
        failed[f"{_item_title(item)}, fidelity"] = _explain_failure(error)
    return outcome


def _score_item(
    item: Item, rows: list[dict[str, Any]], store: Store
) -> tuple[PreparedItem | None, dict[str, str]]:
    """Add the missing scores to `rows`; return the item, if any score worked, and the failures."""
    broken: dict[ScoreKey, str] = {}
    unwritten: list[StsError] = []
    in_a_row: list[str] = []

    def keep(row: dict[str, Any]) -> None:
        rows.append(row)
        in_a_row.clear()
        try:
            store.add_scores(item.method, item.division, rows)
        except StsError as error:
            unwritten.append(error)
            raise

    while len(in_a_row) < MAX_FAILURES:
        done = [*map(score_key, rows), *broken]
        try:
            prepared = evaluate(item, done=done, keep=keep)
        except Exception as error:
            # A full disk is not the fault of one score.
            if unwritten:
                raise
            in_a_row.append(_explain_failure(error))
            # Scores are computed in the order of the keys: the first that is missing has failed.
            done = [*map(score_key, rows), *broken]
            first = next((key for key in item.score_keys() if key not in done), None)
            if first is None:
                break
            broken[first] = in_a_row[-1]
        else:
            return (prepared if rows or not broken else None), _list_failures(item, rows, broken)
    return None, _list_failures(item, rows, broken, last=in_a_row[-1])


def _list_failures(
    item: Item, rows: list[dict[str, Any]], broken: dict[ScoreKey, str], last: str = ""
) -> dict[str, str]:
    """Return the reason of each missing score; `last` for those that were not tried."""
    done = set(map(score_key, rows))
    reasons = {key: broken.get(key, last) for key in item.score_keys() if key not in done}
    if len(reasons) == len(item.score_keys()) and len(set(reasons.values())) == 1:
        return {_item_title(item): next(iter(reasons.values()))}
    failures = {}
    for key, reason in reasons.items():
        part = f", {100 * key.part:.0f} % of the rows" if key.part < 1 else ""
        failures[f"{_item_title(item)}, {key.added} added{part}, {key.classifier}"] = reason
    return failures


def _item_title(item: Item) -> str:
    return f"{item.method}, repeat {item.division.repeat}, fold {item.division.fold}"


def _explain_failure(error: Exception) -> str:
    """Return the error in one line; an internal error is logged in full."""
    if isinstance(error, StsError):
        return str(error)
    logger.debug("a score failed", exc_info=error)
    text = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _name_classes(prepared: PreparedItem, store: Store) -> tuple[str, ...]:
    """Return the notes of the generator, with the names of classes instead of numbers."""
    return tuple(
        NUMBERED.sub(lambda match: f"{store.classes[int(match[1])]}:", note)
        for note in prepared.generator.notes
    )


def _generate_samples(prepared: PreparedItem) -> GeneratedRows:
    """Return synthetic rows; the number in each class is that of the training cells.

    With a condition it is that of the training cells that meet it.
    """
    condition = prepared.item.condition
    y = prepared.view.y
    if condition is not None:
        y = y[condition.met[prepared.item.division.fit]]
    labels, counts = np.unique(y, return_counts=True)
    wanted = dict(zip(labels.tolist(), counts.tolist(), strict=True))
    rows, y = prepared.generate(wanted, "samples")
    space = prepared.view.space
    whole = np.full((len(rows), len(prepared.fit.names)), np.nan)
    whole[:, space.kept] = space.inverse_transform(rows)
    return GeneratedRows(rows=whole, labels=y)
