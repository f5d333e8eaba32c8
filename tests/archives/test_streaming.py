"""A remote file is read where it is, and an excerpt of it holds the sweeps that are needed."""

import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.archives.client import Client, Secret
from sts.archives.streaming import (
    EXCERPT_MARK,
    NEEDED_STIMULI,
    RANGE_BYTES,
    RangeFile,
    StreamOrder,
    StreamReport,
    stream,
    write_excerpt,
)
from sts.base.errors import CellFailed, StsError
from sts.base.files import sha256_of
from sts.base.sandbox import Isolated
from sts.base.settings import to_dict
from sts.recordings.nwb import read_nwb2
from sts.recordings.recording import Recording
from tests.archives.server import QUICK, Server, cut, instead, status, whole
from tests.recordings.files import add_series, add_sweep, write_mies

CONTENT = np.random.default_rng(0).bytes(5 * RANGE_BYTES + 1234)


@pytest.fixture
def remote(server: Server, client: Client) -> RangeFile:
    return RangeFile(client, server.file("/a", CONTENT))


def test_it_reads_as_a_local_file_does(remote: RangeFile) -> None:
    local = io.BytesIO(CONTENT)
    rng = np.random.default_rng(1)
    for _ in range(200):
        at, count = int(rng.integers(len(CONTENT) + 10)), int(rng.integers(1, 2 * RANGE_BYTES))
        assert remote.seek(at) == local.seek(at)
        assert remote.read(count) == local.read(count)
        assert remote.tell() == local.tell()
    assert remote.seek(-10, io.SEEK_END) == local.seek(-10, io.SEEK_END)
    assert remote.seek(3, io.SEEK_CUR) == local.seek(3, io.SEEK_CUR)
    assert remote.read() == local.read()
    with pytest.raises(ValueError, match="before the start of the file"):
        remote.seek(-1)


def test_only_what_is_read_travels(server: Server, remote: RangeFile) -> None:
    assert remote.size == len(CONTENT)
    remote.seek(4 * RANGE_BYTES + 7)
    for _ in range(50):
        remote.read(100)
    assert remote.requests == len(server.log) == 2
    assert remote.brought_bytes == server.sent <= 2 * RANGE_BYTES + 1234


def test_neighbouring_blocks_come_together(server: Server, remote: RangeFile) -> None:
    remote.seek(RANGE_BYTES)
    remote.read(4 * RANGE_BYTES)
    assert len(server.log) == 2
    assert server.sent == 5 * RANGE_BYTES


