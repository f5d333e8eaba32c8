"""A folder of recordings becomes a sweep store, a table of features, or both."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sts.base.errors import StsError
from sts.base.logs import printable
from sts.base.sandbox import Limits
from sts.base.settings import digest
from sts.datasets.cell_files import CellFiles, group_files, is_unchanged
from sts.datasets.isolated import process_cells
from sts.datasets.journal import Journal
from sts.datasets.labels import CellLabel, identities
from sts.datasets.naming import NamedCell, name_cells
from sts.datasets.outcomes import BuildSettings, Outcome
from sts.datasets.products import (
    CELLS_NAME,
    PRODUCTS,
    Rows,
    make_named_rows,
    read_earlier_build,
    write_products,
)
from sts.datasets.published_split import held_out_specimens
from sts.recordings.readers import find_recordings

LABELS_NAME = "labels.csv"


@dataclass(frozen=True, kw_only=True)
class BuildJob:
    """Which recordings go where, and how the work is shared out."""

    folder: Path
    out: Path
    settings: BuildSettings
    labels: Path | None = None
    """CSV with specimen_id, label and perhaps dataset and donor_id; default: FOLDER/labels.csv."""
    cells: Path | None = None
    """CSV with file, specimen_id and perhaps donor_id: which files are one cell."""
    dataset: str = ""
    """For cells whose label names none; default: the name of `out`."""
    workers: int = 0
    cluster: str | None = None
    resume: bool = False
    force: bool = False
    limits: Limits = field(default_factory=Limits)
    """What reading one file may take."""

    @property
    def products(self) -> tuple[str, ...]:
        """Return what is asked for, `store`, `features` or both."""
        return tuple(name for name in PRODUCTS if getattr(self.settings, name))


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """What there is to do before anything is done."""

    cells: dict[str, CellFiles]
    """Every cell by the name of its files in the tables, their paths within the folder."""
    labels: dict[str, CellLabel]
    known: dict[str, Outcome]
    """Cells of an earlier build that need no work."""
    there: dict[str, Rows] | None
    """The rows of that build, if all that was asked for is there as it should be."""
    names: Sequence[NamedCell] = ()
    """Who its cells are."""

    @property
    def todo(self) -> list[CellFiles]:
        """Return the cells that need work."""
        return [cell for name, cell in self.cells.items() if name not in self.known]

    @property
    def declared(self) -> dict[str, CellFiles]:
        """Return the cells that the user has declared."""
        return {name: cell for name, cell in self.cells.items() if cell.specimen_id}


@dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What became of the cells."""

    files: tuple[Path, ...]
    counts: dict[str, dict[str, int]]
    """For each product: how many cells are `ok`, `excluded` and `failed`."""
    reasons: dict[str, dict[str, int]]
    """For each product: how many cells were lost to which rule."""
    failures: tuple[str, ...]
    """`file: reason` of every failed cell."""
    unlabelled: int
    """Cells of the products without a label."""
    unused_labels: int
    """Labels without a recording."""
    worked_on: int
    """Recordings that this run has read; 0 when everything was there."""

    @property
    def failed(self) -> bool:
        """Tell whether any cell failed."""
        return bool(self.failures)


def build(job: BuildJob) -> BuildReport:
    """Make what the job asks for; go on where an earlier process stopped."""
    plan = plan_build(job)
    if plan.there is not None:
        return _report(job, plan, plan.there, names=plan.names, worked_on=0)
    with Journal(_journal_folder(job), digest(job.settings)) as journal:
        if job.force:
            journal.clear()
        if not len(journal):
            for outcome in plan.known.values():
                journal.add(outcome)
        done = _done(journal.collect(), plan.cells)
        todo = [cell for name, cell in plan.cells.items() if name not in done]
        _work_on(todo, job, journal)
        outcomes = journal.collect(plan.cells)
        names = _name_cells(outcomes, plan, job)
        rows = _rows(outcomes, names, job)
        write_products(job.out, job.settings, outcomes, rows)
        journal.discard()
    if "store" in rows and not any(row.status == "ok" for row in rows["store"]):
        raise StsError(
            f"none of {len(outcomes)} recordings can enter the store: {job.out / CELLS_NAME} says "
            f"why, first {rows['store'][0].reason}"
        )
    return _report(job, plan, rows, names=names, worked_on=len(todo))


