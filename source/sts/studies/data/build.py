"""A folder of recordings becomes a sweep store, a table of features, or both."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sts.base.errors import StsError
from sts.base.parallel import map_unordered, worker_count
from sts.base.progress import progress
from sts.base.settings import digest
from sts.cells.labels import CellLabel, identities
from sts.recordings.inside import Limits
from sts.recordings.readers import find_recordings
from sts.studies.data.apart import process_apart
from sts.studies.data.cellwork import BuildSettings, Outcome
from sts.studies.data.journal import Journal
from sts.studies.data.products import CELLS_NAME, PRODUCTS, Rows, read_made, rows_of, write_made

LABELS_NAME = "labels.csv"


@dataclass(frozen=True, kw_only=True)
class BuildJob:
    """Which recordings go where, and how the work is shared out."""

    folder: Path
    out: Path
    settings: BuildSettings
    labels: Path | None = None
    """CSV with specimen_id, label and perhaps dataset and donor_id; default: FOLDER/labels.csv."""
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

    paths: dict[str, Path]
    """Every recording by its name in the tables, its path within the folder."""
    labels: dict[str, CellLabel]
    known: dict[str, Outcome]
    """Cells of an earlier build that need no work."""
    there: dict[str, Rows] | None
    """The rows of that build, if all that was asked for is there as it should be."""

    @property
    def todo(self) -> dict[str, Path]:
        """Return the recordings that need work."""
        return {name: path for name, path in self.paths.items() if name not in self.known}


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
        return _report(job, plan, plan.there, worked_on=0)
    with Journal(_journal_folder(job), digest(job.settings)) as journal:
        if job.force:
            journal.clear()
        if not len(journal):
            for outcome in plan.known.values():
                journal.add(outcome)
        done = _done(journal.collect(), plan.paths)
        todo = {name: path for name, path in plan.paths.items() if name not in done}
        _work_on(todo, job, journal)
        outcomes = journal.collect(plan.paths)
        rows = {name: _rows(name, outcomes, plan.labels, job) for name in job.products}
        write_made(job.out, job.settings, outcomes, rows)
        journal.discard()
    if "store" in rows and not any(row.status == "ok" for row in rows["store"]):
        raise StsError(
            f"none of {len(outcomes)} recordings can enter the store: {job.out / CELLS_NAME} says "
            f"why, first {rows['store'][0].reason}"
        )
    return _report(job, plan, rows, worked_on=len(todo))


def plan_build(job: BuildJob) -> BuildPlan:
    """Return what there is to do, or say what stands in its way."""
    found = find_recordings(job.folder)
    top = job.folder if job.folder.is_dir() else job.folder.parent
    paths = {path.relative_to(top).as_posix(): path for path in found}
    labels = _labels(job, top)
    made = None if job.force else read_made(job.out, job.settings, job.products)
    if made is None:
        return BuildPlan(paths=paths, labels=labels, known={}, there=None)
    if not made.same_settings:
        raise StsError(
            f"{job.out} was built with other settings: add --force to build it anew, or choose "
            "another --out"
        )
    known = _unchanged(made.outcomes, paths)
    new, gone = len(paths) - len(known), len(made.outcomes) - len(known)
    if (new or gone) and not job.resume:
        raise StsError(
            f"{job.out} was built from other recordings ({new} are new or changed, {gone} are "
            "gone or changed): add --resume to keep what is unchanged, or --force to build it anew"
        )
    if job.resume:
        known = {name: outcome for name, outcome in known.items() if not _is_open(outcome)}
    relabelled = any(
        _identities(rows) != _identities(_rows(product, made.outcomes, labels, job))
        for product, rows in made.rows.items()
    )
    complete = len(known) == len(paths) and not gone and not relabelled
    return BuildPlan(paths=paths, labels=labels, known=known, there=made.rows if complete else None)


def _identities(rows: Rows) -> list[tuple[str, ...]]:
    return [(row.file, row.label, row.dataset, row.donor_id) for row in rows]


def _rows(
    product: str, outcomes: Iterable[Outcome], labels: dict[str, CellLabel], job: BuildJob
) -> Rows:
    return rows_of(product, outcomes, labels, job.dataset or job.out.name)


def _labels(job: BuildJob, top: Path) -> dict[str, CellLabel]:
    beside = top / LABELS_NAME
    path = job.labels or (beside if beside.is_file() else None)
    return identities(path, near=(top, job.out, job.out.parent))


def _unchanged(outcomes: Iterable[Outcome], paths: dict[str, Path]) -> dict[str, Outcome]:
    """Return the outcomes whose file is still there as it was."""
    return {outcome.file: outcome for outcome in outcomes if _is_unchanged(outcome, paths)}


def _is_unchanged(outcome: Outcome, paths: dict[str, Path]) -> bool:
    if outcome.file not in paths:
        return False
    stat = paths[outcome.file].stat()
    return (stat.st_size, stat.st_mtime_ns) == (outcome.size, outcome.mtime_ns)


def _done(outcomes: Iterable[Outcome], paths: dict[str, Path]) -> set[str]:
    """Return the files that need no more work."""
    return {o.file for o in outcomes if _is_unchanged(o, paths) and not _is_open(o)}


def _is_open(outcome: Outcome) -> bool:
    """Tell whether another try may end otherwise."""
    return outcome.failed or outcome.is_double


def _journal_folder(job: BuildJob) -> Path:
    return job.out / f".{'-'.join(job.products)}.partial"


def _work_on(todo: dict[str, Path], job: BuildJob, journal: Journal) -> None:
    work = partial(_process, settings=job.settings, limits=job.limits)
    done = map_unordered(
        work, list(todo.items()), workers=worker_count(job.workers), cluster=job.cluster
    )
    with progress(len(todo), "recordings") as bar:
        for _, outcome in done:
            journal.add(outcome)
            bar.advance()


def _process(item: tuple[str, Path], *, settings: BuildSettings, limits: Limits) -> Outcome:
    name, path = item
    return process_apart(path, file=name, settings=settings, limits=limits)


def _report(
    job: BuildJob, plan: BuildPlan, rows: dict[str, Rows], *, worked_on: int
) -> BuildReport:
    everyone = [row for own in rows.values() for row in own]
    specimens = {row.specimen_id for row in everyone if row.specimen_id}
    labelled = {label.specimen_id for label in plan.labels.values() if label.label}
    failures = (f"{row.file}: {row.reason}" for row in everyone if row.status == "failed")
    return BuildReport(
        files=tuple(job.out / PRODUCTS[product] for product in rows),
        counts={product: dict(Counter(row.status for row in own)) for product, own in rows.items()},
        reasons={
            product: dict(Counter(_rule(row.reason) for row in own if row.reason).most_common())
            for product, own in rows.items()
        },
        failures=tuple(dict.fromkeys(failures)),
        unlabelled=len(specimens - labelled),
        unused_labels=len(labelled - specimens),
        worked_on=worked_on,
    )


def _rule(reason: str) -> str:
    """Return what reasons of one kind share: all before the particulars of the cell."""
    return reason.split(":")[0]
