"""--types on a small world: donors in one fold, answers that agree, no held-out specimens."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.types import CLASSES
from sts.base.workspace import Workspace
from sts.cli import baseline
from sts.datasets.cell_types import LEVELS
from sts.evaluation.type_scores import score_answers
from sts.reports import new_cells, type_answers
from sts.reports.checklist import NOT_RECORDED, fill_checklist
from sts.reports.type_answers import LEVEL_COLUMNS
from sts.reports.viewer.answers import read_answers
from sts.signals.feature_names import FEATURES
from sts.studies.classify.types import cells as typed_cells
from sts.studies.classify.types import judge
from sts.studies.classify.types.cells import TypesJob, read_typed_cells
from sts.studies.classify.types.judge import JudgedTypes, judge_types
from sts.tabular.released import load_released
from sts.tabular.trees import BoostedTrees
from tests.datasets.allen import write_patchseq
from tests.datasets.ep_worlds import make_table, write_published

CELLS = 400
SUBCLASSES = {"Pvalb": ("Pvalb",), "Sst": ("Sst",), "Vip/Lamp5": ("Vip", "Lamp5")}
DONORS = 23


def t_type(at: int, label: str) -> str:
    """Return one of two T-types of a subclass; excitatory cells have none."""
    if label == "Excitatory":
        return ""
    names = SUBCLASSES[label]
    return f"{names[at // 8 % len(names)]} type{at // 16 % 2}"


def write_world(data: Path) -> None:
    """Write the study's files; the T-type of an interneuron is to be seen in its features."""
    table = make_table(CELLS)
    labels = table.label.tolist()
    types = [t_type(at, label) for at, label in enumerate(labels)]
    X = table.X.copy()
    for at, name in enumerate(types):
        X[at, 1] *= 3.0 if name.startswith("Lamp5") else 1.0
        X[at, 3] *= 3.0 if name.endswith("type1") else 1.0
    write_published(data, replace(table, X=X))
    cells = zip(table.specimen_id.tolist(), types, table.dataset.tolist(), strict=True)
    write_patchseq(
        data / "20200711_patchseq_metadata_mouse.csv",
        [
            (specimen, f"9{specimen}", f"a-{331000 + at % DONORS}", name, "aspiny")
            for at, (specimen, name, dataset) in enumerate(cells)
            if dataset == "PatchSeq"
        ],
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, JudgedTypes]]:
    root = tmp_path_factory.mktemp("types")
    write_world(root / "data")
    quick = BoostedTrees(n_estimators=15, min_child_samples=3, learning_rate=0.2)
    patched = pytest.MonkeyPatch()
    patched.setattr(typed_cells, "make_members", lambda _seed: quick)
    patched.setattr(typed_cells, "make_fine_members", lambda _seed: quick)
    yield root, judge_types(Workspace(root), TypesJob(folds=3), data=root / "data")
    patched.undo()


def test_no_published_test_specimen_takes_part(world: tuple[Path, JudgedTypes]) -> None:
    root, judged = world
    split = (root / "data" / "Split" / "Test_split.csv").read_text()
    held = {line.split(",")[0] for line in split.splitlines()}
    ids = set(judged.cells.table.specimen_id.tolist())
    assert held
    assert not held & ids
    with (judged.folder / "predictions.csv").open() as file:
        named = {row["specimen_id"] for row in csv.DictReader(file)}
    assert named == ids


def test_every_level_counts_the_cells_that_are_known_as_finely(
    world: tuple[Path, JudgedTypes],
) -> None:
    judged = world[1]
    assert tuple(judged.levels) == LEVELS
    table, truth = judged.cells.table, judged.cells.truth
    known = [len(judged.levels[name].rows) for name in LEVELS]
    assert known[0] == known[1] == len(table)
    has_type = (judged.cells.tree.depths[truth] == 4) | (table.label == "Excitatory")
    assert known[3] == has_type.sum() < len(table)