def test_memory_is_bounded(server: Server, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sts.archives.streaming.KEPT_BLOCKS", 2)
    remote = RangeFile(client, server.file("/a", CONTENT))
    for at in (0, 2, 4, 0, 2, 4):
        remote.seek(at * RANGE_BYTES)
        assert remote.read(10) == CONTENT[at * RANGE_BYTES :][:10]
        assert len(remote._blocks) <= 2
    assert len(server.log) > 4


@pytest.mark.parametrize("fault", [status(503), cut(10), cut(0)])
def test_what_may_pass_is_asked_again(server: Server, remote: RangeFile, fault: object) -> None:
    server.fail("/a", fault, fault)  # type: ignore[arg-type]
    remote.seek(2 * RANGE_BYTES)
    assert remote.read(100) == CONTENT[2 * RANGE_BYTES :][:100]


def test_a_server_without_ranges_is_refused(server: Server, client: Client) -> None:
    # More than the system keeps in its buffers between two that have stopped to listen.
    server.file("/b", CONTENT * 200, ranges=False)
    with pytest.raises(StsError, match=r"ignores ranges .* leave out --stream"):
        RangeFile(client, server.at("/b"))
    assert server.sent < 100 * len(CONTENT)


def test_a_server_that_forgets_ranges_is_refused(server: Server, remote: RangeFile) -> None:
    server.fail("/a", whole)
    remote.seek(3 * RANGE_BYTES)
    with pytest.raises(StsError, match="ignores ranges"):
        remote.read(10)


@pytest.mark.parametrize(
    "fault", [instead(CONTENT[:-1]), instead(CONTENT, ETag='"v2"'), instead(CONTENT + b"x")]
)
def test_a_file_that_changes_meanwhile_is_refused(
    server: Server, remote: RangeFile, fault: object
) -> None:
    server.fail("/a", fault)  # type: ignore[arg-type]
    remote.seek(3 * RANGE_BYTES)
    with pytest.raises(StsError, match="changed while it was read"):
        remote.read(10)


def test_a_redirect_is_followed_once_and_renewed_when_it_has_expired(
    server: Server, client: Client
) -> None:
    server.file("/blob", CONTENT)
    address = server.redirect("/asked", server.at("/blob?signature=1", host="localhost"))
    remote = RangeFile(client, address, secret=Secret("Basic c2VjcmV0"))
    remote.seek(2 * RANGE_BYTES)
    remote.read(10)
    assert [r.path for r in server.log] == ["/asked", "/blob?signature=1", "/blob?signature=1"]
    server.fail("/blob", status(403))
    remote.seek(4 * RANGE_BYTES)
    assert remote.read(10) == CONTENT[4 * RANGE_BYTES :][:10]
    assert [r.path for r in server.log][3:] == ["/blob?signature=1", "/asked", "/blob?signature=1"]
    for request in server.log:
        assert ("Authorization" in request.headers) is (request.path == "/asked")


ORIGIN = {"address": "https://example.org/a", "sha256": "0" * 64, "size": 1}
# Names of DANDI 000020 and of the Cell Types database (a part of each), by whether they are needed.
NAMES = {
    **dict.fromkeys(
        ("X1PS_SubThresh", "X3LP_Rheo", "X4PS_SupraThresh", "Y3LP_Rheo", "Y4PS_SupraThresh"), True
    ),
    **dict.fromkeys(("C1LSCOARSE150216", "C1LSFINEST150112", "C1LSCOARSEMICRO", "LP_Rheo"), True),
    **dict.fromkeys(
        ("C1SSCOARSE150112", "X6SP_Rheo", "SP_Rheo", "Short Square", "C1SSTRIPLE"), True
    ),
    **dict.fromkeys(("C1RP25PR1S141203", "X7Ramp", "Ramp", "Long Square", "PS_SupraThresh"), True),
    **dict.fromkeys(("X2LP_Search", "X5SP_Search", "EXTPSMOKET180424", "EXTPINBATH"), False),
    **dict.fromkeys(("C1NSSEED_1150216", "X8Chirp", "Noise 1", "Test", "Square - 2s Subth"), False),
}


def whole_file(path: Path, *, others: int = 12) -> Path:
    """Write three needed sweeps among others that take much more room."""
    rng = np.random.default_rng(0)
    write_mies(path)
    with h5py.File(path, "a") as file:
        file["general/stimsets/big"] = rng.integers(0, 100, 200_000)
        file["identifier"] = "a file"
        file.attrs[".specloc"] = file["general/stimsets"].ref
        for number in range(3, 3 + others):
            add_sweep(file, number)
            for place, side in (("acquisition", "AD0"), ("stimulus/presentation", "DA0")):
                series = file[f"{place}/data_{number:05d}_{side}"]
                series.attrs["stimulus_description"] = "X2LP_Search_DA_0"
                attributes = dict(series["data"].attrs)
                del series["data"]
                noise = rng.integers(-9, 9, 200_000).astype(np.int16)
                series.create_dataset("data", data=noise).attrs.update(attributes)
        clamped = file["acquisition"].create_group("data_00090_AD0")
        add_series(clamped, "VoltageClampSeries", rng.integers(0, 9, 200_000), {"unit": "amperes"})
    return path


def excerpt_of(path: Path) -> Path:
    small = path.with_name("excerpt.nwb")
    write_excerpt(io.BytesIO(path.read_bytes()), small, ORIGIN)
    return small


def assert_same_sweeps(one: Recording, other: Recording) -> None:
    assert (one.specimen_id, one.donor_id) == (other.specimen_id, other.donor_id)
    assert len(one.sweeps) == len(other.sweeps)
    for a, b in zip(one.sweeps, other.sweeps, strict=True):
        assert (a.name, a.number, a.rate_hz) == (b.name, b.number, b.rate_hz)
        np.testing.assert_array_equal(a.voltage_mv, b.voltage_mv)
        np.testing.assert_array_equal(a.current_pa, b.current_pa)


def test_needed_sweeps_come_over_the_network_and_nothing_else(
    server: Server, client: Client, tmp_path: Path
) -> None:
    whole = whole_file(tmp_path / "whole.nwb")
    size = whole.stat().st_size
    remote = RangeFile(client, server.file("/a.nwb", whole.read_bytes()))
    write_excerpt(io.BufferedReader(remote), tmp_path / "excerpt.nwb", ORIGIN)
    with h5py.File(tmp_path / "excerpt.nwb") as file:
        mark = json.loads(file.attrs[EXCERPT_MARK])
    assert (mark["sweeps"], mark["of"]) == (3, 15)
    # 12.9 MB whole; 3 sweeps are 24 kB, the rest are the blocks in which the directory lies.
    assert remote.brought_bytes < size / 10
    assert (tmp_path / "excerpt.nwb").stat().st_size < size / 50
    read = read_nwb2(tmp_path / "excerpt.nwb")
    assert [sweep.number for sweep in read.sweeps] == [0, 1, 2]
    every = read_nwb2(whole)
    assert_same_sweeps(
        read,
        Recording(specimen_id=every.specimen_id, donor_id=every.donor_id, sweeps=every.sweeps[:3]),
    )


def test_an_excerpt_says_so(tmp_path: Path) -> None:
    small = excerpt_of(whole_file(tmp_path / "whole.nwb"))
    with h5py.File(small) as file:
        assert json.loads(file.attrs[EXCERPT_MARK]) == {**ORIGIN, "sweeps": 3, "of": 15}
        assert file["identifier"][()] == b"a file"
        assert ".specloc" not in file.attrs
        assert "labnotebook" not in file["general"]
        assert "stimsets" not in file["general"]


def test_a_file_whose_names_say_nothing_is_taken_whole(tmp_path: Path) -> None:
    path = write_mies(tmp_path / "whole.nwb")
    with h5py.File(path, "a") as file:
        for series in file["acquisition"].values():
            series.attrs["stimulus_description"] = "protocol 7"
    assert_same_sweeps(read_nwb2(excerpt_of(path)), read_nwb2(path))


@pytest.mark.parametrize("name", NAMES)
def test_names_are_hints_at_what_is_needed(name: str) -> None:
    assert bool(NEEDED_STIMULI.search(name)) is NAMES[name]


def test_what_is_stored_is_copied_as_it_is(tmp_path: Path) -> None:
    path = write_mies(tmp_path / "whole.nwb", numbers=())
    with h5py.File(path, "a") as file:
        add_sweep(file, 0)
        series = file["acquisition/data_00000_AD0"]
        attributes = dict(series["data"].attrs)
        values = series["data"][()]
        del series["data"]
        packed = series.create_dataset(
            "data", data=values, chunks=(500,), compression="gzip", shuffle=True
        )
        packed.attrs.update(attributes)
    with h5py.File(excerpt_of(path)) as small, h5py.File(path) as whole:
        for place in ("acquisition/data_00000_AD0", "stimulus/presentation/data_00000_DA0"):
            one, other = small[place]["data"], whole[place]["data"]
            assert (one.dtype, one.chunks, one.compression) == (
                other.dtype,
                other.chunks,
                other.compression,
            )
            assert dict(one.attrs) == dict(other.attrs)
            np.testing.assert_array_equal(one[()], other[()])
            assert dict(small[place].attrs) == dict(whole[place].attrs)


@pytest.mark.parametrize("links", ["hard", "soft"])
def test_an_electrode_stays_one_and_the_same(tmp_path: Path, links: str) -> None:
    path = write_mies(tmp_path / "whole.nwb")
    if links == "hard":
        with h5py.File(path, "a") as file:
            for series in file["acquisition"].values():
                del series["electrode"]
                series["electrode"] = file["general/intracellular_ephys/electrode_0"]
    with h5py.File(excerpt_of(path)) as small:
        electrodes = {series["electrode"].id for series in small["acquisition"].values()}
        assert electrodes == {small["general/intracellular_ephys/electrode_0"].id}


def spoil_external(file: h5py.File) -> None:
    file["acquisition/data_00001_AD0/electrode2"] = h5py.ExternalLink("/etc/passwd", "/")


def spoil_storage(file: h5py.File) -> None:
    series = file["acquisition/data_00001_AD0"]
    del series["data"]
    series.create_dataset(
        "data", (10,), dtype="i2", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    )


def spoil_claim(file: h5py.File) -> None:
    series = file["acquisition/data_00001_AD0"]
    del series["data"]
    series.create_dataset("data", (2**40,), dtype="i2", chunks=(1024,), fillvalue=1)


def spoil_depth(file: h5py.File) -> None:
    file.create_group("general/devices/" + "/".join("abcdefghij"))


def spoil_version(file: h5py.File) -> None:
    file.attrs["nwb_version"] = "NWB-1.0.5"


def spoil_mode(file: h5py.File) -> None:
    for series in file["acquisition"].values():
        series.attrs["neurodata_type"] = "VoltageClampSeries"


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (spoil_external, "link to another file"),
        (spoil_storage, "are in another file"),
        (spoil_claim, "claims"),
        (spoil_depth, "too deep"),
        (spoil_version, "only NWB 2 can be streamed"),
        (spoil_mode, "no current clamp"),
    ],
)
def test_what_is_not_safe_or_not_wanted_is_refused(
    tmp_path: Path, spoil: object, line: str
) -> None:
    path = write_mies(tmp_path / "whole.nwb")
    with h5py.File(path, "a") as file:
        spoil(file)  # type: ignore[operator]
    with pytest.raises(CellFailed, match=line):
        excerpt_of(path)
    assert not (tmp_path / "excerpt.nwb").exists()


