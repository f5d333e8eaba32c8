"""The model that comes with the package: whole, small, and without a cell of its training."""

import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from sts.base.types import CLASSES, Floats, Ints
from sts.datasets.splits import TEST_IDS
from sts.studies.classify.types.cells import read_typed_cells
from sts.tabular.released import ARRAYS, DIGESTS, FILES, RELEASED, load_released
from sts.tabular.type_checkpoint import TypeModel


def count_agreeing(rows: Floats, cells: Floats) -> Ints:
    """Return the number of features in which each row is like each cell, (rows, cells)."""
    counts = np.zeros((len(rows), len(cells)), dtype=np.int64)
    for row, cell in zip(rows.T, cells.T, strict=True):
        counts += np.abs(row[:, None] - cell) <= 1e-6 * np.abs(cell) + 1e-8
    return counts


@pytest.fixture(scope="module")
def released() -> TypeModel:
    return load_released()


def test_it_is_whole_and_small(released: TypeModel) -> None:
    assert {path.name for path in RELEASED.iterdir()} == {*FILES, DIGESTS}
    # The package is to stay a small download.
    assert sum(path.stat().st_size for path in RELEASED.iterdir()) < 12_000_000
    assert {path[-1] for path in released.tree.paths if len(path) == 2} == set(CLASSES)
    assert released.card.depths == (1, 2, 3, 4)


def test_a_cell_of_which_nothing_is_known_is_unlike_all_and_has_wide_sets(
    released: TypeModel,
) -> None:
    nothing = np.full((1, len(released.card.names)), np.nan)
    said = released.node_probabilities(nothing)
    assert np.allclose(said[:, released.tree.level(4)].sum(), 1.0)
    unlike = released.measure_unlike(nothing)
    assert unlike.scores > unlike.limits


def test_its_card_says_how_it_was_made(released: TypeModel) -> None:
    card = (RELEASED / "MODEL_CARD.md").read_text()
    for name, count in released.card.data["datasets"].items():
        assert re.search(rf"\| {name}: .*\| {count:,} \|", card)
    assert f"{released.card.data['cells']:,} cells" in card


@pytest.mark.data
def test_no_row_of_its_training_cells_lies_in_it(released: TypeModel, data_dir: Path) -> None:
    table = read_typed_cells(data_dir, for_release=True).table
    assert table.names == released.card.names
    X, model = table.X, released.prototypes
    scaled = np.arcsinh((X - model.centre) / model.spread)
    arrays = safetensors.numpy.load_file(RELEASED / ARRAYS)
    features = len(table.names)
    rows = [array for array in arrays.values() if array.shape[-1:] == (features,)]
    # Members of a node store the same distribution of features.
    stored = np.unique(np.concatenate([each.reshape(-1, features) for each in rows]), axis=0)
    for cells in (X, scaled):
        # Values of single features may agree, such as medians; those of a cell do not.
        assert max(count_agreeing(part, cells).max() for part in np.array_split(stored, 10)) < (
            features / 2
        )
    text = "".join((RELEASED / name).read_text() for name in ("MODEL_CARD.md", "model.json"))
    numbers = set(re.findall(r"\d{6,}", text))
    held = set((data_dir / "sts" / TEST_IDS).read_text().split())
    assert not numbers & (held | set(table.specimen_id.tolist()))
