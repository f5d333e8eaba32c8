"""--transfer: whether a classifier of features knows neurons, or the data sets they came from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from sts.base.errors import StsError
from sts.base.parallel import worker_count
from sts.base.runs import start_run
from sts.base.types import CLASSES, Bools, Floats
from sts.base.workspace import Workspace
from sts.datasets.allen import find_allen
from sts.datasets.contradictions import RULES
from sts.datasets.ep_tables import EpTable, with_onsets
from sts.datasets.etypes import find_etypes
from sts.datasets.feature_sets import KNOWN, feature_names, feature_title
from sts.datasets.inventory import take_inventory
from sts.evaluation.bootstrap import Interval
from sts.evaluation.compare import compare
from sts.evaluation.transfer import TransferScores, auc, independence_weights, transfer_scores
from sts.studies.classify.tables.cells import Source, load_table
from sts.studies.classify.tables.settings import Chosen
from sts.studies.classify.transfer.attempts import Attempt, attempt_both_ways
from sts.studies.classify.transfer.crossing import (
    ABSOLUTE,
    ACROSS,
    EVEN,
    ONSET,
    ORIGIN,
    POOLED,
    FeatureView,
    Telling,
    fits_of,
    has_absolute_times,
    predictions_of,
    run_all,
)
from sts.studies.classify.transfer.findings import (
    BOTH,
    UNDISPUTED,
    WEIGHED,
    Findings,
    Key,
    TransferJob,
)
from sts.studies.classify.transfer.pages import write_transfer_report
from sts.studies.classify.transfer.recipes import PLAIN
from sts.studies.classify.transfer.words import paragraph
from sts.tabular.models import find_kind

STUDY: Final = "baseline-transfer"
FOLDS: Final = 5
# Who says that a label is wrong.
WITNESSES: Final = ("e-type", "T-type", "dendrite")


@dataclass(frozen=True, kw_only=True, eq=False)
class Transferred:
    """What --transfer found, and where it is told."""

    folder: Path
    found: Findings
    paragraph: str


def transfer(
    workspace: Workspace, job: TransferJob, *, source: Source, workers: int | None = None
) -> Transferred:
    """Train on each data set, test on the other, and leave a report; the holdout stays closed."""
    find_kind(job.model)
    training = training_cells(source, job)
    views = views_of(training, job)
    disputed = disputed_cells(source.data)
    count = worker_count(workers)
    what = find_kind(job.model).title
    with start_run(workspace, study=STUDY, what=what, settings=job) as run:
        found = measure(views, job, disputed=disputed, workers=count)
        attempts = attempt_both_ways(training, seed=job.seed, workers=count)
        found = with_attempts(found, attempts, seed=job.seed)
        write_transfer_report(run, job, found)
    return Transferred(folder=run.final, found=found, paragraph=paragraph(found))


def training_cells(source: Source, job: TransferJob) -> EpTable:
    """Return the cells to train on, with all features of the job."""
    wanted = {name for features in job.features for name in feature_names(features)}
    names = tuple(name for name in KNOWN if name in wanted)
    chosen = Chosen(title="transfer", names=names, skip_missing=job.skip_missing)
    cohort = load_table(source, chosen, group_by=job.group_by, seed=job.seed)
    training = cohort.cells.rows(cohort.train_rows)
    if len(datasets := np.unique(training.dataset).tolist()) != 2 or "" in datasets:
        named = ", ".join(name or "not known" for name in datasets)
        raise StsError(
            f"--transfer is between two data sets; these training cells are of {len(datasets)} "
            f"({named}): give tables of two, or a column dataset"
        )
    for name in datasets:
        _check_classes(training.rows(training.dataset == name), name)
    return training


def _check_classes(table: EpTable, name: str) -> None:
    counts = np.bincount(table.truth, minlength=len(CLASSES))
    if (counts < FOLDS).any():
        short = int(np.argmin(counts))
        raise StsError(
            f"only {counts[short]} training cells of class {CLASSES[short]} in {name}: at least "
            f"{FOLDS} are needed to train on it; add cells"
        )


def views_of(training: EpTable, job: TransferJob) -> list[FeatureView]:
    """Return the cells with each set of features, first with absolute times where there are any."""
    views = [
        FeatureView(
            features=feature_title(features),
            times=ONSET,
            table=_columns(training, feature_names(features)),
        )
        for features in job.features
    ]
    first = views[0]
    if not has_absolute_times(first.table):
        return views
    return [replace(first, times=ABSOLUTE, table=with_onsets(first.table)), *views]


def _columns(table: EpTable, names: tuple[str, ...]) -> EpTable:
    kept = [at for at, name in enumerate(table.names) if name in set(names)]
    X = np.ascontiguousarray(table.X[:, kept])
    return replace(table, X=X, names=tuple(table.names[at] for at in kept))


def disputed_cells(data: Path) -> frozenset[str] | None:
    """Return the specimens whose label their metadata contradict, None without such metadata."""
    if not find_allen([data]) and find_etypes(data) is None:
        return None
    inventory = take_inventory(data)
    return frozenset(
        case.specimen_id for witness in WITNESSES for case in RULES[witness].find(inventory)
    )


def measure(
    views: list[FeatureView], job: TransferJob, *, disputed: frozenset[str] | None, workers: int
) -> Findings:
    """Fit and score all but the attempt."""
    about: dict[str, Any] = {
        "model": job.model,
        "settings": job.settings,
        "group_by": job.group_by,
        "seed": job.seed,
    }
    work = [fit for view in views for fit in fits_of(view, FOLDS, **about)]
    tellings = [Telling(view=view, seed=job.seed) for view in views]
    said = run_all([*work, *tellings], workers=workers)
    table = views[0].table
    doubt = np.isin(table.specimen_id, sorted(disputed or ()))
    datasets = np.unique(table.dataset).tolist()
    rng = np.random.default_rng(job.seed)
    return Findings(
        datasets=(datasets[0], datasets[1]),
        views=tuple(view.key for view in views),
        scores={
            Key(features=view.features, times=view.times, training=training, tested_on=tested_on): (
                scores
            )
            for view in views
            for training, found in said[view.key].items()
            if training != ORIGIN
            for tested_on, scores in _scores(table, training, found, doubt, seed=job.seed)
        },
        origin={
            key: auc(
                found[ORIGIN][:, 0],
                table.dataset == datasets[1],
                rng=rng,
                donors=table.donor_id,
            )
            for key, found in said.items()
        },
        drops=_drops(table, said, views, rng=rng),
        disputed={name: int(doubt[table.dataset == name].sum()) for name in datasets},
        has_witnesses=disputed is not None,
        attempts=(),
        carried=(),
        plain=(),
    )


def _scores(
    table: EpTable, training: str, found: Floats, doubt: Bools, *, seed: int
) -> Iterator[tuple[str, TransferScores]]:
    """Yield what cells were tested on, and the scores; every one is resampled alike."""

    def score(rows: Bools, weights: Floats | None = None) -> TransferScores:
        cells = predictions_of(table.rows(rows), found[rows])
        return transfer_scores(cells, rng=np.random.default_rng(seed), weights=weights)

    everyone = np.ones(len(table), dtype=bool)
    if training in (POOLED, EVEN):
        yield BOTH, score(everyone)
        yield WEIGHED, score(everyone, independence_weights(table.truth, table.dataset))
    for name in np.unique(table.dataset).tolist():
        here = table.dataset == name
        yield name, score(here)
        if training in (POOLED, ACROSS) and doubt[here].any():
            yield name + UNDISPUTED, score(here & ~doubt)


def _drops(
    table: EpTable,
    said: Mapping[tuple[str, str], Mapping[str, Floats]],
    views: list[FeatureView],
    *,
    rng: np.random.Generator,
) -> dict[str, Interval]:
    absolute, aligned = (views[0].features, ABSOLUTE), (views[0].features, ONSET)
    if absolute not in said:
        return {}
    first, second = (predictions_of(table, said[key][POOLED]) for key in (absolute, aligned))
    groups = compare(first, second, rng=rng).groups
    return {name: group.differences["weighted_f1"].difference for name, group in groups.items()}


def with_attempts(found: Findings, attempts: list[Attempt], *, seed: int) -> Findings:
    """Return the findings with the attempt to carry a classifier over, and its scores."""
    carried, plain = (
        tuple(
            transfer_scores(each.of(recipe), rng=np.random.default_rng(seed))
            for each, recipe in zip(attempts, recipes, strict=True)
        )
        for recipes in ([each.recipe for each in attempts], [PLAIN] * len(attempts))
    )
    return replace(found, attempts=tuple(attempts), carried=carried, plain=plain)