def test_types_are_told_better_than_by_chance_and_sets_hold_them(
    world: tuple[Path, JudgedTypes],
) -> None:
    judged = world[1]
    scores = {name: score_answers(answers) for name, answers in judged.levels.items()}
    assert scores["class"].first.value > 0.8
    # Of two T-types a subclass, half would be right by chance.
    assert scores["T-type"].first.value > 0.6
    assert scores["T-type"].among_few.value >= scores["T-type"].first.value
    for name in LEVELS:
        # Each fold's cells are calibrated on those of two others: not exact, but near.
        assert scores[name].held.high > 0.9
        # Half of a few wrong calls means little.
        if (1 - scores[name].first.value) * scores[name].cells >= 10:
            assert scores[name].wrong_dropped >= scores[name].right_dropped


def test_the_report_says_what_was_found(world: tuple[Path, JudgedTypes]) -> None:
    judged = world[1]
    report = json.loads((judged.folder / "report.json").read_text())
    assert set(report["levels"]) == set(report["groups"]) == set(LEVELS)
    assert report["cells"] == len(judged.cells.table)
    groups = report["groups"]["class"]
    counted = sum(groups[name]["cells"] for name in ("PatchClamp", "PatchSeq"))
    assert counted == report["cells"]
    sides = {name: "Excitatory" if name == "Excitatory" else "Inhibitory" for name in CLASSES}
    assert all(f"{side} > {name}" in groups for name, side in sides.items())
    assert (judged.folder / "report.html").read_text().count("<table") == 4 + 2 * len(LEVELS)
    for name in ("types", "risk_coverage"):
        assert (judged.folder / "figures" / f"{name}.png").is_file()
    # The study's classes and both of its data sets, each left out once.
    assert len(report["unlike"]) == len(CLASSES) + 2
    areas = [report["unlike"][f"class {name}"]["area"]["value"] for name in CLASSES]
    assert np.mean(areas) > 0.6
    assert set(report["left_out_sets"]) == {"PatchClamp", "PatchSeq"}
    for each in report["left_out_sets"].values():
        assert each["cautious"]["value"] >= each["pooled"]["value"]
    assert sum(each["cells"] for each in report["left_out_sets"].values()) == report["cells"]


def test_a_reporting_checklist_is_filled_from_its_files(world: tuple[Path, JudgedTypes]) -> None:
    items = {item.id: item.from_run for item in fill_checklist(world[1].folder)}
    scores = score_answers(world[1].levels["class"])
    assert "Pvalb, Sst, Vip/Lamp5; 9 types below them." in items["REFORMS 1a"]
    assert items["REFORMS 3a"].startswith("Cells by data set: PatchClamp ")
    assert f"class {scores.first.in_words()} (n = {scores.cells})" in items["REFORMS 7a"]
    assert "Share of right classes: PatchClamp 0." in items["REFORMS 8a"]
    for name in ("REFORMS 3d", "REFORMS 5a", "REFORMS 5c", "REFORMS 6b", "REFORMS 8b"):
        assert NOT_RECORDED not in items[name]


def test_donors_stand_on_one_side_of_a_fold(tmp_path: Path) -> None:
    write_world(tmp_path)
    cells = read_typed_cells(tmp_path)
    donors = cells.table.donor_id
    assert len(np.unique(donors[donors != ""])) == DONORS
    for fitted, scored in judge.folds_of(cells.table, 3, seed=0):
        assert not (set(donors[fitted]) & set(donors[scored])) - {""}


def test_any_data_sets_can_be_chosen(tmp_path: Path) -> None:
    write_world(tmp_path)
    assert set(read_typed_cells(tmp_path).table.dataset) == {"PatchClamp", "PatchSeq"}
    one = read_typed_cells(tmp_path, ["PatchSeq"])
    assert set(one.table.dataset) == {"PatchSeq"}
    assert set(one.table.label) == set(CLASSES)
    with pytest.raises(StsError, match=r"no exc_mMET_ephys_features\.csv in"):
        read_typed_cells(tmp_path, ["PatchSeq", "ExcitatoryV1"])
    with pytest.raises(StsError, match="no licence is known of MotorCortex"):
        read_typed_cells(tmp_path, ["PatchSeq", "MotorCortex"], for_release=True)


