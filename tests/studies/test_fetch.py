"""Archives on loopback become folders of data: whole, verified, and gone on with after a kill."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sts.archives import sources
from sts.archives.http_rules import UnreachableError
from sts.archives.items import Receipts
from sts.base.errors import StsError
from sts.studies.data.fetch import fetch, find_torch_cache, plan_fetch, read_cell_ids
from sts.studies.data.fetch_files import FetchJob
from tests.archives.server import (
    QUICK,
    Server,
    cut,
    instead,
    slow,
    status,
    whole,
)
from tests.archives.worlds import (
    asset_id,
    blob_of,
    files_in,
    serve_allen,
    serve_dandi,
)
from tests.conftest import REPOSITORY

HDF5 = b"\x89HDF\r\n\x1a\n"
FILES = {
    f"sub-{n}/sub-{n}_ses-{n + 600}_icephys.nwb": HDF5 + bytes([n]) * (40_000 * n)
    for n in range(1, 7)
}
SPECIMENS = {"464212183": HDF5 + b"1" * 5000, "325464516": HDF5 + b"2" * 6000}


@pytest.fixture
def job(server: Server, tmp_path: Path) -> FetchJob:
    api_url = serve_dandi(server, FILES)
    return FetchJob(source="dandi", out=tmp_path / "dandi", api_url=api_url, retry=QUICK)


def blobs(server: Server) -> int:
    """Return how often contents were asked for."""
    return sum(request.path.startswith("/blobs/") for request in server.log)


def test_a_dandiset_comes_whole_and_is_not_fetched_twice(job: FetchJob, server: Server) -> None:
    done = fetch(job)
    assert (done.fetched, done.there, done.failures) == (6, 0, ())
    assert files_in(job.out) == FILES
    server.log.clear()
    done = fetch(job)
    assert (done.fetched, done.there, done.failures) == (0, 6, ())
    # The list is asked for, and nothing else: receipts say what each file has to be.
    assert all("/assets/?" in request.path for request in server.log)


def test_a_dry_run_tells_all_and_writes_nothing(job: FetchJob) -> None:
    plan = plan_fetch(job)
    assert dict(plan.todo) == {path: len(content) for path, content in FILES.items()}
    assert (plan.total_bytes, plan.without_size, plan.there) == (
        sum(map(len, FILES.values())),
        0,
        0,
    )
    assert not job.out.exists()
    fetch(replace(job, limit=2))
    assert (plan_fetch(job).there, len(plan_fetch(job).todo)) == (2, 4)
    assert plan_fetch(replace(job, force=True)).there == 0


def test_what_was_damaged_meanwhile_is_fetched_again(job: FetchJob, server: Server) -> None:
    fetch(job)
    damaged, gone, *_ = (job.out / path for path in FILES)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    gone.unlink()
    server.log.clear()
    assert fetch(job).fetched == 2
    assert blobs(server) == 2
    assert files_in(job.out) == FILES
    assert fetch(replace(job, force=True)).fetched == 6


def test_some_fail_and_the_rest_is_kept(job: FetchJob, server: Server) -> None:
    names = list(FILES)
    server.fail(blob_of(names[0]), *[status(404)] * 9)
    server.fail(blob_of(names[1]), *[instead(b"x" * len(FILES[names[1]]))] * 9)
    server.fail(blob_of(names[2]), *[cut(10)] * 9)
    server.fail(blob_of(names[3]), status(500), cut(100), slow(0.05), whole)
    server.redirect(f"/api/assets/{asset_id(names[4])}/download/", "file:///etc/passwd")
    done = fetch(job)
    assert (done.fetched, done.there) == (2, 0)
    for failure, name, line in zip(
        done.failures,
        (names[0], names[1], names[2], names[4]),
        ("404", "it was deleted", "was cut", "refused the address file:///etc/passwd"),
        strict=True,
    ):
        assert failure.startswith(f"{name}: ")
        assert line in failure
    sound = {name: FILES[name] for name in (names[3], names[5])}
    parts = (".part", ".part.json")
    assert {n: c for n, c in files_in(job.out).items() if not n.endswith(parts)} == sound
    server.faults.clear()
    serve_dandi(server, FILES)
    assert fetch(job).fetched == 4
    assert files_in(job.out) == FILES


def test_cells_are_chosen_through_the_metadata(job: FetchJob, tmp_path: Path) -> None:
    table = "cell_specimen_id,ephys_session_id\n101,603\n102,605\n"
    (tmp_path / sources.METADATA).write_text(table)
    chosen = replace(job, cells=("102", "101"), metadata=(tmp_path / "none", tmp_path))
    assert [place.split("_")[1] for place, _ in plan_fetch(chosen).todo] == ["ses-605", "ses-603"]
    assert fetch(chosen).fetched == 2
    with pytest.raises(StsError, match="fetch patchseq-metadata"):
        fetch(replace(chosen, metadata=()))


def test_a_copy_from_elsewhere_is_verified_and_kept(job: FetchJob, server: Server) -> None:
    path, content = next(iter(FILES.items()))
    place = job.out / path
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    assert (fetch(job).there, blobs(server)) == (1, 5)


def test_two_at_once_do_not_write_the_same_files(job: FetchJob, server: Server) -> None:
    names = list(FILES)
    server.fail(blob_of(names[0]), slow(0.05, piece=10, pieces=2000))
    code = (
        "import sys; from sts.cli.data import main; "
        "sys.exit(main(['fetch', 'dandi', '-q', '--workers', '1', *sys.argv[1:]]))"
    )
    arguments = ["--api-url", job.api_url, "--out", str(job.out), "--limit", "1"]
    with subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=REPOSITORY) as other:
        part = job.out / f"{names[0]}.part"
        wait_for(part.exists)
        with pytest.raises(StsError, match="another fetch is running in"):
            fetch(job)
        other.kill()
    assert fetch(job).fetched == len(FILES)


def wait_for(happened: object) -> None:
    deadline_s = time.monotonic() + 60
    while not happened():  # type: ignore[operator]
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def killed_again_and_again(job: FetchJob, server: Server, *, seed: int) -> int:
    """Fetch in processes that are killed at random moments; return how many that took."""
    code = (
        "import sys; from sts.cli.data import main; "
        "sys.exit(main(['fetch', sys.argv[1], '-q', '--api-url', sys.argv[2], '--out', "
        "sys.argv[3], '--retries', '0']))"
    )
    rng = np.random.default_rng(seed)
    for attempt in range(1, 40):
        before = server.sent
        some = int(rng.integers(1, 300_000))
        arguments = [sys.executable, "-c", code, job.source, job.api_url, str(job.out)]
        with subprocess.Popen(arguments, cwd=REPOSITORY, start_new_session=True) as process:
            wait_for(
                lambda p=process, b=before, s=some: p.poll() is not None or server.sent > b + s
            )
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        if process.returncode == 0:
            return attempt
    raise AssertionError("it never ended")


def test_killed_at_any_moment_the_same_command_goes_on(job: FetchJob, server: Server) -> None:
    for path in FILES:
        # Slow enough to be killed in the middle.
        server.fail(blob_of(path), *[slow(0.002, piece=2000, pieces=200)])
    assert killed_again_and_again(job, server, seed=0) > 1
    assert files_in(job.out) == FILES
    hidden = {path.name for path in job.out.rglob(".*")}
    assert hidden == {".fetch.lock"}
    receipts = dict(Receipts(job.out))
    assert set(receipts) == set(FILES)
    assert all(receipts[path].size == len(content) for path, content in FILES.items())


def test_without_a_network_it_ends_in_one_line(tmp_path: Path) -> None:
    for source in ("sts-tables", "etypes", "dandi", "allen", "allen-table", "weights"):
        job = FetchJob(
            source=source, out=tmp_path / source, api_url="http://127.0.0.1:9", retry=QUICK
        )
        with pytest.raises(
            UnreachableError, match=r"cannot reach http://127\.0\.0\.1:9/"
        ) as failed:
            fetch(job)
        assert "\n" not in str(failed.value)
        assert files_in(tmp_path / source) == {}
        if source in ("dandi", "allen"):
            with pytest.raises(UnreachableError):
                plan_fetch(job)
        else:
            # What is known without asking is told without a network.
            assert plan_fetch(job).without_size == len(
                [t for t in job_tables(source) if not t.size]
            )


def job_tables(source: str) -> tuple[sources.KnownFile, ...]:
    return sources.SOURCES[source].tables


def test_a_network_that_goes_away_ends_it_early(job: FetchJob, server: Server) -> None:
    names = list(FILES)
    for name in names[1:]:
        # A port on which nobody listens.
        target = "http://127.0.0.1:9/blob"
        server.redirect(f"/api/assets/{asset_id(name)}/download/", target)
    done = fetch(replace(job, workers=1))
    assert done.fetched == 1
    (failure,) = done.failures
    assert failure.startswith("5 files were not tried any more: cannot reach")
    # One that went well, one that did not, and none after it.
    assert len({r.path for r in server.log if r.path.endswith("/download/")}) == 2


def serve_tables(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Serve tables of the right digests at the paths of the published ones."""
    import hashlib

    contents, known = {}, {}
    for name in ("sts-tables", "etypes"):
        source = sources.SOURCES[name]
        tables = []
        for table, item in zip(source.tables, sources.table_items(source), strict=True):
            content = table.place.encode() * 100
            server.file("/" + item.address.split("/", 3)[3], content)
            digest = hashlib.sha256(content).hexdigest()
            tables.append(replace(table, sha256=digest, size=len(content)))
            contents[f"{name}/{table.place}"] = content
        known[name] = replace(source, tables=tuple(tables))
    monkeypatch.setattr(sources, "SOURCES", {**sources.SOURCES, **known})
    return contents


