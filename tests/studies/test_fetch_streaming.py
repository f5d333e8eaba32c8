"""Streaming brings of each recording what is needed, and no more."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sts.archives.items import Receipts
from sts.datasets.build import BuildJob, build
from sts.datasets.cell_results import BuildSettings
from sts.datasets.store import load_store
from sts.datasets.table import read_features
from sts.studies.data.fetch import fetch
from sts.studies.data.fetch_files import FetchJob
from tests.archives.server import (
    QUICK,
    Server,
)
from tests.archives.worlds import (
    blob_of,
    files_in,
    serve_dandi,
)
from tests.studies.cells import write_cell

HDF5 = b"\x89HDF\r\n\x1a\n"


def big_cell(folder: Path, specimen: str) -> bytes:
    """Return a cell whose file holds, beside what is needed, searches and voltage clamp."""
    import h5py

    path = write_cell(folder, specimen)
    rng = np.random.default_rng(0)
    with h5py.File(path, "a") as file:
        for series in [*file["acquisition"].values(), *file["stimulus/presentation"].values()]:
            series.attrs["stimulus_description"] = "X4PS_SupraThresh_DA_0"
        for number in range(50, 60):
            for place, side, kind in (
                ("acquisition", "AD0", "CurrentClampSeries"),
                ("stimulus/presentation", "DA0", "CurrentClampStimulusSeries"),
            ):
                group = file.create_group(f"{place}/data_{number:05d}_{side}")
                group.create_dataset("data", data=rng.normal(size=100_000)).attrs["unit"] = "volts"
                group["starting_time"] = 0.0
                group["starting_time"].attrs["rate"] = 20_000.0
                group.attrs["neurodata_type"] = kind if number % 2 else "VoltageClampSeries"
                group.attrs["stimulus_description"] = "X5SP_Search_DA_0"
                group.attrs["sweep_number"] = np.uint64(number)
    return path.read_bytes()


def built(folder: Path, out: Path) -> tuple[object, object]:
    settings = BuildSettings(store=True, features=True)
    report = build(BuildJob(folder=folder, out=out, settings=settings, workers=1))
    assert report.failed == 0
    return load_store(out / "sweeps.h5"), read_features(out / "features.csv")


def test_streamed_cells_give_what_whole_files_give(server: Server, tmp_path: Path) -> None:
    files = {
        f"sub-7/sub-7_ses-{n}_icephys.nwb": big_cell(tmp_path / "made", n) for n in ("601", "602")
    }
    job = FetchJob(
        source="dandi",
        out=tmp_path / "whole",
        api_url=serve_dandi(server, files),
        retry=QUICK,
    )
    fetch(job)
    before = server.sent
    streamed = replace(job, out=tmp_path / "streamed", stream=True, workers=1)
    done = fetch(streamed)
    assert (done.fetched, done.failures) == (2, ())
    size = sum(map(len, files.values()))
    # Two thirds of each file are searches and voltage clamp.
    assert server.sent - before < 0.5 * size
    assert "MB were fetched" in done.notes[0]
    receipts = dict(Receipts(streamed.out))
    assert all(receipt.excerpt and receipt.whole_sha256 for receipt in receipts.values())
    store, features = built(streamed.out, tmp_path / "a")
    other_store, other_features = built(job.out, tmp_path / "b")
    np.testing.assert_array_equal(store.traces, other_store.traces)  # type: ignore[attr-defined]
    for row, other in zip(features, other_features, strict=True):  # type: ignore[call-overload]
        assert row.values == pytest.approx(other.values, rel=0, abs=0, nan_ok=True)


def test_excerpts_are_kept_until_the_whole_file_is_wanted(server: Server, tmp_path: Path) -> None:
    (path, content) = ("sub-7/sub-7_ses-601_icephys.nwb", big_cell(tmp_path / "made", "601"))
    api_url = serve_dandi(server, {path: content})
    job = FetchJob(
        source="dandi",
        out=tmp_path / "dandi",
        api_url=api_url,
        retry=QUICK,
        stream=True,
        workers=1,
    )
    assert fetch(job).fetched == 1
    excerpt = (job.out / path).read_bytes()
    assert len(excerpt) < len(content)
    assert (fetch(job).fetched, fetch(job).there) == (0, 1)
    (job.out / path).write_bytes(excerpt[:-1] + b"?")
    assert fetch(job).fetched == 1
    assert fetch(replace(job, stream=False)).fetched == 1
    assert (job.out / path).read_bytes() == content
    # Nor is a whole file replaced by an excerpt.
    assert fetch(job).there == 1
    assert files_in(job.out) == {path: content}


def test_a_server_without_ranges_is_never_read_whole_by_streaming(
    server: Server, tmp_path: Path
) -> None:
    content = HDF5 + bytes(20_000_000)
    path = "sub-7/sub-7_ses-601_icephys.nwb"
    api_url = serve_dandi(server, {path: content})
    server.file(blob_of(path), content, ranges=False)
    job = FetchJob(
        source="dandi",
        out=tmp_path / "dandi",
        api_url=api_url,
        retry=QUICK,
        stream=True,
        workers=1,
    )
    done = fetch(job)
    assert done.fetched == 0
    assert "ignores ranges" in done.failures[0]
    assert server.sent < len(content) / 2
    assert files_in(job.out) == {}