def plan_build(job: BuildJob) -> BuildPlan:
    """Return what there is to do, or say what stands in its way."""
    found = find_recordings(job.folder)
    top = job.folder if job.folder.is_dir() else job.folder.parent
    cells = group_files(_names(found, top), job.cells)
    plan = BuildPlan(cells=cells, labels=_labels(job, top), known={}, there=None)
    made = None if job.force else read_earlier_build(job.out, job.settings, job.products)
    if made is None:
        return plan
    if not made.same_settings:
        raise StsError(
            f"{job.out} was built with other settings: add --force to build it anew, or choose "
            "another --out"
        )
    known = {o.file: o for o in made.outcomes if _is_unchanged(o, cells)}
    new, gone = len(cells) - len(known), len(made.outcomes) - len(known)
    if (new or gone) and not job.resume:
        raise StsError(
            f"{job.out} was built from other recordings ({new} are new or changed, {gone} are "
            "gone or changed): add --resume to keep what is unchanged, or --force to build it anew"
        )
    if job.resume:
        known = {name: outcome for name, outcome in known.items() if not _is_open(outcome)}
    names = _name_cells(made.outcomes, plan, job)
    now = _rows(made.outcomes, names, job)
    renamed = any(_identities(rows) != _identities(now[name]) for name, rows in made.rows.items())
    complete = len(known) == len(cells) and not gone and not renamed
    return replace(plan, known=known, there=made.rows if complete else None, names=names)


def _names(found: Iterable[Path], top: Path) -> dict[str, Path]:
    """Return the recordings by what they are called in the tables: nothing a terminal obeys."""
    paths: dict[str, Path] = {}
    for path in found:
        name = printable(path.relative_to(top).as_posix())
        while name in paths:
            name += "'"
        paths[name] = path
    return paths


def _identities(rows: Rows) -> list[tuple[str, ...]]:
    return [(row.file, row.specimen_id, row.label, row.dataset, row.donor_id) for row in rows]


def _name_cells(outcomes: Iterable[Outcome], plan: BuildPlan, job: BuildJob) -> list[NamedCell]:
    held = held_out_specimens(job.out)
    return name_cells(outcomes, plan.labels, plan.declared, held=held)


def _rows(
    outcomes: Iterable[Outcome], names: Sequence[NamedCell], job: BuildJob
) -> dict[str, Rows]:
    """Return the rows of all products, under the same names."""
    dataset = job.dataset or job.out.name
    return {product: make_named_rows(product, outcomes, names, dataset) for product in job.products}


def _labels(job: BuildJob, top: Path) -> dict[str, CellLabel]:
    beside = top / LABELS_NAME
    path = job.labels or (beside if beside.is_file() else None)
    return identities(path, near=(top, job.out, job.out.parent))


def _is_unchanged(outcome: Outcome, cells: Mapping[str, CellFiles]) -> bool:
    """Tell whether the files of an outcome are still there as they were."""
    if outcome.file not in cells:
        return False
    paths = cells[outcome.file].paths
    return [stamp.file for stamp in outcome.files] == list(paths) and all(
        is_unchanged(stamp, paths[stamp.file]) for stamp in outcome.files
    )


def _done(outcomes: Iterable[Outcome], cells: Mapping[str, CellFiles]) -> set[str]:
    """Return the cells that need no more work."""
    return {o.file for o in outcomes if _is_unchanged(o, cells) and not _is_open(o)}


def _is_open(outcome: Outcome) -> bool:
    """Tell whether another try may end otherwise."""
    return outcome.failed or outcome.is_double


def _journal_folder(job: BuildJob) -> Path:
    return job.out / f".{'-'.join(job.products)}.partial"


def _work_on(todo: Sequence[CellFiles], job: BuildJob, journal: Journal) -> None:
    done = process_cells(
        todo, job.settings, limits=job.limits, workers=job.workers, cluster=job.cluster
    )
    for _, outcome in done:
        journal.add(outcome)


def _report(
    job: BuildJob,
    plan: BuildPlan,
    rows: dict[str, Rows],
    *,
    names: Sequence[NamedCell],
    worked_on: int,
) -> BuildReport:
    everyone = [row for own in rows.values() for row in own]
    failures = (f"{row.file}: {row.reason}" for row in everyone if row.status == "failed")
    return BuildReport(
        files=tuple(job.out / PRODUCTS[product] for product in rows),
        counts={product: dict(Counter(row.status for row in own)) for product, own in rows.items()},
        reasons={
            product: dict(Counter(_rule(row.reason) for row in own if row.reason).most_common())
            for product, own in rows.items()
        },
        failures=tuple(dict.fromkeys(failures)),
        unlabelled=len({row.specimen_id for row in everyone if row.specimen_id and not row.label}),
        unused_labels=_count_unused(plan.labels, names),
        worked_on=worked_on,
    )


def _count_unused(labels: Mapping[str, CellLabel], names: Iterable[NamedCell]) -> int:
    """Return how many labelled specimens no recording is of."""
    used = {who.label_id for who in names}
    return len({label.specimen_id for label in labels.values() if label.label} - used)


def _rule(reason: str) -> str:
    """Return what reasons of one kind share: all before the particulars of the cell."""
    return reason.split(":")[0]
