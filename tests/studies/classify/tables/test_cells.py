"""Which cells of a table are trained on, and what is said of files that are not sound."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sts.cli.baseline import main
from sts.cli.run import Status
from sts.datasets.table import write_features
from sts.studies.classify.tables.cells import Source, load_table
from sts.studies.classify.tables.settings import choose
from tests.datasets import ep_worlds
from tests.datasets.allen import PATCHSEQ, write_patchseq
from tests.datasets.ep_worlds import make_table, write_own, write_published
from tests.studies.classify.tables.worlds import LABELS, QUICK, card_of, edit, make_workspace


def test_the_folds_share_no_cell_and_leave_the_holdout_alone(tmp_path: Path) -> None:
    data = make_workspace(tmp_path / "world") / "data"
    cohort = load_table(Source(data=data), choose("shared"))
    held_out = set(cohort.open_holdout("test").tolist())
    assert len(held_out) == 24
    for fold in cohort.folds(3, group_by="specimen", seed=0):
        fit, scored = set(fold.fit.tolist()), set(fold.scored.tolist())
        assert (len(fit), len(scored)) == (64, 32)
        assert not fit & scored
        assert not (fit | scored) & held_out


def test_cells_of_ones_own_are_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_workspace(tmp_path / "world")
    table = make_table(80, seed=5)
    table = replace(table, specimen_id=np.array([f"own {at}" for at in range(80)]))
    own = tmp_path / "mine"
    own.mkdir()
    path = write_own(own, table)
    path.write_text(
        path.read_text()
        .replace(",Pvalb,", ",,")
        .replace(",Excitatory,", ",,")
        .replace(",Vip/Lamp5,", ",,")
        .replace(",Sst,", ",,")
    )
    lines = [f"{a},{b}" for a, b in zip(table.specimen_id, table.label, strict=True)]
    (tmp_path / "classes.csv").write_text("\n".join(["specimen_id,label", *lines]))
    arguments = ["--root", str(root), *QUICK, "--table", str(path)]
    assert main(arguments) == Status.USER
    assert main([*arguments, "--labels", str(tmp_path / "classes.csv")]) == Status.DONE
    assert card_of(root)["data"]["training_cells"] == 64
    capsys.readouterr()
    assert main(["--root", str(root), *QUICK]) == Status.DONE
    assert "contained a model of other cells, which is kept in" in capsys.readouterr().err
    models = root / "models" / "LightGBM_best_models"
    (kept,) = [path.name for path in models.iterdir() if path.name != "shared"]
    assert card_of(root, kept)["data"]["training_cells"] == 64
    before = card_of(root)
    assert main(["--root", str(root), *QUICK, "--name", "mine"]) == Status.DONE
    assert sorted(path.name for path in models.iterdir()) == ["mine", "shared", kept]
    assert card_of(root) == before
    test = ["TEST", "--root", str(root), "--features", "shared", "--name"]
    assert main([*test, "mine"]) == Status.DONE
    # It was trained on other cells than the table at hand holds.
    assert main([*test, kept]) == Status.USER
    assert main([*test, "yours"]) == Status.USER
    assert "no model at" in capsys.readouterr().err
    assert [each.name for each in own.iterdir()] == ["features.csv"], "their folder is theirs"
    assert (root / "data" / "splits" / "features.json").is_file()
    assert not (root / "data" / "split.json").exists()


def test_a_table_is_read_and_nothing_beside_it(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "world")
    folder = tmp_path / "theirs"
    write_published(folder, make_table(40, seed=1))
    table = make_table(80, seed=5)
    other = replace(table, specimen_id=np.array([f"own {at}" for at in range(80)]))
    path = write_own(folder, other).rename(folder / "mine.csv")
    (folder / "labels.csv").write_text("specimen_id,label\nown 1,Sst\nown 1,Sst\n")
    before = set(folder.rglob("*"))
    folder.chmod(0o555)
    assert main(["--root", str(root), *QUICK, "--table", str(path)]) == Status.DONE
    folder.chmod(0o755)
    assert set(folder.rglob("*")) == before
    assert card_of(root)["data"]["training_cells"] == 64
    assert (root / "data" / "splits" / "mine.json").is_file()


def test_a_row_more_in_a_table_moves_no_cell(tmp_path: Path) -> None:
    source = Source(data=tmp_path / "data", table=write_own(tmp_path, make_table(80, seed=5)))
    first = load_table(source, choose("shared"))
    write_own(tmp_path, make_table(84, seed=5))
    second = load_table(source, choose("shared"))
    assert first.split.test <= second.split.test
    assert first.split.train <= second.split.train
    assert len(second.cells) == 84


def test_donors_stand_in_one_fold_and_on_one_side(tmp_path: Path) -> None:
    donors = np.array([f"d{at // 4}" for at in range(160)])
    rows = ep_worlds.rows_of(make_table(160))
    own = [replace(row, donor_id=str(donor)) for row, donor in zip(rows, donors, strict=True)]
    write_features(tmp_path / "features.csv", own)
    cohort = load_table(Source(data=tmp_path), choose("shared"))
    donor_id = cohort.cells.donor_id
    held = set(donor_id[cohort.open_holdout("a test")].tolist())
    assert not held & set(donor_id[cohort.train_rows].tolist())
    for fold in cohort.folds(3, group_by="donor", seed=0):
        assert not set(donor_id[fold.fit].tolist()) & set(donor_id[fold.scored].tolist())
    said = cohort.predictions(cohort.train_rows, np.full((len(cohort.train_rows), 4), 0.25))
    assert said.donors.tolist() == donor_id[cohort.train_rows].tolist()


def test_donors_come_from_the_metadata_in_the_folder(tmp_path: Path) -> None:
    write_published(tmp_path, make_table(40))
    cells = [("1004", "1", "a-331294", "", ""), ("1012", "2", "a-331294", "", "")]
    write_patchseq(tmp_path / PATCHSEQ, cells)
    table = load_table(Source(data=tmp_path), choose("shared")).cells
    known = dict(zip(table.specimen_id.tolist(), table.donor_id.tolist(), strict=True))
    assert {name: donor for name, donor in known.items() if donor} == {
        "1004": "331294",
        "1012": "331294",
    }


def test_a_feature_that_no_training_cell_has_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_workspace(tmp_path / "world")

    def empty(rows: list[list[str]]) -> None:
        at = rows[0].index("sag")
        for row in rows[1:]:
            row[at] = ""

    for path in (root / "data" / "Split").glob("*_EP_features.csv"):
        edit(path, empty)
    assert main(["--root", str(root), *QUICK]) == Status.USER
    told = capsys.readouterr().err
    assert "none of the 96 training cells has a value of sag" in told
    assert "--skip-missing" in told
    assert main(["--root", str(root), *QUICK, "--skip-missing"]) == Status.DONE
    assert "sag" not in card_of(root)["names"]


def harm(root: Path, name: str, old: str, new: str) -> None:
    path = root / "data" / name
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        (LABELS, "Pvalb 1000", "Pvlab 1000", "line 1: unknown class 'Pvlab': did you mean 'Pvalb'"),
        (LABELS, "Excitatory 1001", "Excitatory 1000", "line 2: specimen 1000 has a label"),
        (LABELS, "Pvalb 1000", "Pvalb 1000 x", "line 1"),
        (LABELS, "Pvalb 1000\n", "", "without a label (1), such as 1000"),
        ("Split/Train_split.csv", "1001, Clamp", "77, Clamp", "77"),
        ("Split/Train_split.csv", "1001, Clamp", "1002, Clamp", "1002"),
        ("Split/Train_split.csv", "1001, Clamp", "1000, Clamp", "both sides"),
        ("Split/PatchSeq_EP_features.csv", "vm_for_sag", "vm", "no column 'vm_for_sag'"),
        ("Split/PatchSeq_EP_features.csv", "\n0,", "\n0,x", "such as 1004"),
    ],
)
def test_a_bad_file_is_one_clear_line(
    tmp_path: Path, name: str, old: str, new: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_workspace(tmp_path / "world")
    harm(root, name, old, new)
    assert main(["--root", str(root), *QUICK]) == Status.USER
    *before, last = capsys.readouterr().err.splitlines()
    assert all(each.startswith("warning: ") for each in before)
    assert last.startswith("error: ")
    assert line in last


def test_an_empty_class_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_workspace(tmp_path / "world")
    path = root / "data" / LABELS
    path.write_text(path.read_text().replace("Pvalb", "Sst"))
    assert main(["--root", str(root), *QUICK]) == Status.USER
    assert "only 0 specimens of class Pvalb" in capsys.readouterr().err
