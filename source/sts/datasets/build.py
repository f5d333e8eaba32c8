"""Build a sweep store, a table of features, or both from a folder of recordings."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sts.base.errors import StsError
from sts.base.logs import printable
from sts.base.sandbox import Limits
from sts.base.settings import digest
from sts.datasets.build_files import (
    CELLS_NAME,
    PRODUCTS,
    ProductRows,
    make_rows,
    read_earlier_build,
    write_products,
)
from sts.datasets.cell_files import CellFiles, group_files, is_unchanged
from sts.datasets.cell_results import BuildSettings, CellResult, process_cells
from sts.datasets.labels import CellLabel, identities
from sts.datasets.marks import excluded_of, read_marks
from sts.datasets.partial_build import PartialBuild
from sts.datasets.series_files import find_series
from sts.datasets.specimen_ids import NamedCell, name_cells
from sts.recordings.readers import find_recordings

LABELS_NAME = "labels.csv"


@dataclass(frozen=True, kw_only=True)
class BuildJob:
    """The recordings, products and settings of a build."""

    folder: Path
    out: Path
    settings: BuildSettings
    labels: Path | None = None
    """CSV with specimen_id, label and perhaps dataset and donor_id; default: FOLDER/labels.csv."""
    cells: Path | None = None
    """CSV with file, specimen_id and perhaps donor_id: which files belong to the same cell."""
    exclude: Path | None = None
    """CSV of marks, as the viewer exports them: cells marked `exclude` are left out."""
    series: str = ""
    """A pattern of files that hold one channel of one sweep each."""
    dataset: str = ""
    """The data set of cells whose label has none; default: the name of `out`."""
    workers: int = 0
    cluster: str | None = None
    resume: bool = False
    force: bool = False
    limits: Limits = field(default_factory=Limits)
    """Limits of time and memory for one file."""

    @property
    def products(self) -> tuple[str, ...]:
        """Return the requested products: `store`, `features` or both."""
        return tuple(name for name in PRODUCTS if getattr(self.settings, name))


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """The cells of a build, and their results from an earlier build."""

    cells: dict[str, CellFiles]
    """Every cell by the name of its files in the tables, their paths within the folder."""
    labels: dict[str, CellLabel]
    excluded: dict[str, str]
    """The cells that the user leaves out, with the user's notes."""
    known: dict[str, CellResult]
    """Results of an earlier build that are still valid."""
    complete: dict[str, ProductRows] | None = None
    """The rows of the earlier build, if no cell needs work."""
    names: Sequence[NamedCell] = ()
    """The identity of the cells in the earlier build."""

    @property
    def todo(self) -> list[CellFiles]:
        """Return the cells that need work."""
        return [cell for name, cell in self.cells.items() if name not in self.known]


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """The number of cells in each product, and the reasons for missing cells."""

    files: tuple[Path, ...]
    counts: dict[str, dict[str, int]]
    """For each product: the number of cells that are `ok`, `excluded` and `failed`."""
    reasons: dict[str, dict[str, int]]
    """For each product: the number of cells that each rule excluded."""
    failures: tuple[str, ...]
    """`file: reason` of every failed cell."""
    unlabelled: int
    """Cells of the products without a label."""
    unused_labels: int
    """Labels without a recording."""
    not_found: tuple[str, ...]
    """Cells to be excluded that have no recording."""
    worked_on: int
    """Number of recordings that this run has read; 0 if all results already existed."""

    @property
    def failed(self) -> bool:
        """Tell whether any cell failed."""
        return bool(self.failures)


def build(job: BuildJob) -> BuildReport:
    """Write the products of a job; continue where an earlier process stopped."""
    plan = plan_build(job)
    if plan.complete is not None:
        return _report(job, plan, plan.complete, names=plan.names, worked_on=0)
    folder = job.out / f".{'-'.join(job.products)}.partial"
    with PartialBuild(folder, digest(job.settings)) as partial:
        if job.force:
            partial.clear()
        if not len(partial):
            for result in plan.known.values():
                partial.add(result)
        done = {
            result.file
            for result in partial.collect()
            if _is_unchanged(result, plan.cells)
            and not (_needs_another_try(result) or result.is_left_out)
        }
        todo = [cell for name, cell in plan.cells.items() if name not in done]
        for _, result in process_cells(
            todo, job.settings, limits=job.limits, workers=job.workers, cluster=job.cluster
        ):
            partial.add(result)
        results = partial.collect(plan.cells)
        names = name_cells(results, plan.labels, plan.cells)
        rows = _make_all_rows(results, names, job, plan.excluded)
        write_products(job.out, job.settings, results, rows)
        partial.discard()
    if "store" in rows and not any(row.status == "ok" for row in rows["store"]):
        raise StsError(
            f"none of {len(results)} recordings can enter the store: {job.out / CELLS_NAME} says "
            f"why, first {rows['store'][0].reason}"
        )
    return _report(job, plan, rows, names=names, worked_on=len(todo))