def test_pairs_that_only_a_table_tells_are_not_torn_apart(tmp_path: Path) -> None:
    path = write_mies(tmp_path / "whole.nwb", numbers=(0, 1))
    with h5py.File(path, "a") as file:
        table = file.create_group("general/intracellular_ephys/intracellular_recordings")
        crossed = [("data_00000_AD0", "data_00001_DA0"), ("data_00001_AD0", "data_00000_DA0")]
        for kind, place, side in (
            ("responses/response", "acquisition", 0),
            ("stimuli/stimulus", "stimulus/presentation", 1),
        ):
            kinds = np.dtype([("idx_start", "i4"), ("count", "i4"), ("timeseries", h5py.ref_dtype)])
            rows = [(0, 1, file[f"{place}/{names[side]}"].ref) for names in crossed]
            table.create_dataset(kind, data=np.array(rows, dtype=kinds))
    with pytest.raises(CellFailed, match="fetch it without --stream"):
        excerpt_of(path)


@pytest.fixture
def order(server: Server, tmp_path: Path) -> StreamOrder:
    content = write_mies(tmp_path / "whole.nwb").read_bytes()
    return StreamOrder(
        address=server.file("/a.nwb", content),
        size=len(content),
        sha256="0" * 64,
        path=tmp_path / "sub" / "a.nwb.excerpt.part",
        retry=QUICK,
        seed=0,
    )


