"""TEST and PREDICT of a stored model of tables."""

from dataclasses import dataclass
from pathlib import Path

from sts.base.errors import StsError
from sts.base.workspace import Workspace
from sts.datasets.feature_sets import raw_features, with_features
from sts.evaluation.calibration import SET_COVERAGE
from sts.reports.new_cells import PredictResult
from sts.signals.feature_names import PUBLISHED_ONSET_S
from sts.studies.classify.stored import (
    CellSource,
    Tested,
    find_new_features,
    make_copy_job,
    predict_cells,
    refuse_other_cells,
    test_model,
)
from sts.studies.classify.tables.cells import Source, load_table
from sts.studies.classify.tables.model import TableModel
from sts.studies.classify.tables.settings import Chosen
from sts.tabular.checkpoint import baseline_folder, load_baseline


@dataclass(frozen=True, kw_only=True)
class TestJob:
    """A stored model, and the cells for the test."""

    __test__ = False  # pytest takes the name for a test

    model: str
    variant: str
    data: str
    seed: int = 0
    name: str | None = None
    """The model's own name, if it has one."""


@dataclass(frozen=True, kw_only=True)
class TablePredictJob:
    """A stored model, and the new cells for prediction."""

    model: str
    variant: str
    source: CellSource
    name: str | None = None
    """The model's own name, if it has one."""
    coverage: float = SET_COVERAGE
    """Share of new cells whose prediction set contains the true class."""


def test_table(workspace: Workspace, job: TestJob, *, source: Source) -> Tested:
    """Score the stored model on the holdout and leave a report."""
    model = load_baseline(baseline_folder(workspace.models, job.model, job.variant, job.name))
    card = model.card
    chosen = Chosen(title=card.features, names=card.names, times=card.times)
    cohort = load_table(source, chosen, seed=job.seed)
    refuse_other_cells(card, cohort)
    fitted = TableModel(model=model, cells=cohort.cells)
    return test_model(workspace, job, fitted, cohort, study="baseline-test")


def predict_by_table(
    workspace: Workspace, job: TablePredictJob, *, workers: int = 0, write_nwb: Path | None = None
) -> PredictResult:
    """Predict the class of every cell with reasons, and leave a table and a page.

    Parameters
    ----------
    write_nwb
        The folder for copies of the recordings with their results, None to write none.
    """
    model = load_baseline(baseline_folder(workspace.models, job.model, job.variant, job.name))
    card = model.card
    needed = raw_features(card.names)
    cells, table = find_new_features(job.source, needed=needed, workers=workers)
    fitted = None
    if table is not None:
        if card.times == "absolute" and set(table.dataset.tolist()) - set(PUBLISHED_ONSET_S):
            raise StsError(
                f"{card.name} {card.features} was trained on absolute sweep times, which mean "
                "nothing for other recordings: use a model whose times count from the onset"
            )
        features = with_features(table, card.names, times=card.times)
        fitted = TableModel(model=model, cells=features, coverage=job.coverage)
    return predict_cells(
        workspace,
        job,
        study="baseline-predict",
        name=f"{card.name}-{card.features}",
        sha256=card.sha256,
        cells=cells,
        model=fitted,
        copies=make_copy_job(job.source, write_nwb, workers=workers),
    )