def test_tables_go_where_the_published_repository_has_them(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = serve_tables(server, monkeypatch)
    for source in ("sts-tables", "etypes"):
        job = FetchJob(source=source, out=tmp_path / source, api_url=server.at(), retry=QUICK)
        assert fetch(job).failures == ()
        assert fetch(job).fetched == 0
    assert files_in(tmp_path) == contents


def test_what_is_not_what_was_published_is_refused(server: Server, tmp_path: Path) -> None:
    for item in sources.table_items(sources.SOURCES["etypes"]):
        server.file("/" + item.address.split("/", 3)[3], b"something else")
    job = FetchJob(source="etypes", out=tmp_path, api_url=server.at(), retry=QUICK)
    done = fetch(job)
    assert len(done.failures) == 2
    assert all("is expected; it was deleted" in failure for failure in done.failures)
    assert files_in(tmp_path) == {}


def test_recordings_of_the_allen_institute_come_by_specimen(server: Server, tmp_path: Path) -> None:
    job = FetchJob(
        source="allen", out=tmp_path, api_url=serve_allen(server, SPECIMENS), retry=QUICK
    )
    plan = plan_fetch(job)
    assert dict(plan.todo) == {f"{s}.nwb": len(content) for s, content in SPECIMENS.items()}
    assert fetch(replace(job, cells=("325464516",))).fetched == 1
    done = fetch(job)
    assert (done.fetched, done.there) == (1, 1)
    assert files_in(tmp_path) == {f"{s}.nwb": content for s, content in SPECIMENS.items()}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"source": "dandy"}, "did you mean 'dandi'"),
        ({"source": "etypes", "limit": 1}, "can only be fetched whole"),
        ({"source": "sts-tables", "cells": ("1",)}, "can only be fetched whole"),
        ({"source": "allen", "stream": True}, "--stream is for"),
    ],
)
def test_what_a_source_cannot_do_is_refused(
    job: FetchJob, change: dict[str, object], line: str
) -> None:
    with pytest.raises(StsError, match=line):
        replace(job, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("api_url", ["http://api.dandiarchive.org", "ftp://localhost/", "file:///"])
@pytest.mark.parametrize("source", ["dandi", "allen", "kaggle", "etypes"])
def test_only_https_leaves_this_machine(
    job: FetchJob, source: str, api_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", "ada")
    monkeypatch.setenv("KAGGLE_KEY", "s3cret")
    with pytest.raises(StsError, match="refused the address"):
        fetch(replace(job, source=source, api_url=api_url))
    assert not job.out.exists()


def test_cells_are_named_one_by_one_or_by_files(tmp_path: Path) -> None:
    for name, text in (
        ("list.txt", "101\n102\n\n101\n"),
        ("labels.txt", "Sst 101\nVip/Lamp5 102\n"),
        ("split.csv", "101, Seq\n102, Clamp\n"),
        ("table.csv", "donor_id,specimen_id,label\n7,101,Sst\n8,102,Pvalb\n"),
        ("published.csv", '"tau","specimen_id"\n"3.5","101"\n"2.0","102"\n'),
    ):
        (tmp_path / name).write_text(text)
        assert read_cell_ids([str(tmp_path / name)]) == ("101", "102"), name
    assert read_cell_ids(["102,101", "102"]) == ("102", "101")
    (tmp_path / "both.csv").write_text("specimen_id,dataset\n101,PatchSeq\n102,PatchClamp\n")
    for name in ("split.csv", "both.csv"):
        assert read_cell_ids([str(tmp_path / name)], source="dandi") == ("101",)
        assert read_cell_ids([str(tmp_path / name)], source="allen") == ("102",)
        assert read_cell_ids([str(tmp_path / name)], source="kaggle") == ("101", "102")
    (tmp_path / "empty.txt").write_text("nothing\n")
    with pytest.raises(StsError, match="no specimen ids"):
        read_cell_ids([str(tmp_path / "empty.txt")])
    with pytest.raises(StsError, match="neither a specimen id nor a file"):
        read_cell_ids(["nowhere/cells.txt"])


def test_weights_go_where_torch_looks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for environment in ({"TORCH_HOME": "/t"}, {"XDG_CACHE_HOME": "/c"}, {}):
        for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert find_torch_cache() == Path(torch.hub.get_dir()) / "checkpoints"