def carried_out(order: StreamOrder) -> StreamReport:
    answer, _ = stream(to_dict(order))
    return StreamReport(**answer)


def test_an_order_gives_an_excerpt_and_what_it_cost(order: StreamOrder, server: Server) -> None:
    streamed = carried_out(order)
    assert streamed.fault == ""
    assert streamed.excerpt_sha256 == sha256_of(order.path)
    assert streamed.excerpt_bytes == order.path.stat().st_size
    assert streamed.brought_bytes == server.sent
    assert streamed.whole_bytes == order.size


def test_what_goes_wrong_is_told_and_leaves_nothing(order: StreamOrder, server: Server) -> None:
    server.file("/b.nwb", b"no recording at all, but long enough to be asked for twice")
    for change, line, unreachable in (
        ({"size": 1}, "1 are expected", False),
        ({"address": server.at("/b.nwb"), "size": None}, "no HDF5 file", False),
        ({"address": server.at("/nowhere")}, "404", False),
        ({"address": "http://127.0.0.1:9/x"}, "cannot reach", True),
    ):
        streamed = carried_out(replace(order, **change))  # type: ignore[arg-type]
        assert line in streamed.fault
        assert streamed.unreachable is unreachable
    assert list(order.path.parent.iterdir()) == []


def test_damaged_files_give_a_reason_or_an_excerpt_that_opens(
    order: StreamOrder, server: Server
) -> None:
    whole = (order.path.parents[1] / "whole.nwb").read_bytes()
    seen: Counter[bool] = Counter()
    with Isolated("sts.archives.streaming:stream") as reader:
        for seed in range(32):
            rng = np.random.default_rng(seed)
            content = bytearray(whole)
            for at in rng.integers(len(content), size=int(rng.integers(1, 30))):
                content[at] ^= int(rng.integers(1, 256))
            if seed % 4 == 0:
                del content[int(rng.integers(len(content))) :]
            address = server.file(f"/{seed}.nwb", bytes(content))
            order.path.unlink(missing_ok=True)
            try:
                answer, _ = reader.ask(to_dict(replace(order, address=address, size=None)))
                fault = str(answer["fault"])
            except CellFailed as error:
                fault = str(error)
            seen[bool(fault)] += 1
            if fault:
                assert not order.path.exists()
            else:
                with h5py.File(order.path) as file:
                    assert "acquisition" in file
    # Damage to the data themselves is seen by their digest or by nothing.
    assert seen[True] > 5
    assert seen[False] > 5
