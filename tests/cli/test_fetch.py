"""`data_pipeline.py fetch` as a user meets it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sts.archives.sources import SOURCES
from sts.cli.data import main
from sts.cli.run import Status
from tests.archives.server import Server, serving, status
from tests.archives.worlds import blob_of, files_in, serve_dandi

FILES = {f"sub-{n}/sub-{n}_ses-{n + 600}_icephys.nwb": bytes([n]) * 2000 for n in range(1, 4)}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        serve_dandi(running, FILES)
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("data", "source"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def arguments(server: Server, root: Path) -> list[str]:
    return ["fetch", "dandi", "--root", str(root), "--api-url", server.at(), "--retries", "0"]


def test_the_list_names_every_source_with_its_terms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "--list"]) == Status.DONE
    told = capsys.readouterr().out
    for source in SOURCES.values():
        assert source.name in told
        assert source.terms in told
        assert source.credit in told
    assert "141.9 GB" in told


def test_a_dry_run_lists_files_and_their_size(
    arguments: list[str], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--dry-run"]) == Status.DONE
    told = capsys.readouterr().out.splitlines()
    assert told[:3] == [f"{path}  2.0 kB" for path in FILES]
    assert told[3].startswith("would fetch 3 files, 6.0 kB, into ")
    assert list((root / "data").iterdir()) == []


def test_several_sources_are_fetched_one_after_another(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fetch", "patchseq-metadata", "excitatory", "--dry-run", "--root", str(root)]
    assert main(words) == Status.DONE
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("would")]
    assert [line.split(", into")[0] for line in told] == [
        "would fetch 1 files, 1.1 MB",
        "would fetch 2 files, 3.1 MB",
    ]


def test_a_fetch_tells_what_came_and_under_which_terms(
    arguments: list[str], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == Status.DONE
    told = capsys.readouterr()
    assert "dandi: 3 files fetched into" in told.out
    assert "CC-BY-4.0" in told.out
    assert files_in(root / "data" / "dandi") == FILES
    assert main([*arguments, "--resume"]) == Status.DONE
    assert "0 files fetched" in capsys.readouterr().out


def test_failures_are_listed_and_told_by_the_status(
    arguments: list[str], server: Server, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = next(iter(FILES))
    server.fail(blob_of(first), status(500))
    assert main([*arguments, "--cells", "601", "602"]) == Status.PARTIAL
    told = capsys.readouterr()
    assert f"failed: {first}: " in told.err
    assert "500" in told.err
    assert "Traceback" not in told.err
    assert len(files_in(root / "data" / "dandi")) == 1
    assert main([*arguments, "--cells", "601", "602"]) == Status.DONE


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["fetch"], "no SOURCE given: choose from sts-tables"),
        (["fetch", "dandy"], "did you mean 'dandi'"),
        (["fetch", "excitatory", "dandy"], "did you mean 'dandi'"),
        (["fetch", "etypes", "excitatory", "--out", "x"], "--out is the folder of one source"),
        (["fetch", "etypes", "--limit", "3"], "can only be fetched whole"),
        (["fetch", "dandi", "--api-url", "http://api.dandiarchive.org"], "refused the address"),
        (["fetch", "dandi", "--dandiset", "20"], "ID/VERSION"),
        (["fetch", "allen", "--cells", "x y"], "neither a specimen id nor a file"),
        (["fetch", "allen", "--dandiset", "000021/draft"], "--dandiset is for dandi"),
        (["fetch", "etypes", "--api-url", "http://127.0.0.1:9", "--retries", "0"], "cannot reach"),
    ],
)
def test_what_must_be_changed_is_one_line(
    given: list[str], line: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*given, "--root", str(root), "-q"]) == Status.USER
    told = capsys.readouterr().err.strip()
    assert line in told
    assert "\n" not in told
