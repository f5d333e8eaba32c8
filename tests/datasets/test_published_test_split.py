"""A specimen of the published test split trains, calibrates and tunes nothing, wherever it is."""

import ast
import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sts
from sts.augment.tasks import load_task
from sts.base.errors import StsError
from sts.base.types import CLASSES
from sts.datasets.laboratories import LABORATORIES, read_laboratory
from sts.datasets.splits import TEST_IDS, held_out_specimens, leave_out_held
from sts.datasets.store import write_store
from sts.datasets.table import FeatureRow, write_features
from sts.signals.feature_names import FEATURES, PUBLISHED_ONSET_S, TIME_FEATURES
from sts.studies.classify.networks.model import load_sweeps
from sts.studies.classify.tables.cells import Source, load_table
from sts.studies.classify.tables.settings import choose
from tests.datasets.ep_worlds import make_table, write_own, write_published, write_renamed
from tests.datasets.stores import make_store

SOURCE = Path(sts.__file__).parent
# Everything that reads cells with features or sweeps, and what it does with them.
READERS = {
    "augment/tasks.py": "trains: load_task",
    "datasets/ep_tables.py": "reads",
    "datasets/cells.py": "who cells are",
    "datasets/laboratories.py": "trains: read_laboratory",
    "datasets/medians.py": "shows",
    "studies/classify/leave_out.py": "trains: read_laboratories",
    "studies/classify/types/cells.py": "trains: read_laboratories",
    "studies/classify/tables/cells.py": "trains: load_table",
    "datasets/build_files.py": "builds",
    "datasets/inventory.py": "checks",
    "studies/classify/stored.py": "predicts",
    "reports/publications/scalograms.py": "draws",
    "studies/data/overview.py": "draws",
    "studies/data/show.py": "draws",
    "studies/data/view.py": "draws",
    "studies/classify/networks/model.py": "trains: load_sweeps",
}


def training_cells(data: Path) -> dict[str, set[str]]:
    """Return what every loader of cells for models of the classes would train on."""
    tables = load_table(Source(data=data), choose("shared"))
    own = load_table(Source(data=data, table=data / "mine" / "features.csv"), choose("shared"))
    renamed = Source(
        data=data, table=data / "mine" / "theirs.csv", columns=data / "mine" / "columns.csv"
    )
    theirs = load_table(renamed, choose("shared"))
    sweeps = load_sweeps(data, seed=0)
    return {
        "tables": set(tables.cells.specimen_id[tables.train_rows].tolist()),
        "one table": set(own.cells.specimen_id.tolist()),
        "columns of other names": set(theirs.cells.specimen_id.tolist()),
        "sweeps": set(sweeps.cells.specimen_id[sweeps.train_rows].tolist()),
        "augmentation": set(load_task("sts", data).neurons.specimen_id.tolist()),
    }


def write_world(
    data: Path,
    ids: list[str],
    values: Callable[[int], dict[str, float]],
    *,
    claimed: Mapping[str, str] | None = None,
) -> None:
    """Write a table and a sweep store of these cells, the classes in turn."""
    labels = [CLASSES[at % 4] for at in range(len(ids))]
    claims = [(claimed or {}).get(name, "") for name in ids]
    rows = [
        FeatureRow(
            specimen_id=name,
            label=label,
            values=values(at),
            claimed_id=claims[at],
        )
        for at, (name, label) in enumerate(zip(ids, labels, strict=True))
    ]
    write_features(data / "mine" / "features.csv", rows)
    write_renamed(data / "mine", rows)
    store = make_store(len(ids))
    store = replace(
        store,
        specimen_id=np.array(ids),
        label=np.array(labels),
        donor_id=np.array([""] * len(ids)),
        claimed_id=np.array(claims),
    )
    write_store(data / "mine" / "sweeps.h5", store)


def test_no_loader_takes_a_specimen_that_is_listed(tmp_path: Path) -> None:
    table = make_table(80)
    ids = table.specimen_id.tolist()
    data = tmp_path / "data"
    write_world(data, ids, lambda at: dict(zip(FEATURES, table.X[at].tolist(), strict=True)))
    (tmp_path / TEST_IDS).write_text("\n".join(ids[:16]) + "\n")
    for name, trained in training_cells(data).items():
        assert trained, name
        assert not trained & set(ids[:16]), name


def test_no_loader_takes_a_cell_whose_file_claims_a_specimen_that_is_listed(
    tmp_path: Path,
) -> None:
    """Also where the list came after the cells: under the name of its file it would train."""
    table = make_table(80)
    names = [f"file {at}" for at in range(80)]
    data = tmp_path / "data"
    claimed = {name: f"{9000 + at // 2}" for at, name in enumerate(names[:16])}
    write_world(
        data,
        names,
        lambda at: dict(zip(FEATURES, table.X[at].tolist(), strict=True)),
        claimed=claimed,
    )
    (tmp_path / TEST_IDS).write_text("\n".join(sorted(set(claimed.values()))) + "\n")
    for loader, trained in training_cells(data).items():
        assert trained, loader
        assert not trained & claimed.keys(), loader


