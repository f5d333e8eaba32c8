"""A laboratory left out: its cells train nothing, its labels come from other donors."""

import csv
from pathlib import Path

import numpy as np
import pytest

from sts.base.workspace import Workspace
from sts.cli.baseline import main
from sts.cli.run import Status
from sts.datasets.laboratories import LabelledTable, join_tables
from sts.evaluation.scores import Interval
from sts.studies.classify import leave_out as module
from sts.studies.classify.leave_out import draw_labels, leave_out, make_target
from sts.studies.classify.leave_out_pages import LeaveOutJob, UnseenScores, list_unseen_panels
from tests.datasets.ep_worlds import make_table

SETS = {"PatchSeq": "mouse", "MotorCortex": "mouse", "HumanInterneurons": "human"}
CELLS = 80


def make_set(name: str, species: str, seed: int) -> LabelledTable:
    table = make_table(CELLS, seed=seed)
    nothing = np.full(CELLS, "", dtype="<U40")
    at = np.arange(CELLS)
    # Interneurons alone in the human set.
    kept = at if species == "mouse" else at[table.label != "Excitatory"]
    whole = LabelledTable(
        specimen_id=np.array([f"{name} {each}" for each in at]),
        claimed_id=table.claimed_id,
        donor_id=np.array([f"{name} donor {each // 6}" for each in at]),
        label=table.label,
        dataset=np.full(CELLS, name),
        X=table.X,
        names=table.names,
        subclass=nothing,
        t_type=nothing,
        met_type=nothing,
        species=np.full(CELLS, species),
        preparation=np.where(at % 8 < 4, "acute", "cultured" if species == "human" else "acute"),
        dendrite=nothing,
    )
    return whole.rows(kept)


@pytest.fixture
def table() -> LabelledTable:
    sets = [make_set(name, species, at) for at, (name, species) in enumerate(SETS.items())]
    return join_tables(sets)


def test_what_is_left_out_trains_nothing(table: LabelledTable) -> None:
    target = make_target(table, "MotorCortex", seed=0)
    assert target is not None
    # Human cells train nothing either.
    assert target.trained_on == ("PatchSeq",)
    assert set(target.cells.dataset.tolist()) == {"MotorCortex"}
    spoilt = table.rows(np.arange(len(table)))
    spoilt.X[spoilt.dataset != "PatchSeq"] *= 3
    again = make_target(spoilt, "MotorCortex", seed=0)
    assert again is not None
    np.testing.assert_array_equal(target.carried.predict(target.X), again.carried.predict(target.X))


def test_human_cells_are_of_the_classes_that_are_there(table: LabelledTable) -> None:
    target = make_target(table, "HumanInterneurons", seed=0)
    assert target is not None
    assert target.trained_on == ("MotorCortex", "PatchSeq")
    assert (target.carried.predict(target.X)[:, 1] == 0).all(), "no excitatory cell is among them"


def test_a_data_set_with_few_of_the_features_does_not_train(table: LabelledTable) -> None:
    few = table.rows(np.arange(len(table)))
    few.X[few.dataset == "MotorCortex", 20:] = np.nan
    target = make_target(few, "HumanInterneurons", seed=0)
    assert target is not None
    assert target.trained_on == ("PatchSeq",)
    assert target.X.shape[1] == target.X_own.shape[1]
    # The other way round nothing is lost: the features of the small set are in the large one.
    target = make_target(few, "MotorCortex", seed=0)
    assert target is not None
    assert (target.trained_on, target.X.shape[1]) == (("PatchSeq",), 20)