@pytest.mark.data
def test_a_tree_needs_cells_of_all_four_classes(data_dir: Path) -> None:
    with pytest.raises(StsError, match="no cell of HumanInterneurons is Excitatory"):
        read_typed_cells(data_dir, ["HumanInterneurons"])


def test_without_a_published_data_set_the_user_is_told(tmp_path: Path) -> None:
    with pytest.raises(StsError, match="none of the data sets PatchClamp"):
        read_typed_cells(tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--types", "--published"], "leave out --published"),
        (["--types", "--model", "svm"], "leave out --model"),
        (["PREDICT", "--types", "--model", "svm", "--table", "t"], "leave out --model"),
        (["--types", "--trials", "3"], "leave out --trials"),
        (["--types", "--skip-missing"], "leave out --skip-missing"),
        (["--types", "--group-by", "donor"], "leave out --group-by"),
        (["--types", "--storage", "s.sqlite"], "leave out --storage"),
        (["--types", "--wandb", "offline"], "leave out --wandb"),
        (["TEST", "--types"], "--types goes with TRAIN and PREDICT"),
        (["--release", "there"], "--release goes with --types"),
        (["--datasets", "PatchSeq"], "--datasets goes with --types"),
        (["--types", "--datasets", "Patchseq"], "did you mean 'PatchSeq'"),
        (["PREDICT", "--types", "--datasets", "PatchSeq"], "--datasets belongs to TRAIN"),
        (["--types", "--release", "there", "--name", "mine"], "give no other"),
        (["PREDICT", "--types", "--release", "there"], "--release names the place"),
        (["--types", "--release", "there", "--datasets", "PatchSeq"], "leave out --datasets"),
        (["--coverage", "0.9"], "--coverage goes with --types"),
        (["--types", "--coverage", "90"], "between 0 and 1"),
        (["--types", "--estimate-frequencies"], "--estimate-frequencies"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert baseline.main([*words, "--root", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_the_tree_is_stored_and_answers_for_new_cells(
    world: tuple[Path, JudgedTypes], capsys: pytest.CaptureFixture[str]
) -> None:
    root, judged = world
    assert judged.place == root / "models" / "TypeTree_best_models" / "engineered"
    table = judged.cells.table
    new = root / "new.csv"
    lines = [",".join(["specimen_id", *FEATURES])]
    columns = table.columns()
    for at in range(6):
        values = [f"{columns[name][at]:.9g}" if name in columns else "" for name in FEATURES]
        lines.append(",".join([f"new{at}", *("" if value == "nan" else value for value in values)]))
    lines.append(",".join(["odd", *("-900" for _ in FEATURES)]))
    new.write_text("\n".join(lines) + "\n")
    words = ["PREDICT", "--types", "--coverage", "0.8", "--table", str(new), "--root", str(root)]
    assert baseline.main(words) == 0
    shown = capsys.readouterr()
    assert "sets that hold the true type of 80%" in shown.out
    assert "odd looks unlike the training cells" in shown.err
    (folder,) = (root / "output" / "baseline-predict" / "TypeTree-engineered").iterdir()
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == (*new_cells.NEW_CELL_COLUMNS, *type_answers.ANSWER_COLUMNS)
    assert (rows[-1]["unlike_training"], rows[-1]["answer"]) == ("True", "")
    for row in rows[:-1]:
        assert row["set_coverage"] == "0.8"
        assert row["prediction_set"] == (row["set_class"] or "none")
        assert row["because_1"].endswith(f"towards {row['prediction']}")
        # The answer is a node that the sets of its level and of those above it hold alone.
        *_, last = row["answer"].split(" > ")
        assert not last or last in "; ".join(row[f"set_{each}"] for each in LEVEL_COLUMNS)
    with (folder / "types.csv").open() as file:
        types = [line for line in csv.DictReader(file) if line["specimen_id"] == "new0"]
    for level in LEVELS:
        total = sum(float(line["probability"]) for line in types if line["level"] == level)
        # Of rounded numbers, one for each type.
        assert total == pytest.approx(1.0, abs=1e-4)
    page = (folder / "report.html").read_text()
    assert "nearest prototypes" in page
    # The viewer reads the same sets.
    viewed = read_answers(folder / "predictions.csv")
    for row in rows[:-1]:
        answer = viewed[row["specimen_id"]]
        assert answer.possible == tuple(filter(None, row["set_class"].split("; ")))
        assert [level.level for level in answer.levels] == list(LEVELS)
        assert [level.possible for level in answer.levels] == [
            tuple(filter(None, row[f"set_{each}"].split("; "))) for each in LEVEL_COLUMNS
        ]
        given = [level.call for level in answer.levels if level.is_given]
        assert given == (row["answer"].split(" > ") if row["answer"] else [])
    assert not any(level.is_given for level in viewed["odd"].levels)


def test_frequencies_of_new_cells_are_estimated_and_their_sets_stay(
    world: tuple[Path, JudgedTypes], capsys: pytest.CaptureFixture[str]
) -> None:
    root, judged = world
    table = judged.cells.table
    columns = table.columns()
    # A laboratory that records excitatory cells nearly alone.
    chosen = np.flatnonzero(table.truth == CLASSES.index("Excitatory"))[:30].tolist()
    lines = [",".join(["specimen_id", *FEATURES])]
    for at in chosen:
        values = [f"{columns[name][at]:.9g}" if name in columns else "" for name in FEATURES]
        lines.append(",".join([f"new{at}", *("" if value == "nan" else value for value in values)]))

    def predict(count: int, *more: str) -> tuple[int, list[dict[str, str]]]:
        new = root / "laboratory.csv"
        new.write_text("\n".join(lines[: count + 1]) + "\n", encoding="utf-8")
        words = ["PREDICT", "--types", "--table", str(new), "--root", str(root), *more]
        code = baseline.main(words)
        folders = (root / "output" / "baseline-predict" / "TypeTree-engineered").iterdir()
        newest = max(folders, key=lambda folder: folder.stat().st_mtime_ns)
        with (newest / "predictions.csv").open() as file:
            return code, list(csv.DictReader(file))

    _, plain = predict(30)
    _, estimated = predict(30, "--estimate-frequencies")
    column = "probability_Excitatory"
    assert np.mean([float(row[column]) for row in plain]) < np.mean(
        [float(row[column]) for row in estimated]
    )
    assert [row["answer"] for row in plain] == [row["answer"] for row in estimated]
    capsys.readouterr()
    code, few = predict(19, "--estimate-frequencies")
    assert (code, len(few)) == (0, 19)
    assert "needs 20 cells with features, and 19 have them" in capsys.readouterr().err


def test_the_same_cells_and_seed_make_the_same_release(
    world: tuple[Path, JudgedTypes], tmp_path: Path
) -> None:
    root, judged = world
    folder = tmp_path / "given"
    again = judge_types(Workspace(tmp_path), TypesJob(folds=3), data=root / "data", release=folder)
    assert again.model.card.sha256 == judged.model.card.sha256
    assert load_released(folder).card == again.model.card
    card = (folder / "MODEL_CARD.md").read_text()
    score = score_answers(judged.levels["class"])
    assert f"| class | all | {score.cells} | {score.first.value:.3f} [" in card
    assert "MotorCortex: no licence is known of motor-cortex" in card
    assert "Made from a part of the published tables" in card
    report = json.loads((again.folder / "report.json").read_text())
    # Whatever one class gains without a stimulus, others lose.
    gains = [line.split(" | ")[-1] for line in card.splitlines() if " alone | class |" in line]
    assert len(gains) == 2
    assert any(re.fullmatch(r"\S+ \+0\.\d{3} \|", gain) for gain in gains)
    assert "| all | class |" in card
    (warned,) = [line for line in card.splitlines() if line.startswith("| class Pvalb |")]
    assert warned.endswith(f"| {report['unlike']['class Pvalb']['false_alarms']:.3f} |")