def plan_build(job: BuildJob) -> BuildPlan:
    """Return the remaining work, or raise an error that explains why none is possible."""
    cells = find_cells(job.folder, job.cells, job.series)
    top = job.folder if job.folder.is_dir() else job.folder.parent
    beside = top / LABELS_NAME
    labels = identities(
        job.labels or (beside if beside.is_file() else None),
        near=(top, job.out, job.out.parent),
    )
    excluded = {} if job.exclude is None else excluded_of(read_marks(job.exclude).values())
    earlier = None if job.force else read_earlier_build(job.out, job.settings, job.products)
    if earlier is None:
        return BuildPlan(cells=cells, labels=labels, excluded=excluded, known={})
    if not earlier.same_settings:
        raise StsError(
            f"{job.out} was built with other settings: add --force to build it anew, or choose "
            "another --out"
        )
    known = {result.file: result for result in earlier.results if _is_unchanged(result, cells)}
    new, gone = len(cells) - len(known), len(earlier.results) - len(known)
    if (new or gone) and not job.resume:
        raise StsError(
            f"{job.out} was built from other recordings ({new} are new or changed, {gone} are "
            "gone or changed): add --resume to keep what is unchanged, or --force to build it anew"
        )
    if job.resume:
        known = {file: result for file, result in known.items() if not _needs_another_try(result)}
    names = name_cells(earlier.results, labels, cells)
    now = _make_all_rows(earlier.results, names, job, excluded)
    same = all(_identify(rows) == _identify(now[name]) for name, rows in earlier.rows.items())
    same = same and not _find_readmitted(earlier.results, names, excluded)
    complete = earlier.rows if len(known) == len(cells) and not gone and same else None
    if complete is None:
        # The sweeps of a cell that was left out are not kept: it is read again.
        known = {file: result for file, result in known.items() if not result.is_left_out}
    return BuildPlan(
        cells=cells,
        labels=labels,
        excluded=excluded,
        known=known,
        complete=complete,
        names=names,
    )


def _find_readmitted(
    results: Sequence[CellResult], names: Sequence[NamedCell], excluded: Mapping[str, str]
) -> list[str]:
    """Return the files that an earlier build left out and that are not excluded now."""
    return [
        result.file
        for result, who in zip(results, names, strict=True)
        if result.is_left_out and who.specimen_id not in excluded
    ]


def find_cells(folder: Path, table: Path | None, series: str = "") -> dict[str, CellFiles]:
    """Return the cells in a folder, or that of a file, by their names in the tables.

    Parameters
    ----------
    folder
        A folder of recordings, or one recording.
    table
        Says which files belong to the same cell.
    series
        A pattern of files that hold one channel each; other files are not looked for.
    """
    if series:
        if table is not None:
            raise StsError("--cells and --series both say which files are a cell: give one")
        return find_series(folder, series)
    top = folder if folder.is_dir() else folder.parent
    return group_files(_name_files(find_recordings(folder), top), table)


def _name_files(found: Iterable[Path], top: Path) -> dict[str, Path]:
    """Return the recordings by their names in the tables, free of control characters."""
    paths: dict[str, Path] = {}
    for path in found:
        name = printable(path.relative_to(top).as_posix())
        while name in paths:
            name += "'"
        paths[name] = path
    return paths


def _identify(rows: ProductRows) -> list[tuple[Any, ...]]:
    names = ("file", "specimen_id", "label", "dataset", "donor_id", "claimed_id", "status")
    return [tuple(getattr(row, name) for name in names) for row in rows]


def _make_all_rows(
    results: Iterable[CellResult],
    names: Sequence[NamedCell],
    job: BuildJob,
    excluded: Mapping[str, str],
) -> dict[str, ProductRows]:
    """Return the rows of all products, under the same names."""
    dataset = job.dataset or job.out.name
    return {
        product: make_rows(product, results, names, dataset, excluded=excluded)
        for product in job.products
    }


def _is_unchanged(result: CellResult, cells: Mapping[str, CellFiles]) -> bool:
    """Tell whether the files of a result exist unchanged."""
    if result.file not in cells:
        return False
    paths = cells[result.file].paths
    return [stamp.file for stamp in result.files] == list(paths) and all(
        is_unchanged(stamp, paths[stamp.file]) for stamp in result.files
    )


def _needs_another_try(result: CellResult) -> bool:
    return result.failed or result.is_double


def _report(
    job: BuildJob,
    plan: BuildPlan,
    rows: dict[str, ProductRows],
    *,
    names: Sequence[NamedCell],
    worked_on: int,
) -> BuildReport:
    everyone = [row for own in rows.values() for row in own]
    failures = (f"{row.file}: {row.reason}" for row in everyone if row.status == "failed")
    used_labels = {who.label_id for who in names}
    labelled = {label.specimen_id for label in plan.labels.values() if label.label}
    # Reasons of the same kind have the same text before the details of the cell.
    rules = {
        product: Counter(row.reason.split(":")[0] for row in own if row.reason)
        for product, own in rows.items()
    }
    return BuildReport(
        files=tuple(job.out / PRODUCTS[product] for product in rows),
        counts={product: dict(Counter(row.status for row in own)) for product, own in rows.items()},
        reasons={product: dict(own.most_common()) for product, own in rules.items()},
        failures=tuple(dict.fromkeys(failures)),
        unlabelled=len({row.specimen_id for row in everyone if row.specimen_id and not row.label}),
        unused_labels=len(labelled - used_labels),
        not_found=tuple(sorted(plan.excluded.keys() - {who.specimen_id for who in names})),
        worked_on=worked_on,
    )
