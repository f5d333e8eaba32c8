"""A sweep store comes back as it was written, or is refused in one line that names the file."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base.errors import StsError
from sts.datasets.store import SweepStore, load_store, merge_stores, write_store
from sts.signals.resample import RATE_HZ, SAMPLES, WINDOW_S
from tests.datasets.stores import make_store


def assert_equal(one: SweepStore, other: SweepStore) -> None:
    for field in fields(SweepStore):
        left, right = np.asarray(getattr(one, field.name)), np.asarray(getattr(other, field.name))
        np.testing.assert_array_equal(left, right)
        assert left.dtype.kind == right.dtype.kind


@pytest.mark.parametrize("n", [0, 1, 5])
def test_a_store_comes_back_as_it_was_written(tmp_path: Path, n: int) -> None:
    store = make_store(n)
    write_store(tmp_path / "sweeps.h5", store)
    loaded = load_store(tmp_path / "sweeps.h5")
    assert_equal(loaded, store)
    assert loaded.traces.dtype == np.float32
    assert len(loaded) == n


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    write_store(tmp_path / "sweeps.h5", make_store())
    with h5py.File(tmp_path / "sweeps.h5") as file:
        assert dict(file.attrs) == {
            "format": "sts-sweeps 1",
            "rate_hz": RATE_HZ,
            "window_s": WINDOW_S,
        }
        assert file["specimen_id"].dtype == h5py.string_dtype("utf-8")


def test_a_cell_takes_38_kilobytes(tmp_path: Path) -> None:
    write_store(tmp_path / "sweeps.h5", make_store(50))
    traces = 2 * SAMPLES * 4
    # 0.5 kB for ids, amplitudes and the head of the file
    assert traces <= (tmp_path / "sweeps.h5").stat().st_size / 50 < traces + 500


def test_two_stores_of_the_same_cells_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.h5", "two.h5"):
        write_store(tmp_path / name, make_store())
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_a_failed_write_leaves_the_old_store(tmp_path: Path) -> None:
    path = tmp_path / "sweeps.h5"
    write_store(path, make_store())
    doubled = replace(make_store(), specimen_id=np.array(["1", "2", "2", "3"]))
    with pytest.raises(StsError, match="specimen 2 is there 2 times"):
        write_store(path, doubled)
    assert_equal(load_store(path), make_store())
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "which", [np.array([False, True, False, True]), np.array([1, 3]), np.array([-3, -1])]
)
def test_rows_are_chosen_by_mask_or_index(which: np.ndarray) -> None:
    store = make_store()
    chosen = store.rows(which)
    assert chosen.specimen_id.tolist() == ["600001", "600003"]
    np.testing.assert_array_equal(chosen.traces, store.traces[[1, 3]])
    np.testing.assert_array_equal(chosen.rheobase_pa, [60.0, 80.0])


Edit = Callable[[h5py.File], object]


def instead(name: str, values: object) -> Edit:
    def edit(file: h5py.File) -> None:
        del file[name]
        file[name] = values

    return edit


def with_nan(file: h5py.File) -> None:
    file["traces"][2, 1, 17] = np.nan


REFUSED: dict[str, tuple[Edit, str]] = {
    "another format": (
        lambda file: file.attrs.update(format="other 3"),
        "is of format 'other 3', expected 'sts-sweeps 1'",
    ),
    "no format": (lambda file: file.attrs.pop("format"), "is of format 'unknown'"),
    "no traces": (lambda file: file.pop("traces"), "lacks traces"),
    "no rate": (lambda file: file.attrs.pop("rate_hz"), "lacks rate_hz"),
    "another rate": (lambda file: file.attrs.update(rate_hz=5e3), "1.2 s at 5000 Hz, expected"),
    "too few traces": (
        lambda file: instead("traces", file["traces"][:3])(file),
        r"traces has shape \(3, 2, 4800\), expected \(4, 2, 4800\)",
    ),
    "short traces": (
        lambda file: instead("traces", file["traces"][:, :, :99])(file),
        r"traces has shape \(4, 2, 99\)",
    ),
    "traces in float64": (
        lambda file: instead("traces", file["traces"][()].astype("f8"))(file),
        "traces is of type float64",
    ),
    "labels missing": (
        instead("label", np.array(["Sst"], dtype=object)),
        r"label has shape \(1,\), expected \(4,\)",
    ),
    "numbers for ids": (instead("specimen_id", np.arange(4)), "cannot be read"),
    "ids for numbers": (
        instead("onset_s", np.array(["a"] * 4, dtype=object)),
        "numbers were expected",
    ),
    "a class that is none": (
        instead("label", np.array(["Sst", "PV", "Sst", "Sst"], dtype=object)),
        "unknown class 'PV', the classes are Pvalb, Excitatory, Vip/Lamp5, Sst",
    ),
    "one specimen twice": (
        instead("specimen_id", np.array(["1", "2", "1", "3"], dtype=object)),
        "specimen 1 is there 2 times",
    ),
    "a nameless specimen": (
        instead("specimen_id", np.array(["1", "2", "", "3"], dtype=object)),
        "row 2 has no specimen id",
    ),
    "NaN": (with_nan, "traces of specimen 600002 contain NaN or Inf"),
    "Inf": (
        instead("rheobase_pa", np.array([1.0, np.inf, 2.0, 3.0])),
        "rheobase_pa of specimen 600001 contain NaN or Inf",
    ),
    "traces in another file": (
        instead("traces", h5py.ExternalLink("other.h5", "/traces")),
        "'traces' is a link to another file",
    ),
}


@pytest.mark.parametrize("defect", REFUSED)
def test_a_store_that_is_not_sound_is_refused(tmp_path: Path, defect: str) -> None:
    path = tmp_path / "sweeps.h5"
    write_store(path, make_store())
    edit, reason = REFUSED[defect]
    with h5py.File(path, "r+") as file:
        edit(file)
    with pytest.raises(StsError, match=reason) as refused:
        load_store(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_cells_without_a_class_are_welcome(tmp_path: Path) -> None:
    store = replace(make_store(), label=np.array(["", "Sst", "", ""]))
    write_store(tmp_path / "sweeps.h5", store)
    assert load_store(tmp_path / "sweeps.h5").label.tolist() == ["", "Sst", "", ""]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "cannot be opened: no such file"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("a,b"), "is not an HDF5 file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5000]), "is truncated or damaged"),
    ],
    ids=["missing", "empty", "another format", "truncated"],
)
def test_a_file_that_is_no_store_is_named(
    tmp_path: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    path = tmp_path / "sweeps.h5"
    write_store(path, make_store())
    spoil(path)
    with pytest.raises(StsError, match=f"the sweep store .*sweeps.h5 {reason}"):
        load_store(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    with pytest.raises(StsError, match=r"cannot write .*sweeps\.h5"):
        write_store(tmp_path / "data" / "sweeps.h5", make_store())


def test_a_store_of_an_earlier_version_claims_no_id(tmp_path: Path) -> None:
    write_store(tmp_path / "sweeps.h5", replace(make_store(2), claimed_id=np.array(["7", ""])))
    assert load_store(tmp_path / "sweeps.h5").claimed_id.tolist() == ["7", ""]
    with h5py.File(tmp_path / "sweeps.h5", "r+") as file:
        del file["claimed_id"]
    assert load_store(tmp_path / "sweeps.h5").claimed_id.tolist() == ["", ""]


def test_a_specimen_in_two_stores_is_refused() -> None:
    with pytest.raises(StsError, match="in two sweep stores"):
        merge_stores([make_store(8), make_store(8)])
