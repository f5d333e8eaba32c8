"""TEST and PREDICT of a model of tables."""

from dataclasses import dataclass

from sts.base.errors import StsError
from sts.base.workspace import Workspace
from sts.datasets.ep_tables import EpTable
from sts.datasets.feature_sets import raw_features, with_features
from sts.reports.called import Prediction
from sts.signals.features import PUBLISHED_ONSET_S
from sts.studies.classify.looking import Tested, call_cells, refuse_other_cells, test_model
from sts.studies.classify.new_cells import CellSource, find_new_features
from sts.studies.classify.tables.cells import Source, load_table
from sts.studies.classify.tables.model import TableModel
from sts.studies.classify.tables.settings import Chosen
from sts.tabular.checkpoint import Baseline, baseline_folder, load_baseline


@dataclass(frozen=True, kw_only=True)
class TestJob:
    """Which stored model is tested on which cells."""

    __test__ = False  # not a test, whatever pytest takes the name for

    model: str
    variant: str
    data: str
    seed: int = 0
    name: str | None = None
    """Of the model, where it has one of its own."""


@dataclass(frozen=True, kw_only=True)
class TablePredictJob:
    """Which new cells are looked at by which stored model."""

    model: str
    variant: str
    source: CellSource
    name: str | None = None
    """Of the model, where it has one of its own."""


def test_table(workspace: Workspace, job: TestJob, *, source: Source) -> Tested:
    """Score the stored model on the holdout and leave a report."""
    model = stored_model(workspace, job.model, job.variant, name=job.name)
    card = model.card
    # The model says which features it takes.
    chosen = Chosen(title=card.features, names=card.names, times=card.times)
    cohort = load_table(source, chosen, seed=job.seed)
    refuse_other_cells(card, cohort)
    looking = TableModel(model=model, cells=cohort.cells)
    return test_model(workspace, job, looking, cohort, study="baseline-test")


def stored_model(
    workspace: Workspace, model: str, variant: str, *, name: str | None = None
) -> Baseline:
    """Return the model that TRAIN has left in the workspace."""
    return load_baseline(baseline_folder(workspace.models, model, variant, name))


def predict_by_table(workspace: Workspace, job: TablePredictJob, *, workers: int = 0) -> Prediction:
    """Say of every cell what it is and why, and leave a table and a page."""
    stored = stored_model(workspace, job.model, job.variant, name=job.name)
    needed = raw_features(stored.card.names)
    found, cells = find_new_features(job.source, needed=needed, workers=workers)
    return call_cells(
        workspace,
        job,
        study="baseline-predict",
        what=f"{stored.card.name}-{stored.card.features}",
        sha256=stored.card.sha256,
        found=found,
        model=None if cells is None else _look_at(stored, cells),
    )


def _look_at(stored: Baseline, cells: EpTable) -> TableModel:
    """Return the model with new cells, or refuse times that mean nothing there."""
    card = stored.card
    if card.times == "absolute" and set(cells.dataset.tolist()) - set(PUBLISHED_ONSET_S):
        raise StsError(
            f"{card.name} {card.features} was trained on absolute sweep times, which mean nothing "
            "for other recordings: use a model whose times count from the onset"
        )
    return TableModel(model=stored, cells=with_features(cells, card.names, times=card.times))
