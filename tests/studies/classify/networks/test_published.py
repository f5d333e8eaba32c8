"""TEST and EXPLAIN on published scalograms: without a sweep, and with some files missing or bad."""

import csv
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.base.types import CLASSES
from sts.cli.run import Status
from sts.cli.sts import main, make_sts_parser
from sts.datasets.store import SweepStore, write_store
from sts.networks.backbones import Architecture
from sts.networks.checkpoint import load_model, model_folder, save_model
from sts.networks.published import import_published
from sts.scalograms.transform import compute_scalograms
from sts.studies.classify.networks.model import ORIGINS, NetworkCohort, load_sweeps
from sts.studies.classify.networks.stored import check_same_split
from tests.networks.test_published import dump, published
from tests.networks.worlds import make_world

CELLS, HELD_OUT = 20, 8
MODEL = Architecture(number=4, freeze="NONE", weights="none")
FOLDERS = {"PatchSeq": "PatchSeqGouwensCWT", "PatchClamp": "PatchClampGouwens_CWT"}
PUBLISHED = ("4", "NONE", "--scalograms", "published", "--device", "cpu", "-q")


@pytest.fixture(scope="module")
def cells() -> SweepStore:
    return make_world(CELLS)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, cells: SweepStore) -> Path:
    """A workspace as one has it who fetched the held-out files, the tables and a model."""
    root = tmp_path_factory.mktemp("published")
    for name in ("data/Split", "source"):
        (root / name).mkdir(parents=True)
    lines = [f"{a} {b}" for a, b in zip(cells.label, cells.specimen_id, strict=True)]
    labels = root / "data" / "cell_types_GouwensAll_new.txt"
    labels.write_text("\n".join([*lines, "Unsure 999999"]) + "\n")
    rows = np.arange(CELLS)
    for side, some in (("Test", rows[:HELD_OUT]), ("Train", rows[HELD_OUT:])):
        names = [
            f"{cells.specimen_id[row]}, {cells.dataset[row].removeprefix('Patch')}" for row in some
        ]
        (root / "data" / "Split" / f"{side}_split.csv").write_text("\n".join(names) + "\n")
    for row in rows[: HELD_OUT + 1]:
        # The published files are float64; half of them in float32 spare the disk.
        kind = np.float64 if row % 2 else np.float32
        path = file_of(root, cells, row)
        path.parent.mkdir(exist_ok=True)
        scalograms = compute_scalograms(cells.traces[row], parity="pywt").transpose(1, 2, 0)
        np.save(path, scalograms.astype(kind), allow_pickle=False)
    model = import_published(dump(root / "best_model.pkl", published(MODEL.number)))
    # Smaller than the published 224 x 244, for the time it takes; higher than wide, to tell apart.
    images = replace(model.card.images, height=80, width=64)
    small = replace(model, card=replace(model.card, images=images))
    save_model(model_folder(root / "models", MODEL), small)
    return root


def file_of(root: Path, cells: SweepStore, row: int) -> Path:
    folder = root / "data" / FOLDERS[str(cells.dataset[row])]
    return folder / f"cell_{cells.specimen_id[row]}.npy"


@pytest.fixture
def copy(world: Path, tmp_path: Path) -> Path:
    """A workspace of one's own, whose scalograms are those of `world`."""
    root = tmp_path / "copy"
    shutil.copytree(world, root, ignore=shutil.ignore_patterns("output", "*.npy"))
    for path in (world / "data").rglob("*.npy"):
        place = root / path.relative_to(world)
        place.parent.mkdir(exist_ok=True)
        place.hardlink_to(path)
    return root


def run_of(root: Path, study: str) -> Path:
    (run,) = (root / "output" / study / "MobileNetV2-NONE").glob("*")
    assert (run / "DONE").is_file()
    return run


def rows_in(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["specimen_id"]: row for row in csv.DictReader(file)}


def predictions_in(path: Path) -> np.ndarray:
    rows = rows_in(path / "predictions.csv")
    names = [name for name in next(iter(rows.values())) if name.startswith("prob")]
    assert len(names) == len(CLASSES)
    return np.array([[float(rows[cell][name]) for name in names] for cell in sorted(rows)])


@pytest.mark.usefixtures("no_pictures")
def test_published_scalograms_are_scored_as_the_sweeps_they_were_made_of(
    copy: Path, cells: SweepStore
) -> None:
    assert main(["4", "TEST", *PUBLISHED[1:], "--root", str(copy)]) == Status.DONE
    run = run_of(copy, "sts-test")
    rows = rows_in(run / "predictions.csv")
    assert sorted(rows) == sorted(cells.specimen_id[:HELD_OUT])
    for row, specimen in enumerate(cells.specimen_id[:HELD_OUT]):
        assert rows[specimen]["dataset"] == cells.dataset[row]
        assert rows[specimen]["truth"] == cells.label[row]
    found = predictions_in(run)
    assert found.std(axis=0).max() > 1e-3
    shutil.rmtree(copy / "output")
    write_store(copy / "data" / "sweeps.h5", cells)
    arguments = ["4", "TEST", "--scalograms", "computed", "--device", "cpu", "-q"]
    assert main([*arguments, "--root", str(copy)]) == Status.DONE
    # Images agree to 1e-4 of their largest coefficient, which random weights make ten times more.
    np.testing.assert_allclose(found, predictions_in(run_of(copy, "sts-test")), atol=3e-3)


