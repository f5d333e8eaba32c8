"""Write the page of a data set: its classes, what was left out, its features and its sweeps."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sts.base.files import read_csv
from sts.base.types import CLASSES, Floats, Ints
from sts.datasets.build_files import CELLS_NAME
from sts.datasets.cells import cells_of_store
from sts.datasets.ep_tables import EpTable
from sts.datasets.inventory import COUNTED, Inventory, take_inventory
from sts.datasets.medians import RANGE_MARK, Medians, compare_medians, tabulate_medians
from sts.datasets.store import load_store
from sts.datasets.table import OWN_TABLE
from sts.reports.figures.dataset import draw_medians, draw_overlay, draw_reasons
from sts.reports.page import Block, Picture, Section, Table, write_page
from sts.signals.feature_names import FEATURES
from sts.signals.resample import BEFORE_S, RATE_HZ

OVERVIEW_NAME: Final = "overview.html"
NO_CLASS: Final = "no class"
# Sweeps of each class in the overlay.
OVERLAID: Final = 10
# Most reasons in the figure; all are in the table.
DRAWN_REASONS: Final = 15
# The tables that say what became of each recording, and what they stand for.
RESULT_TABLES: Final = {CELLS_NAME: "sweeps", OWN_TABLE: "features"}


@dataclass(frozen=True, kw_only=True)
class LeftOutCount:
    """How many recordings one reason has kept out of one product."""

    product: str
    status: str
    reason: str
    """Without the details of each recording."""
    cells: int
    example: str
    """The file of the first of them."""


def write_overview(path: Path, inventory: Inventory, medians: Medians) -> None:
    """Write one HTML page with tables and figures of the cells in a data folder."""
    with tempfile.TemporaryDirectory(prefix="sts-overview-") as folder:
        figures = Path(folder)
        sections = [
            Section("Cells", _show_cells(inventory)),
            Section("Left out", _show_left_out(inventory.data, figures)),
            Section("Features", _show_features(medians, figures)),
            Section("Sweeps", _show_sweeps(inventory, figures)),
        ]
        name = "/".join(inventory.data.resolve().parts[-2:])
        cells = len(inventory.cells)
        subtitle = f"{cells:,} cell{'' if cells == 1 else 's'} with features or sweeps"
        write_page(path, f"Data set {name}", subtitle=subtitle, sections=sections)


def update_overview(out: Path, products: Sequence[Path]) -> Path:
    """Write the page of a built data set, unless it is newer than the products; return its path."""
    page = out / OVERVIEW_NAME
    tables = [out / name for name in RESULT_TABLES]
    times = [path.stat().st_mtime_ns for path in (*products, *tables) if path.is_file()]
    if not page.is_file() or page.stat().st_mtime_ns < max(times, default=0):
        write_overview(page, take_inventory(out), compare_medians(out))
    return page


def _show_cells(inventory: Inventory) -> list[Block]:
    counts = [
        [dataset, label, *map(int, numbers)] for dataset, label, *numbers in inventory.count_cells()
    ]
    blocks: list[Block] = [Table(columns=["data set", "class", *COUNTED], rows=counts)]
    present = set(inventory.classes.values())
    if empty := [name for name in CLASSES if name not in present]:
        none = "No cell has a class." if not present else f"No cell is of {', '.join(empty)}."
        blocks.append(none)
    if inventory.faults:
        rows = [[reason] for _, reason in inventory.faults]
        blocks.append(Table(columns=["file that cannot be used, and why"], rows=rows))
    return blocks


def count_left_out(data: Path) -> list[LeftOutCount] | None:
    """Return why recordings were left out, the most frequent first; None if no table tells."""
    paths = [path for path in _find_result_tables(data) if path.is_file()]
    rows = [(path.name, row) for path in paths for row in read_csv(path, ["specimen_id"])]
    told = [(name, row) for name, row in rows if {"status", "reason", "file"} <= row.keys()]
    if not told:
        return None
    groups: dict[tuple[str, str, str], list[str]] = {}
    for name, row in told:
        if row["status"] in ("excluded", "failed"):
            # Reasons of the same kind have the same text before the details of the cell.
            key = (RESULT_TABLES[name], row["status"], row["reason"].split(":")[0])
            groups.setdefault(key, []).append(row["file"])
    counts = [
        LeftOutCount(
            product=product, status=status, reason=reason, cells=len(files), example=files[0]
        )
        for (product, status, reason), files in groups.items()
    ]
    return sorted(counts, key=lambda each: -each.cells)


def _find_result_tables(data: Path) -> Iterator[Path]:
    for name in RESULT_TABLES:
        yield from (data / name, *sorted(data.glob(f"*/{name}")))


def _show_left_out(data: Path, figures: Path) -> list[Block]:
    counts = count_left_out(data)
    if counts is None:
        return ["No table says what became of recordings: none were built into this folder."]
    if not counts:
        return ["No recording was left out."]
    drawn: dict[str, Counter[str]] = {}
    for each in counts[:DRAWN_REASONS]:
        reason = f"no {each.product}: {each.reason or 'reason unknown'}"
        drawn.setdefault(reason, Counter())[each.status] += each.cells
    caption = (
        "Recordings without sweeps or features, by reason. Excluded: readable, but without what "
        "the study needs. Failed: not readable."
    )
    rows = [[each.product, each.status, each.reason, each.cells, each.example] for each in counts]
    return [
        Picture(files=draw_reasons(figures / "reasons", drawn), caption=caption),
        Table(columns=["missing", "status", "reason", "recordings", "such as"], rows=rows),
    ]


def _show_features(found: Medians, figures: Path) -> list[Block]:
    if not found.sets:
        return ["No table of features.", *found.faults]
    medians = tabulate_medians(dict(_split_by_dataset(found.sets)))
    blocks: list[Block] = []
    if len(medians.sets) > 1:
        names, distances = scale_medians(medians.sets)
        caption = (
            "Median of every feature in each data set. 0: the median of all cells; 1: as far from "
            "it as their quartiles are from each other. Farther ones are drawn at the edge."
        )
        files = draw_medians(figures / "medians", names, distances)
        blocks.append(Picture(files=files, caption=caption))
    return [*blocks, _tabulate(medians), *found.faults]


def _tabulate(medians: Medians) -> Table:
    caption = f"Medians. {RANGE_MARK}: outside the plausible range." if medians.has_marks else ""
    return Table(columns=medians.header, rows=medians.rows, caption=caption or "Medians.")


def _split_by_dataset(tables: Mapping[str, EpTable]) -> Iterator[tuple[str, EpTable]]:
    """Yield a table for each data set; a table with cells of several sets is divided."""
    for name, table in tables.items():
        datasets = sorted(set(table.dataset.tolist()))
        if len(datasets) < 2:
            own = datasets[0] if datasets and datasets[0] and name == OWN_TABLE else name
            yield own, table
            continue
        for dataset in datasets:
            yield dataset or f"{name}, no data set", table.rows(table.dataset == dataset)


def scale_medians(sets: Mapping[str, EpTable]) -> tuple[list[str], dict[str, list[float]]]:
    """Return the features that differ between cells, and their scaled medians by data set."""
    columns = {name: table.columns() for name, table in sets.items()}
    names: list[str] = []
    scaled: dict[str, list[float]] = {name: [] for name in sets}
    for feature in FEATURES:
        known = {name: _keep_finite(own[feature]) for name, own in columns.items()}
        together = np.concatenate(list(known.values()))
        if not len(together):
            continue
        low, middle, high = np.percentile(together, (25, 50, 75))
        if not high > low:
            continue
        names.append(feature)
        for name, values in known.items():
            median = float(np.median(values)) if len(values) else np.nan
            scaled[name].append((median - middle) / (high - low))
    return names, scaled


def _keep_finite(values: Floats) -> Floats:
    return np.asarray(values[np.isfinite(values)])


def _show_sweeps(inventory: Inventory, figures: Path) -> list[Block]:
    chosen = choose_cells(inventory)
    if not chosen:
        return ["No sweep store."]
    traces: dict[str, list[Floats]] = {name: [] for name in (*CLASSES, NO_CLASS)}
    for path, rows_of in chosen.items():
        order = sorted((row, name) for name, rows in rows_of.items() for row in rows.tolist())
        store = load_store(path, np.array([row for row, _ in order]))
        for (_, name), own in zip(order, store.traces, strict=True):
            traces[name].append(own)
    groups = {name: np.stack(own) for name, own in traces.items() if own}
    files = draw_overlay(figures / "sweeps", groups, rate_hz=RATE_HZ, onset_s=BEFORE_S)
    caption = (
        f"Up to {OVERLAID} cells of each class, drawn by chance (seed 0); shaded: the step of "
        "current. Above the rheobase sweep, below the one 40 pA higher."
    )
    return [Picture(files=files, caption=caption)]


def choose_cells(
    inventory: Inventory, *, count: int = OVERLAID, seed: int = 0
) -> dict[Path, dict[str, Ints]]:
    """Return the rows of some cells of each class, by store and class, drawn by chance."""
    rng = np.random.default_rng(seed)
    places: dict[str, list[tuple[Path, int]]] = {name: [] for name in (*CLASSES, NO_CLASS)}
    for path in inventory.stores:
        for row, specimen in enumerate(cells_of_store(path).specimen_id.tolist()):
            places[inventory.classes.get(specimen, NO_CLASS)].append((path, row))
    chosen: dict[Path, dict[str, list[int]]] = {}
    for name, own in places.items():
        for at in sorted(rng.permutation(len(own))[:count].tolist()):
            path, row = own[at]
            chosen.setdefault(path, {}).setdefault(name, []).append(row)
    return {
        path: {name: np.array(rows) for name, rows in by_class.items()}
        for path, by_class in chosen.items()
    }
