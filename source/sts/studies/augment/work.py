"""One item of the grid, wherever it is worked on: its cells, how real its rows are, some to see."""

import logging
import re
from dataclasses import dataclass, field
from typing import Any, Final

from sts.augment.contract import GENERATORS
from sts.augment.evaluate import Bench, evaluate
from sts.augment.fidelity.measure import Found, measure_fidelity
from sts.augment.grid import BASELINE, Item, ScoreKey, key_of
from sts.base.errors import StsError
from sts.studies.augment.results import GeneratedRows, made_by
from sts.studies.augment.settings import Job
from sts.studies.augment.store import Store

logger = logging.getLogger("sts")

# After so many cells in a row that fail, it is the generator that does.
IN_A_ROW: Final = 3
# How generators call a class, which they know by its number alone.
NUMBERED: Final = re.compile(r"^class (\d+):")


@dataclass(frozen=True, kw_only=True, eq=False)
class Order:
    """What is to be done of one item."""

    item: Item
    waiting: int
    """Cells that are not scored yet."""
    measure: bool
    """Whether to measure how real its rows are."""
    show: bool
    """Whether to keep rows to look at."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemOutcome:
    """What came of one item."""

    rows: list[dict[str, Any]]
    found: list[Found] = field(default_factory=list)
    made: GeneratedRows | None = None
    notes: tuple[str, ...] = ()
    """What the generator did otherwise than asked for."""
    failed: dict[str, str] = field(default_factory=dict)
    """Where something is missing, and why."""


def order_of(job: Job, item: Item, store: Store) -> Order:
    """Return what is still to be done of an item."""
    method, division = item.method, item.division
    return Order(
        item=item,
        waiting=len(waiting_cells(item, store)),
        measure=is_measured(job, item) and not store.found(method, division),
        show=is_shown(job, item) and store.made(method, division) is None,
    )


def waiting_cells(item: Item, store: Store) -> list[ScoreKey]:
    """Return the cells that are not scored yet."""
    done = {key_of(row) for row in store.cells(item.method, item.division)}
    return [key for key in item.cells() if key not in done]


def is_measured(job: Job, item: Item) -> bool:
    """Tell whether fidelity is measured on an item: once a fold, on what makes rows."""
    makes = item.method == BASELINE or _makes(item.method)
    return job.fidelity and item.division.repeat == 0 and makes


def is_shown(job: Job, item: Item) -> bool:
    """Tell whether rows of an item are kept to be looked at: in the first division."""
    first = item.division.repeat == 0 and item.division.fold == 0
    # Behind a reducer there are no units to show them in.
    return first and job.space == "native" and is_measured(job, item) and _makes(item.method)


def _makes(method: str) -> bool:
    return method in GENERATORS and GENERATORS[method].adds_rows


def work_on(order: Order, *, store: Store) -> ItemOutcome:
    """Do what is open of one item; each cell is kept as soon as it is there."""
    item = order.item
    rows = store.cells(item.method, item.division)
    failed: dict[str, str] = {}
    bench = _score(item, rows, store, failed)
    found: list[Found] = []
    made: GeneratedRows | None = None
    notes: tuple[str, ...] = ()
    if bench is not None:
        try:
            notes = _notes(bench, store) if item.method in GENERATORS else ()
            found = measure_fidelity(bench) if order.measure else []
            made = made_by(bench) if order.show else None
        except Exception as error:
            # What it could not do must not cost its cells.
            failed[f"{where(item)}, how real"] = _reason(error)
    return ItemOutcome(rows=rows, found=found, made=made, notes=notes, failed=failed)


def where(item: Item) -> str:
    """Return what an item is called in a report."""
    return f"{item.method}, repeat {item.division.repeat}, fold {item.division.fold}"


def _score(
    item: Item, rows: list[dict[str, Any]], store: Store, failed: dict[str, str]
) -> Bench | None:
    """Score what is waiting, cells that fail left out; None if the item can do nothing."""
    broken: dict[ScoreKey, str] = {}
    unwritten: list[StsError] = []

    def keep(row: dict[str, Any]) -> None:
        rows.append(row)
        in_a_row.clear()
        try:
            store.keep(item.method, item.division, rows)
        except StsError as error:
            unwritten.append(error)
            raise

    in_a_row: list[str] = []
    while len(in_a_row) < IN_A_ROW:
        done = [*map(key_of, rows), *broken]
        try:
            bench = evaluate(item, done=done, keep=keep)
        except Exception as error:
            # A full disk is no matter of this cell.
            if unwritten:
                raise
            in_a_row.append(_reason(error))
            # Cells are scored in the order in which the item names them.
            done = [*map(key_of, rows), *broken]
            first = next((key for key in item.cells() if key not in done), None)
            if first is None:
                break
            broken[first] = in_a_row[-1]
        else:
            failed |= _missing(item, rows, broken)
            return bench if rows or not broken else None
    failed |= _missing(item, rows, broken, last=in_a_row[-1])
    return None


def _missing(
    item: Item, rows: list[dict[str, Any]], broken: dict[ScoreKey, str], last: str = ""
) -> dict[str, str]:
    """Return why cells are missing, those that were not tried for the `last` reason."""
    done = set(map(key_of, rows))
    reasons = {key: broken.get(key, last) for key in item.cells() if key not in done}
    if len(reasons) == len(item.cells()) and len(set(reasons.values())) == 1:
        return {where(item): next(iter(reasons.values()))}
    return {_called(item, key): reason for key, reason in reasons.items()}


def _called(item: Item, key: ScoreKey) -> str:
    part = f", {100 * key.part:.0f} % of the rows" if key.part < 1 else ""
    return f"{where(item)}, {key.added} added{part}, {key.classifier}"


def _reason(error: Exception) -> str:
    """Return one line; what is no matter of the user's is logged whole."""
    if isinstance(error, StsError):
        return str(error)
    logger.debug("a cell failed", exc_info=error)
    text = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _notes(bench: Bench, store: Store) -> tuple[str, ...]:
    """Return what the generator did otherwise than asked for, classes by their names."""
    return tuple(
        NUMBERED.sub(lambda found: f"{store.classes[int(found[1])]}:", note)
        for note in bench.generator.notes
    )