@pytest.mark.usefixtures("no_pictures")
def test_imported_models_are_tested_at_their_published_size(copy: Path) -> None:
    folder = model_folder(copy / "models", MODEL)
    shutil.rmtree(folder)
    save_model(folder, import_published(copy / "best_model.pkl"))
    assert main(["4", "TEST", *PUBLISHED[1:], "--root", str(copy)]) == Status.DONE
    assert len(predictions_in(run_of(copy, "sts-test"))) == HELD_OUT
    images = load_model(folder).card.images
    assert (images.height, images.width, images.parity) == (224, 244, "pywt")


def test_explaining_needs_no_sweep(
    copy: Path, cells: SweepStore, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of the training cells only the one that is named is there, and only it is needed.
    named = [str(cells.specimen_id[row]) for row in (HELD_OUT, 2)]
    assert main(["4", "EXPLAIN", *PUBLISHED[1:], "--root", str(copy), "--cells", *named]) == 0
    assert "first 100 ms" in capsys.readouterr().out
    run = run_of(copy, "sts-explain")
    assert len(list((run / "figures").glob("saliency-*.png"))) == 2
    report = json.loads((run / "report.json").read_text())
    assert report["cells"] == named
    page = (run / "report.html").read_text()
    assert all(f"specimen {specimen}" in page for specimen in named)
    # A comment beside every text of an SVG tells what it says: no sweep, no amplitude.
    drawn = (run / "figures" / "saliency-0.svg").read_text()
    assert "<!-- second sweep -->" in drawn
    assert "coefficient (mV)" in drawn
    assert "membrane" not in drawn


def spoil(root: Path, cells: SweepStore) -> dict[str, str]:
    """Take away or damage five held-out files; return by specimen what is said of them."""
    paths = [file_of(root, cells, row) for row in range(5)]
    for path in paths:
        path.unlink()
    paths[1].write_bytes(b"\x93NUMPY")
    np.save(paths[2], np.zeros((180, 240, 2)))
    np.save(paths[3], np.array([{}, None]), allow_pickle=True)
    np.save(paths[4], np.full((180, 4800, 2), np.nan, np.float32))
    said = ("looked for", "is no .npy array", "must contain", "is no .npy array", "not finite")
    return dict(zip(cells.specimen_id[:5].tolist(), said, strict=True))


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("mode", ["TEST", "EXPLAIN"])
def test_bad_files_are_left_out_and_listed(
    copy: Path, cells: SweepStore, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = spoil(copy, cells)
    assert main(["4", mode, *PUBLISHED[1:], "--root", str(copy)]) == Status.PARTIAL
    told = capsys.readouterr().err.splitlines()
    run = run_of(copy, f"sts-{mode.lower()}")
    listed = rows_in(run / "left-out.csv")
    assert sorted(listed) == sorted(said)
    for row, (specimen, reason) in enumerate(said.items()):
        assert reason in listed[specimen]["reason"]
        assert listed[specimen]["label"] == cells.label[row]
        (line,) = [line for line in told if line.startswith(f"left out: {specimen}: ")]
        assert reason in line
    page = (run / "report.html").read_text()
    assert "Cells left out" in page
    assert json.loads((run / "report.json").read_text())["left_out"] == 5
    if mode == "TEST":
        rows = rows_in(run / "predictions.csv")
        assert sorted(rows) == sorted(cells.specimen_id[5:HELD_OUT])


@pytest.mark.usefixtures("no_pictures")
def test_many_cells_left_out_are_counted(
    copy: Path,
    cells: SweepStore,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sts.cli.sts.MOST_LEFT_OUT", 2)
    spoil(copy, cells)
    assert main(["4", "TEST", *PUBLISHED[1:], "--root", str(copy)]) == Status.PARTIAL
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out")]
    assert len(told) == 3
    assert told[-1] == "left out: 3 more cells, listed in left-out.csv"


def make_direct(root: Path) -> None:
    """Make the stored model one that was trained on sweeps."""
    folder = model_folder(root / "models", MODEL)
    model = load_model(folder)
    card = replace(model.card, images=replace(model.card.images, parity="direct"))
    shutil.rmtree(folder)
    save_model(folder, replace(model, card=card))


def take_away(root: Path, pattern: str) -> None:
    for path in list((root / "data").rglob(pattern)):
        path.unlink()


@pytest.mark.parametrize(
    ("change", "more", "line"),
    [
        (lambda root: take_away(root, "*.npy"), [], "no held-out cell has a scalogram: "),
        (lambda root: make_direct(root), [], "needs scalograms of parity 'direct'"),
        (lambda root: take_away(root, "*.txt"), [], "cell_types_GouwensAll_new.txt"),
        (lambda root: take_away(root, "*_split.csv"), [], "Split/Test_split.csv"),
        (lambda root: take_away(root, "Test_split.csv"), [], "Train_split.csv"),
        (lambda root: None, ["--cells", "700019"], "no published scalogram of cell 700019"),
        (lambda root: None, ["--cells", "nobody"], "no labelled specimen 'nobody'"),
    ],
)
def test_what_is_missing_is_one_clear_line(
    copy: Path, change: object, more: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(change)
    change(copy)
    arguments = ["4", "EXPLAIN", *PUBLISHED[1:], "--root", str(copy), *more]
    assert main(arguments) == Status.USER
    (told,) = capsys.readouterr().err.splitlines()
    assert line in told


def test_without_published_folders_there_is_one_clear_line(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in FOLDERS.values():
        shutil.rmtree(copy / "data" / folder)
    assert main(["4", "TEST", *PUBLISHED[1:], "--root", str(copy)]) == Status.USER
    assert "no published scalograms in " in capsys.readouterr().err
    # Left to choose, it asks for sweeps.
    assert main(["4", "TEST", "--root", str(copy), "-q"]) == Status.USER
    assert "no sweeps.h5 in " in capsys.readouterr().err


def loaded(data: Path, scalograms: str) -> NetworkCohort:
    return load_sweeps(data, group_by="specimen", seed=0, scalograms=scalograms)


def test_a_sweep_store_comes_first_and_the_log_says_so(
    copy: Path, cells: SweepStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sts")
    data = copy / "data"
    assert loaded(data, "auto").is_published
    assert f"scalograms are the published ones in {data}" in caplog.text
    write_store(data / "sweeps.h5", cells)
    caplog.clear()
    assert not loaded(data, "auto").is_published
    assert "scalograms are computed from sweeps" in caplog.text
    assert loaded(data, "published").is_published
    with pytest.raises(StsError, match="unknown origin of scalograms 'publishd': did you mean"):
        loaded(data, "publishd")


def test_both_origins_give_the_same_cohort(copy: Path, cells: SweepStore) -> None:
    write_store(copy / "data" / "sweeps.h5", cells)
    read, computed = (loaded(copy / "data", name) for name in ("published", "computed"))
    for name in ("truth", "train_rows", "_test_rows"):
        assert np.array_equal(getattr(read, name), getattr(computed, name)), name
    for name in ("specimen_id", "label", "dataset"):
        assert np.array_equal(getattr(read.cells, name), getattr(computed.cells, name)), name
    assert computed.fingerprint().startswith(f"{read.fingerprint()}-")


def test_training_on_published_scalograms_is_refused(copy: Path) -> None:
    with pytest.raises(StsError, match="not trained on"):
        loaded(copy / "data", "published").bank(load_model_of(copy).card.images, "cpu")


def load_model_of(root: Path) -> object:
    return load_model(model_folder(root / "models", MODEL))


def test_a_cohort_of_some_rows_keeps_their_sides(copy: Path) -> None:
    cohort = loaded(copy / "data", "published")
    rows = np.array([9, 3, 15, 0])
    some = cohort.only(rows)
    assert some.cells.specimen_id.tolist() == cohort.cells.specimen_id[rows].tolist()
    assert some.truth.tolist() == cohort.truth[rows].tolist()
    assert sorted(some.train_rows) == [0, 2]
    assert sorted(some.open_holdout("a test")) == [1, 3]


def test_a_model_says_what_it_was_trained_on_or_one_is_warned(
    copy: Path, cells: SweepStore, caplog: pytest.LogCaptureFixture
) -> None:
    write_store(copy / "data" / "sweeps.h5", cells)
    read, computed = (loaded(copy / "data", name) for name in ("published", "computed"))
    theirs = load_model(model_folder(copy / "models", MODEL))

    def trained_on(fingerprint: str) -> object:
        card = replace(theirs.card, data={"training_fingerprint": fingerprint})
        return replace(theirs, card=card)

    check_same_split(trained_on(computed.fingerprint()), computed)
    check_same_split(trained_on(computed.fingerprint()), read)
    for fingerprint in ("0" * 16, f"{read.fingerprint()}-{'0' * 16}"):
        with pytest.raises(StsError, match="was trained on other cells"):
            check_same_split(trained_on(fingerprint), computed)
    with pytest.raises(StsError, match="was trained on other cells"):
        check_same_split(trained_on("0" * 16), read)
    check_same_split(theirs, read)
    assert "may have been trained on" not in caplog.text
    for path in (copy / "data" / "Split").iterdir():
        path.unlink()
    check_same_split(theirs, loaded(copy / "data", "computed"))
    assert "may have been trained on" in caplog.text


def test_the_command_offers_every_origin() -> None:
    (flag,) = [each for each in make_sts_parser()._actions if each.dest == "scalograms"]
    assert tuple(flag.choices or ()) == ORIGINS
    assert flag.default == "auto"