@pytest.mark.parametrize("case", ["few cells of a second class", "one donor", "one label of many"])
def test_a_laboratory_too_small_for_labels_is_scored_without(
    table: LabelledTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    here = table.dataset == "MotorCortex"
    kept = ~here | (table.label == "Sst")
    if case == "few cells of a second class":
        kept[np.flatnonzero(here & (table.label == "Pvalb"))[:2]] = True
    small = table.rows(np.flatnonzero(kept))
    if case == "one donor":
        small = table.rows(np.flatnonzero(table.dataset != "HumanInterneurons"))
        small.donor_id[small.dataset == "MotorCortex"] = "the only one"
    elif case == "one label of many":
        # All cells of the second class are of one donor.
        rows = np.flatnonzero(here & (table.label == "Pvalb"))
        kept[rows] = True
        small = table.rows(np.flatnonzero(kept))
        small.donor_id[(small.dataset == "MotorCortex") & (small.label == "Pvalb")] = "one"
    monkeypatch.setattr(module, "read_laboratories", lambda names, data: small)
    job = LeaveOutJob(datasets=("PatchSeq", "MotorCortex"), labels=(4,), draws=1)
    _, found = leave_out(Workspace(tmp_path), job, data=tmp_path)
    ways = [each.way for each in found if each.tested_on == "MotorCortex"]
    assert ways[:3] == ["as measured", "aligned", "self-trained"]
    if case != "one label of many":
        assert len(ways) == 3


def test_labels_are_of_other_donors_than_test_cells(table: LabelledTable) -> None:
    target = make_target(table, "MotorCortex", seed=0)
    assert target is not None
    for seed in range(3):
        rows, test = draw_labels(target, 5, seed=seed)
        assert np.bincount(target.truth[rows]).tolist() == [5, 5, 5, 5]
        donors = target.cells.donor_id
        assert not set(donors[rows].tolist()) & set(donors[test].tolist())


def test_every_set_is_left_out_in_turn(
    table: LabelledTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, "read_laboratories", lambda names, data: table)
    job = LeaveOutJob(datasets=tuple(SETS), labels=(4,), draws=2)
    folder, found = leave_out(Workspace(tmp_path), job, data=tmp_path)
    with (folder / "left_out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found)
    groups = {name: [row for row in rows if row["tested on"] == name] for name in SETS}
    for own in groups.values():
        ways = [row["way"] for row in own]
        assert ways == ["as measured", "aligned", "self-trained", "adapted", "labels alone"]
    cultured = [row for row in rows if row["tested on"] == "HumanInterneurons, cultured"]
    assert [row["way"] for row in cultured] == ["as measured", "aligned", "self-trained"]
    # Classes of these cells are far from each other in 45 features.
    assert all(each.macro_f1.value > 0.6 for each in found if each.way == "as measured")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "adapted, 4 labels a class" in page
    assert "Human cortical interneurons" in page
    assert (folder / "figures" / "left_out.png").is_file()


def test_a_panel_shows_recall_where_there_is_one_class() -> None:
    half = Interval(value=0.5, low=0.4, high=0.6)

    def scores(name: str, *classes: str) -> UnseenScores:
        return UnseenScores(
            trained_on=("PatchSeq",),
            tested_on=name,
            way="aligned",
            labels=0,
            cells=1200,
            weighted_f1=half,
            macro_f1=Interval(value=0.9, low=0.8, high=1.0),
            balanced_accuracy=half,
            recalls=dict.fromkeys(classes, half),
        )

    several, single = list_unseen_panels(
        [scores("A, acute", "Pvalb", "Sst"), scores("B", "Excitatory")]
    )
    assert several.marks["aligned"]["A\nacute\n1,200 cells"].value == 0.9
    assert single.marks["aligned"]["B\n1,200 cells"] == half
    assert single.label.startswith("recall")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--leave-out", "all"], "--leave-out goes with --transfer"),
        (["--transfer", "--adapt", "5"], "--adapt goes with --leave-out"),
        (["--transfer", "--leave-out", "all", "--trials", "3"], "would ignore --trials"),
        (["--transfer", "--leave-out", "all", "--model", "svm"], "would ignore --model"),
        (["--transfer", "--leave-out", "all", "--wandb", "offline"], "would ignore --wandb"),
        (["--transfer", "--leave-out", "PatchSeq"], "each is left out while the others train"),
        (["--transfer", "--leave-out", "PatchSeq", "Motor"], "no Split/PatchSeq_EP_features.csv"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "data").mkdir()
    assert main(["--root", str(tmp_path), *arguments]) == Status.USER
    assert message in capsys.readouterr().err
