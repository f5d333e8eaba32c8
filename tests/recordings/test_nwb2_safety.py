"""A file cannot make its reader open another file, or take more memory than it holds itself."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.base import guard
from sts.base.errors import CellFailed
from sts.recordings import gather
from sts.recordings.nwb import read_nwb2
from tests.recordings.files import SAMPLES, write_mies

DATA = "acquisition/data_00001_AD0/data"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["data"] = np.full(SAMPLES, -0.07)
        file["data"].attrs["unit"] = "volts"
        file["text"] = "what is not the reader's business"
    (tmp_path / "secret.bin").write_bytes(np.full(SAMPLES, -0.07).tobytes())
    return write_mies(tmp_path / "cell.nwb")


def in_place_of(place: str, link: object) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        del file[place]
        file[place] = link

    return edit


def external_storage(file: h5py.File) -> None:
    del file[DATA]
    outside = Path(file.filename).with_name("secret.bin")
    file.create_dataset(DATA, (SAMPLES,), "f8", external=[(str(outside), 0, 8 * SAMPLES)])


def virtual(file: h5py.File) -> None:
    del file[DATA]
    layout = h5py.VirtualLayout((SAMPLES,), "f8")
    layout[:] = h5py.VirtualSource(
        str(Path(file.filename).with_name("secret.h5")), "data", (SAMPLES,)
    )
    file.create_virtual_dataset(DATA, layout)


def claim(samples: int, *, chunk: int) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        del file[DATA]
        claimed = file.create_dataset(DATA, (samples,), "f8", chunks=(chunk,), maxshape=(None,))
        if chunk < samples:
            claimed[:16] = 1.0

    return edit


def through_an_external_link(file: h5py.File) -> None:
    file["aside"] = h5py.ExternalLink("secret.h5", "/")
    in_place_of(DATA, h5py.SoftLink("/aside/data"))(file)


def huge_attribute(file: h5py.File) -> None:
    group = file.create_group("acquisition/data_00009_AD0")
    group.attrs["neurodata_type"] = np.zeros(8000, "S16")


UNSAFE: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "data in another file": (
        in_place_of(DATA, h5py.ExternalLink("secret.h5", "/data")),
        "'data' is a link to another file",
    ),
    "a whole group in another file": (
        in_place_of("acquisition", h5py.ExternalLink("secret.h5", "/")),
        "'acquisition' is a link to another file",
    ),
    "the specimen id in another file": (
        in_place_of("general/session_id", h5py.ExternalLink("secret.h5", "/text")),
        "'session_id' is a link to another file",
    ),
    "a link that leads through another file": (
        through_an_external_link,
        "'aside' is a link to another file",
    ),
    "links in a circle": (
        in_place_of(DATA, h5py.SoftLink(f"/{DATA}")),
        "form a circle",
    ),
    "storage outside": (external_storage, "are in another file"),
    "a virtual data set": (virtual, "is a virtual data set"),
    "a claim of 8 TB": (claim(10**12, chunk=1024), "claims 8000000 MB, 268 MB are allowed"),
    "a chunk of 800 MB": (
        claim(SAMPLES, chunk=10**8),
        "claims 800 MB",
    ),
    "a claim the file cannot contain": (
        claim(2**24, chunk=64),
        "claims 134217728 bytes, which the file cannot contain",
    ),
    "more samples than any sweep": (
        lambda file: in_place_of(DATA, np.zeros(2**25 + 1, np.int8))(file),
        "claims 33554433 samples, 33554432 are allowed",
    ),
    "a huge attribute": (huge_attribute, "the attribute 'neurodata_type' is huge"),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("attempt", UNSAFE)
def test_a_file_that_reaches_out_is_refused(path: Path, attempt: str) -> None:
    edit, reason = UNSAFE[attempt]
    with h5py.File(path, "r+", libver="latest") as file:
        edit(file)
    with pytest.raises(CellFailed, match=f"is not safe to read: .*{reason}") as failed:
        read_nwb2(path)
    assert "\n" not in str(failed.value)


def test_all_sweeps_together_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "MAX_SAMPLES", 3 * SAMPLES)
    assert len(read_nwb2(path).sweeps) == 3
    monkeypatch.setattr(gather, "MAX_SAMPLES", 3 * SAMPLES - 1)
    with pytest.raises(CellFailed, match="contains more than 0 million samples"):
        read_nwb2(path)


def test_memory_that_runs_out_costs_the_file_and_not_a_sweep(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell that was measured on fewer sweeps because memory was short would be another cell."""

    def run_out(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(guard, "read_trace", run_out)
    with pytest.raises(CellFailed, match="there is not enough memory"):
        read_nwb2(path)


def test_a_claim_is_refused_before_any_of_it_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(path, "r+") as file:
        claim(10**12, chunk=1024)(file)

    def read(self: h5py.Dataset, key: object) -> None:
        raise AssertionError("was read")

    with h5py.File(path, "r") as file, monkeypatch.context() as patched:
        patched.setattr(h5py.Dataset, "__getitem__", read)
        with pytest.raises(CellFailed, match="claims"):
            guard.array(file[DATA])


def test_a_soft_link_to_nothing_is_nothing(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["dangling"] = h5py.SoftLink("/not/there")
        assert guard.member(file, "dangling") is None
        assert guard.follow(file, "general/session_id/below") is None


def test_a_relative_soft_link_starts_at_its_own_group(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["acquisition/again"] = h5py.SoftLink("data_00001_AD0/data")
        assert guard.member(file["acquisition"], "again") == file[DATA]
