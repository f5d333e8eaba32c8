"""Published scalograms come as one archive on loopback: unpacked once, or member by member."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sts.base.errors import StsError
from sts.studies.data.fetch import fetch
from sts.studies.data.fetch_files import FetchJob
from tests.archives.server import (
    QUICK,
    Server,
    cut,
    status,
)
from tests.archives.worlds import (
    KAGGLE_PATH,
    PUBLISHED,
    UNPACKED,
    files_in,
    serve_kaggle,
    zipped,
)


@pytest.fixture
def kaggle(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FetchJob:
    monkeypatch.setenv("KAGGLE_USERNAME", "ada")
    monkeypatch.setenv("KAGGLE_KEY", "s3cret")
    api_url = serve_kaggle(server, zipped(PUBLISHED))
    return FetchJob(source="kaggle", out=tmp_path / "data", api_url=api_url, retry=QUICK)


@pytest.mark.parametrize("stream", [False, True])
def test_published_scalograms_are_unpacked_once(
    kaggle: FetchJob, server: Server, stream: bool
) -> None:
    job = replace(kaggle, stream=stream)
    done = fetch(job)
    assert (done.fetched, done.there, done.failures) == (5, 0, ())
    assert set(files_in(job.out)) == UNPACKED
    server.log.clear()
    assert (fetch(job).fetched, fetch(job).there) == (0, 5)
    if not stream:
        assert server.log == []
    told = {r.path.split("?")[0]: "Authorization" in r.headers for r in server.log}
    assert told.get(KAGGLE_PATH, True)
    assert not told.get("/bundle/archive.zip", False)


def test_a_damaged_member_is_taken_out_again(kaggle: FetchJob, server: Server) -> None:
    fetch(kaggle)
    damaged = kaggle.out / "PatchSeqGouwensCWT" / "cell_102.npy"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + b"?")
    done = fetch(kaggle)
    assert (done.fetched, done.there) == (1, 4)
    assert damaged.read_bytes() == content
    assert set(files_in(kaggle.out)) == UNPACKED
    assert server.log


def test_some_cells_are_taken_out_and_the_archive_is_kept(kaggle: FetchJob) -> None:
    done = fetch(replace(kaggle, cells=("102",)))
    assert done.fetched == 3
    assert "is kept" in done.notes[0]
    assert "STS-data.zip" in files_in(kaggle.out)
    assert fetch(kaggle).fetched == 2
    assert set(files_in(kaggle.out)) == UNPACKED


def test_streaming_brings_only_the_members_that_are_wanted(
    kaggle: FetchJob, server: Server
) -> None:
    rng = np.random.default_rng(0)
    many = {f"PatchSeqGouwensCWT/cell_{n}.npy": rng.bytes(300_000) for n in range(20)}
    content = zipped(many)
    serve_kaggle(server, content)
    done = fetch(replace(kaggle, stream=True, cells=("7", "8")))
    assert done.fetched == 2
    assert server.sent < len(content) / 3
    assert set(files_in(kaggle.out)) == {f"PatchSeqGouwensCWT/cell_{n}.npy" for n in (7, 8)}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (zipped({**PUBLISHED, "../../out.npy": b"1"}), "leads out of the folder"),
        (zipped({"../PatchSeqGouwensCWT/cell_9.npy": b"1"}), "leads out of the folder"),
        (zipped({"zeros.npy": bytes(2**25)}), "would grow"),
        (zipped(PUBLISHED, links=("kaggle/link",)), "is a link"),
    ],
)
def test_an_archive_that_is_not_safe_is_refused_whole(
    kaggle: FetchJob, server: Server, content: bytes, line: str
) -> None:
    serve_kaggle(server, content)
    for stream in (False, True):
        with pytest.raises(StsError, match=line):
            fetch(replace(kaggle, stream=stream))
        assert set(files_in(kaggle.out.parent)) == {"data/STS-data.zip"}


def test_a_damaged_archive_is_deleted_and_named(kaggle: FetchJob, server: Server) -> None:
    sound = zipped({"a.npy": bytes(range(256)) * 100, "b.npy": b"b"})
    at = sound.index(b"a.npy") + 20
    damaged = sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :]
    for content, line in (
        (b"PK but not an archive", "not a ZIP archive"),
        (sound[:-9], "not a ZIP"),
    ):
        serve_kaggle(server, content)
        with pytest.raises(StsError, match=rf"{line}.* it was deleted"):
            fetch(kaggle)
        assert files_in(kaggle.out) == {}
    serve_kaggle(server, damaged)
    done = fetch(kaggle)
    assert done.fetched == 1
    assert "kaggle/a.npy" not in files_in(kaggle.out)
    assert "a.npy cannot be unpacked" in done.failures[0]
    serve_kaggle(server, sound)
    assert (fetch(kaggle).fetched, fetch(kaggle).there) == (1, 2)
    assert set(files_in(kaggle.out)) == {"kaggle/a.npy", "kaggle/b.npy"}


def test_credentials_appear_nowhere(
    kaggle: FetchJob, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server.fail(KAGGLE_PATH, status(503))
    server.fail("/bundle/archive.zip", cut(10), status(403))
    done_or_not = ""
    try:
        fetch(kaggle)
    except StsError as error:
        done_or_not = str(error)
    assert "403" in done_or_not
    written = "".join(p.read_text(errors="replace") for p in kaggle.out.rglob("*") if p.is_file())
    for secret in ("s3cret", "YWRhOnMzY3JldA", "sig=secret"):
        assert secret not in done_or_not + caplog.text + written
