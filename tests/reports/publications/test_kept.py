"""What a run keeps of a figure gives the same figure again."""

from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.reports.publications import kept
from tests.reports.publications.worlds import (
    make_folds,
    make_histograms,
    make_matrices,
    make_panels,
    make_saliency,
    make_spectra,
)


def keep(table: kept.DataTable, folder: Path) -> list[dict[str, str]]:
    table.write(folder / "kept.csv")
    return kept.read_kept(folder / "kept.csv")


def test_curves(tmp_path: Path) -> None:
    folds = make_folds()
    again = kept.read_curves(keep(kept.list_curves(folds), tmp_path))
    assert [fold.best_epoch for fold in again] == [2, 2]
    for one, other in zip(folds, again, strict=True):
        for part in ("training", "validation"):
            np.testing.assert_array_equal(one.values(part, "loss"), other.values(part, "loss"))


def test_curves_without_validation(tmp_path: Path) -> None:
    table = kept.list_curves([kept.FoldCurves(train_loss=[1.0], train_accuracy=[0.5])])
    (fold,) = kept.read_curves(keep(table, tmp_path))
    assert fold.best_epoch is None
    assert len(fold.values("validation", "loss")) == 0


def test_class_saliency(tmp_path: Path) -> None:
    maps = make_saliency()
    again = kept.read_class_saliency(keep(kept.list_class_saliency(maps), tmp_path))
    assert [(one.label, one.cells) for one in again] == [(one.label, one.cells) for one in maps]
    for one, other in zip(maps, again, strict=True):
        np.testing.assert_allclose(other.saliency, one.saliency, rtol=10**-kept.KEPT_DIGITS * 5)


def test_traces(tmp_path: Path) -> None:
    panels = make_panels()
    again = kept.read_traces(keep(kept.list_traces(panels), tmp_path))
    for one, other in zip(panels, again, strict=True):
        assert (other.title, list(other.neurons)) == (one.title, one.neurons)
        np.testing.assert_allclose(other.traces, one.traces, rtol=10**-kept.KEPT_DIGITS * 5)
        np.testing.assert_array_equal(other.spikes, one.spikes)


def test_histograms(tmp_path: Path) -> None:
    panels = make_histograms()
    again = kept.read_histograms(keep(kept.list_histograms(panels), tmp_path))
    for one, other in zip(panels, again, strict=True):
        assert other.title == one.title
        np.testing.assert_array_equal(other.edges, one.edges)
        np.testing.assert_array_equal(other.real, one.real)
        np.testing.assert_array_equal(list(other.others.values()), list(one.others.values()))
        assert list(other.others) == list(one.others)


def test_spectra(tmp_path: Path) -> None:
    panels = make_spectra()
    again = kept.read_spectra(keep(kept.list_spectra(panels), tmp_path))
    for one, other in zip(panels, again, strict=True):
        assert (other.x_label, other.y_label) == (one.x_label, one.y_label)
        np.testing.assert_allclose(other.real, one.real, rtol=10**-kept.KEPT_DIGITS * 5)
        np.testing.assert_allclose(
            other.others["generated"], one.others["generated"], rtol=10**-kept.KEPT_DIGITS * 5
        )


def test_matrices(tmp_path: Path) -> None:
    matrices = make_matrices()
    again = kept.read_matrices(keep(kept.list_matrices(matrices), tmp_path))
    assert list(again) == list(matrices)
    for name, matrix in matrices.items():
        np.testing.assert_allclose(again[name], matrix, rtol=10**-kept.KEPT_DIGITS * 5)


def test_a_table_of_something_else_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "kept.csv").write_text("a,b\n1,2\n")
    rows = kept.read_kept(tmp_path / "kept.csv")
    for read in (kept.read_curves, kept.read_traces, kept.read_histograms, kept.read_matrices):
        with pytest.raises(StsError, match="run its command again"):
            read(rows)
