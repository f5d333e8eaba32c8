"""--transfer: test whether a classifier of features recognises neurons or their data sets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.special import softmax

from sts.base.errors import StsError
from sts.base.parallel import map_unordered, worker_count
from sts.base.progress import progress
from sts.base.runs import start_run
from sts.base.types import CLASSES, Bools, Floats, Ints
from sts.base.workspace import Workspace
from sts.datasets.allen import find_allen
from sts.datasets.check import RULES
from sts.datasets.ep_tables import EpTable, with_onsets
from sts.datasets.feature_sets import KNOWN, feature_names, feature_title
from sts.datasets.inventory import take_inventory
from sts.datasets.labels import find_etypes
from sts.datasets.splits import folds_of
from sts.datasets.stimuli import protocol_mask
from sts.evaluation.compare import compare
from sts.evaluation.scores import Interval
from sts.evaluation.transfer import TransferScores, auc, independence_weights, transfer_scores
from sts.signals.feature_names import PUBLISHED_ONSET_S, TIME_FEATURES
from sts.studies.classify.tables.cells import Source, load_table
from sts.studies.classify.tables.settings import Chosen
from sts.studies.classify.transfer.carry_over import (
    CarryOver,
    carry_over_both_ways,
    predictions_of,
)
from sts.studies.classify.transfer.pages import write_transfer_report
from sts.studies.classify.transfer.recipes import PLAIN, predict_dataset
from sts.studies.classify.transfer.results import (
    ABSOLUTE,
    ACROSS,
    BOTH,
    EVEN,
    HIDDEN,
    MOVED,
    ONSET,
    TOGETHER,
    UNDISPUTED,
    WEIGHED,
    WITHIN,
    TransferJob,
    TransferKey,
    TransferResults,
)
from sts.tabular.estimators import predict_logits
from sts.tabular.models import find_kind

_STUDY: Final = "baseline-transfer"
TRANSFER_FOLDS: Final = 5
# Rules for contradicted labels that are used here.
WITNESSES: Final = ("e-type", "T-type", "dendrite")
# Predicts data sets, not classes.
ORIGIN: Final = "origin"


@dataclass(frozen=True, kw_only=True, eq=False)
class Transferred:
    """The run folder of --transfer and its results."""

    folder: Path
    results: TransferResults


def transfer(
    workspace: Workspace, job: TransferJob, *, source: Source, workers: int | None = None
) -> Transferred:
    """Train on each data set, test on the other, and write a report; the holdout is not used."""
    kind = find_kind(job.model)
    training = load_training_cells(source, job)
    views = make_views(training, job)
    disputed = find_disputed_cells(source.data)
    count = worker_count(workers)
    with start_run(workspace, study=_STUDY, what=kind.title, settings=job) as run:
        results = measure(views, job, disputed=disputed, workers=count)
        carried = carry_over_both_ways(training, seed=job.seed, workers=count)
        results = replace(
            results,
            carried=tuple(carried),
            carried_scores=_score_recipes(carried, [each.recipe for each in carried], job.seed),
            plain_scores=_score_recipes(carried, [PLAIN] * len(carried), job.seed),
        )
        write_transfer_report(run, job, results)
    return Transferred(folder=run.final, results=results)


def _score_recipes(
    carried: Sequence[CarryOver], recipes: Sequence[Any], seed: int
) -> tuple[TransferScores, ...]:
    return tuple(
        transfer_scores(each.predictions_by(recipe), rng=np.random.default_rng(seed))
        for each, recipe in zip(carried, recipes, strict=True)
    )


def load_training_cells(source: Source, job: TransferJob) -> EpTable:
    """Return the training cells, with all features of the job."""
    wanted = {name for features in job.features for name in feature_names(features)}
    names = tuple(name for name in KNOWN if name in wanted)
    chosen = Chosen(title="transfer", names=names, skip_missing=job.skip_missing)
    cohort = load_table(source, chosen, group_by=job.group_by, seed=job.seed)
    training = cohort.cells.rows(cohort.train_rows)
    if len(datasets := np.unique(training.dataset).tolist()) != 2 or "" in datasets:
        named = ", ".join(name or "not known" for name in datasets)
        raise StsError(
            f"--transfer needs two data sets; these training cells are of {len(datasets)} "
            f"({named}): give tables of two, or a column dataset"
        )
    for name in datasets:
        counts = np.bincount(training.truth[training.dataset == name], minlength=len(CLASSES))
        if (counts < TRANSFER_FOLDS).any():
            short = int(np.argmin(counts))
            raise StsError(
                f"only {counts[short]} training cells of class {CLASSES[short]} in {name}: at "
                f"least {TRANSFER_FOLDS} are needed to train on it; add cells"
            )
    return training


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureView:
    """Training cells with one set of features and one origin of times."""

    features: str
    times: str
    table: EpTable

    @property
    def key(self) -> tuple[str, str]:
        """Return the features and the origin of times, which no other view shares."""
        return self.features, self.times

    def move_times(self) -> EpTable | None:
        """Return the cells with the times of the other data set, None if they are the same."""
        if self.times == ONSET:
            return None
        own = self.table.dataset.tolist()
        other = dict(zip(sorted(set(own)), sorted(set(own), reverse=True), strict=True))
        shift_s = [PUBLISHED_ONSET_S[other[name]] - PUBLISHED_ONSET_S[name] for name in own]
        timed = np.array([name in TIME_FEATURES for name in self.table.names])
        return replace(self.table, X=self.table.X + np.array(shift_s)[:, None] * timed)

    def hide_stimuli(self) -> dict[str, EpTable]:
        """Return the cells without the features of a stimulus, for each stimulus that is used."""
        masks = {name: protocol_mask(self.table.names, name) for name in HIDDEN}
        # What says that a feature is missing says so here too.
        absent = [1.0 if name.startswith("missing_") else np.nan for name in self.table.names]
        return {
            name: replace(self.table, X=np.where(mask, absent, self.table.X))
            for name, mask in masks.items()
            if mask.any()
        }


def make_views(training: EpTable, job: TransferJob) -> list[FeatureView]:
    """Return the cells with each set of features, first with absolute times where there are any."""
    views = [
        FeatureView(
            features=feature_title(features),
            times=ONSET,
            table=_select_columns(training, feature_names(features)),
        )
        for features in job.features
    ]
    first = views[0]
    is_known = set(training.dataset.tolist()) <= PUBLISHED_ONSET_S.keys()
    if not is_known or not set(first.table.names) & set(TIME_FEATURES):
        return views
    return [replace(first, times=ABSOLUTE, table=with_onsets(first.table)), *views]


def _select_columns(table: EpTable, names: tuple[str, ...]) -> EpTable:
    kept = [at for at, name in enumerate(table.names) if name in set(names)]
    X = np.ascontiguousarray(table.X[:, kept])
    return replace(table, X=X, names=tuple(table.names[at] for at in kept))


def find_disputed_cells(data: Path) -> frozenset[str] | None:
    """Return the specimens whose label their metadata contradict, None without such metadata."""
    if not find_allen([data]) and find_etypes(data) is None:
        return None
    inventory = take_inventory(data)
    return frozenset(
        case.specimen_id for witness in WITNESSES for case in RULES[witness].find(inventory)
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassFit:
    """A classifier to fit, and the cells that it predicts."""

    view: FeatureView
    training: str
    rows: Ints
    scored: Ints
    model: str
    settings: Mapping[str, Any]
    seed: int

    def run(self) -> dict[str, Floats]:
        """Return the probabilities of the scored cells, as they are and changed."""
        table, kind = self.view.table, find_kind(self.model)
        own = table.rows(self.rows)
        weights = independence_weights(own.truth, own.dataset) if self.training == EVEN else None
        classifier = kind.fit(
            own.X,
            own.truth,
            kind.make_settings(self.settings),
            seed=self.seed,
            names=table.names,
            weights=weights,
        )
        shown = {self.training: table}
        if self.training == TOGETHER:
            shown |= self.view.hide_stimuli()
            if (moved := self.view.move_times()) is not None:
                shown[MOVED] = moved
        return {
            name: softmax(predict_logits(classifier, each.X[self.scored]), axis=1)
            for name, each in shown.items()
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class OriginFit:
    """Classifiers that predict the data set of each cell of a view."""

    view: FeatureView
    seed: int

    def run(self) -> dict[str, Floats]:
        """Return the log odds that each cell is in the second data set, (cells, 1)."""
        is_other = self.view.table.dataset == np.unique(self.view.table.dataset)[1]
        return {ORIGIN: predict_dataset(self.view.table.X, is_other, seed=self.seed)[:, None]}

    @property
    def scored(self) -> Ints:
        """Return the predicted rows, which are all rows."""
        return np.arange(len(self.view.table))


def list_fits(view: FeatureView, job: TransferJob) -> list[ClassFit]:
    """Return every fit of a view: on both data sets, within each, and from one to the other."""
    dataset = view.table.dataset
    places = [dataset == name for name in np.unique(dataset).tolist()]
    parts: list[tuple[str, Ints, Ints]] = []
    for fit, scored in folds_of(view.table, TRANSFER_FOLDS, group_by=job.group_by, seed=job.seed):
        parts += [(training, fit, scored) for training in (TOGETHER, EVEN)]
        parts += [(WITHIN, fit[here[fit]], scored[here[scored]]) for here in places]
    parts += [(ACROSS, np.flatnonzero(here), np.flatnonzero(~here)) for here in places]
    return [
        ClassFit(
            view=view,
            training=training,
            rows=rows,
            scored=scored,
            model=job.model,
            settings=job.settings,
            seed=job.seed,
        )
        for training, rows, scored in parts
        if len(scored)
    ]


def run_fits(
    work: Sequence[ClassFit | OriginFit], *, workers: int
) -> dict[tuple[str, str], dict[str, Floats]]:
    """Return the predictions of every training cell, by view and by training."""
    values: list[dict[str, Floats]] = [{}] * len(work)
    with progress(len(work), "fits between data sets") as bar:
        for at, found in map_unordered(_run_fit, work, workers=workers):
            values[at] = found
            bar.advance()
    # Filled in the order of the work, so that the order in which fits end has no effect.
    predicted: dict[tuple[str, str], dict[str, Floats]] = {}
    for fit, found in zip(work, values, strict=True):
        of_view = predicted.setdefault(fit.view.key, {})
        for name, scored in found.items():
            shape = len(fit.view.table), scored.shape[1]
            of_view.setdefault(name, np.full(shape, np.nan))[fit.scored] = scored
    return predicted


def _run_fit(fit: ClassFit | OriginFit) -> dict[str, Floats]:
    return fit.run()


def measure(
    views: list[FeatureView], job: TransferJob, *, disputed: frozenset[str] | None, workers: int
) -> TransferResults:
    """Fit and score everything except the carried-over classifiers."""
    fits = [fit for view in views for fit in list_fits(view, job)]
    origins = [OriginFit(view=view, seed=job.seed) for view in views]
    predicted = run_fits([*fits, *origins], workers=workers)
    table = views[0].table
    doubt = np.isin(table.specimen_id, sorted(disputed or ()))
    datasets = np.unique(table.dataset).tolist()
    is_second = table.dataset == datasets[1]
    rng = np.random.default_rng(job.seed)
    return TransferResults(
        datasets=(datasets[0], datasets[1]),
        views=tuple(view.key for view in views),
        scores={
            TransferKey(features=features, times=times, training=training, tested_on=cells): scores
            for (features, times), found in predicted.items()
            for training, probabilities in found.items()
            if training != ORIGIN
            for cells, scores in _score(table, training, probabilities, doubt, seed=job.seed)
        },
        origin={
            key: auc(found[ORIGIN][:, 0], is_second, rng=rng, donors=table.donor_id)
            for key, found in predicted.items()
        },
        drops=_compare_times(table, predicted, views[0].features, rng=rng),
        disputed={name: int(doubt[table.dataset == name].sum()) for name in datasets},
        has_metadata=disputed is not None,
        carried=(),
        carried_scores=(),
        plain_scores=(),
    )


def _score(
    table: EpTable, training: str, probabilities: Floats, doubt: Bools, *, seed: int
) -> Iterator[tuple[str, TransferScores]]:
    """Yield which cells are scored, and their scores; all are resampled with the same seed."""

    def score(rows: Bools, weights: Floats | None = None) -> TransferScores:
        cells = predictions_of(table.rows(rows), probabilities[rows])
        return transfer_scores(cells, rng=np.random.default_rng(seed), weights=weights)

    everyone = np.ones(len(table), dtype=bool)
    if training in HIDDEN:
        yield BOTH, score(everyone)
        return
    if training in (TOGETHER, EVEN):
        yield BOTH, score(everyone)
        yield WEIGHED, score(everyone, independence_weights(table.truth, table.dataset))
    for name in np.unique(table.dataset).tolist():
        here = table.dataset == name
        yield name, score(here)
        if training in (TOGETHER, ACROSS) and doubt[here].any():
            yield name + UNDISPUTED, score(here & ~doubt)


def _compare_times(
    table: EpTable,
    predicted: Mapping[tuple[str, str], Mapping[str, Floats]],
    features: str,
    *,
    rng: np.random.Generator,
) -> dict[str, Interval]:
    """Return the gain in weighted F1 from times since the onset, over absolute times."""
    if (features, ABSOLUTE) not in predicted:
        return {}
    absolute, aligned = (
        predictions_of(table, predicted[features, times][TOGETHER]) for times in (ABSOLUTE, ONSET)
    )
    groups = compare(absolute, aligned, rng=rng).groups
    return {name: group.differences["weighted_f1"].difference for name, group in groups.items()}