def test_a_table_of_ones_own_leaves_out_the_test_side_of_the_published_split(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    write_published(data, make_table(80))
    source = Source(data=data, table=write_own(tmp_path, make_table(80)))
    cohort = load_table(source, choose("shared"))
    held = held_out_specimens(data)
    assert len(held) == 16
    assert not held & set(cohort.cells.specimen_id.tolist())
    assert f"16 cells of the published test split are left out of {source.table}" in caplog.text
    # In the study itself they are the holdout, which is opened for scores alone.
    whole = load_table(Source(data=data), choose("shared"))
    assert set(whole.cells.specimen_id[whole.open_holdout("a test")].tolist()) == held


def test_cells_that_are_all_held_out_are_refused(tmp_path: Path) -> None:
    (tmp_path / TEST_IDS).write_text("1000\n1001\n")
    with pytest.raises(StsError, match="all cells of here belong to the published test split"):
        leave_out_held(make_table(2), tmp_path, where="here")


@pytest.mark.parametrize(
    ("text", "line"), [("1000\nx1\n", "line 2: 'x1' is not a spec"), ("1\n1\n", "already listed")]
)
def test_a_wrong_line_of_the_list_is_named(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / TEST_IDS).write_text(text)
    with pytest.raises(StsError, match=line):
        held_out_specimens(tmp_path)


def users_of(names: set[str]) -> set[str]:
    """Return the modules that use one of these names."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        used = {node.id for node in ast.walk(ast.parse(path.read_text())) if hasattr(node, "id")}
        if used & names:
            found.add(str(path.relative_to(SOURCE)))
    return found


def test_no_other_module_reads_cells() -> None:
    names = {"load_store", "read_ep_table", "load_ep_tables", "read_features"}
    names |= {"read_laboratory", "read_laboratories"}
    assert users_of(names) == set(READERS)


def test_new_cells_are_read_to_predict_alone() -> None:
    names = {"find_new_sweeps", "find_new_features"}
    assert users_of(names) == {
        "studies/classify/tables/stored.py",
        "studies/classify/types/stored.py",
        "studies/classify/networks/stored.py",
    }


@pytest.mark.data
def test_no_loader_takes_a_specimen_of_the_published_test_split(
    data_dir: Path, tmp_path: Path
) -> None:
    """Held: tables, one table, sweeps, augmentation of the four classes.

    The e-type table has features of 197 such specimens; here they come with made-up classes. Models
    of its own 17 e-types may use them: they are no models of the four classes, and lend no neuron
    to one.
    """
    held = set((data_dir / "sts" / TEST_IDS).read_text().split())
    with (data_dir / "allen" / "e-type.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = {row["specimen_id"]: row for row in csv.DictReader(file, delimiter=";")}
    assert len(held & cells.keys()) == 197
    ids = sorted(held & cells.keys())[:100] + sorted(cells.keys() - held)[:100]

    def values(at: int) -> dict[str, float]:
        onset_s = PUBLISHED_ONSET_S["PatchClamp"]
        row = {name: float(cells[ids[at]][name] or "nan") for name in FEATURES}
        return {name: value - onset_s * (name in TIME_FEATURES) for name, value in row.items()}

    write_world(tmp_path / "data", ids, values)
    (tmp_path / TEST_IDS).symlink_to(data_dir / "sts" / TEST_IDS)
    for name, trained in training_cells(tmp_path / "data").items():
        assert trained, name
        assert not trained & held, name


@pytest.mark.data
@pytest.mark.parametrize("name", LABORATORIES)
def test_no_laboratory_gives_a_specimen_of_the_published_test_split(
    data_dir: Path, tmp_path: Path, name: str
) -> None:
    """Also not where a table holds the ids of such specimens: half of these cells get one."""
    held = sorted((data_dir / "sts" / TEST_IDS).read_text().split())
    known = read_laboratory(name, data_dir)
    assert not set(known.specimen_id.tolist()) & set(held)
    ids = known.specimen_id.tolist()
    renamed = dict(zip(ids[::2], held, strict=False))
    for folder in (path for path in data_dir.iterdir() if path.is_dir()):
        if folder.name not in ("calcium", "rat", "weights", "recordings", "sweeps"):
            rename_cells(folder, tmp_path / folder.name, renamed)
    found = set(read_laboratory(name, tmp_path).specimen_id.tolist())
    assert found
    assert not found & set(held)
    assert found < set(ids)


def rename_cells(folder: Path, copy: Path, names: dict[str, str]) -> None:
    """Copy the text files of a folder, with other ids in them."""
    for path in (each for each in folder.rglob("*") if each.suffix in (".csv", ".txt")):
        text = path.read_text(encoding="utf-8-sig")
        if path.name != TEST_IDS:
            text = re.sub(r"[\w]+", lambda found: names.get(found[0], found[0]), text)
        target = copy / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


@pytest.mark.data
def test_the_published_tables_train_on_the_training_side_alone(data_dir: Path) -> None:
    data = data_dir / "sts" / "data"
    held = set((data_dir / "sts" / TEST_IDS).read_text().split())
    cohort = load_table(Source(data=data), choose("paper"))
    ids = cohort.cells.specimen_id
    assert (len(cohort.train_rows), len(cohort.open_holdout("a test"))) == (3577, 895)
    assert not held & set(ids.tolist())
    # 1,118 listed ones, and the 895 of the development split.
    assert len(held_out_specimens(data)) == 1118 + 895
    trained = load_task("sts", data).neurons.specimen_id
    assert set(trained.tolist()) == set(ids[cohort.train_rows].tolist())
    assert load_task("e", data_dir / "allen").neurons.classes != CLASSES
