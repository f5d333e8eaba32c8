"""The Cell Types database: its table, its questions and its links."""

from pathlib import Path

import pytest

from sts.archives.allen import api_of, complete_recording, list_specimens, recordings_of
from sts.archives.client import Client
from sts.archives.download import Target, download
from sts.archives.items import ArchiveFile, Receipts
from sts.base.errors import StsError
from tests.archives.server import Server, cut, instead
from tests.archives.worlds import serve_allen

CONTENT = b"\x89HDF\r\n\x1a\n" + bytes(1000)
RECORDINGS = {"464212183": CONTENT, "325464516": CONTENT + b"2"}


@pytest.fixture
def item(server: Server) -> ArchiveFile:
    (item,) = recordings_of(["464212183"], api_url=serve_allen(server, RECORDINGS))
    return item


def test_mouse_cells_are_listed_from_the_table(server: Server, client: Client) -> None:
    api = serve_allen(server, RECORDINGS)
    assert list_specimens(client, api_url=api) == list(RECORDINGS)


@pytest.mark.parametrize("text", ["", "<html>", "specimen__id,donor__species\n1,Homo Sapiens\n"])
def test_a_table_without_mice_is_named(server: Server, client: Client, text: str) -> None:
    server.file("/cell_types_specimen_details.csv", text.encode())
    with pytest.raises(StsError, match=r"specimen_details\.csv"):
        list_specimens(client, api_url=server.at())


def test_a_recording_is_found_and_verified_as_well_as_can_be(
    server: Server, client: Client, item: ArchiveFile, tmp_path: Path
) -> None:
    target = Target(folder=tmp_path, source="allen", receipts=Receipts(tmp_path))
    whole = complete_recording(client, item)
    server.fail("/api/v2/well_known_file_download/900", cut(100))
    assert download(client, whole, target).size == len(CONTENT)
    assert (tmp_path / "464212183.nwb").read_bytes() == CONTENT


def test_what_is_no_recording_is_deleted(
    server: Server, client: Client, item: ArchiveFile, tmp_path: Path
) -> None:
    target = Target(folder=tmp_path, source="allen", receipts=Receipts(tmp_path))
    page = b"<html>down for maintenance</html>"
    server.fail("/api/v2/well_known_file_download/900", instead(page), instead(page))
    with pytest.raises(StsError, match="begins with b'<html>"):
        download(client, complete_recording(client, item), target)
    assert not list(tmp_path.glob("464212183*"))


def answer(*links: str, **more: object) -> dict[str, object]:
    files = [{"download_link": link} for link in links]
    return {"success": True, "msg": [{"ephys_result": {"well_known_files": files}}], **more}


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (answer(), "has 0 recordings"),
        (answer("https://example.org/api/v2/well_known_file_download/1"), "has 0 recordings"),
        (answer("/etc/passwd"), "has 0 recordings"),
        (answer("/api/v2/well_known_file_download/1/../../x"), "has 0 recordings"),
        (
            answer("/api/v2/well_known_file_download/1", "/api/v2/well_known_file_download/2"),
            "has 2 recordings",
        ),
        ({"success": True, "msg": []}, "has 0 recordings"),
        ({"success": True, "msg": [None, {"ephys_result": None}, {"x": 1}]}, "has 0 recordings"),
        ({"success": False, "msg": "Syntax error"}, "did not understand"),
        ({"success": True, "msg": "Syntax error"}, "did not understand"),
        ([], "did not understand"),
    ],
)
def test_an_answer_without_one_recording_is_named(
    server: Server, client: Client, item: ArchiveFile, told: object, line: str
) -> None:
    server.json(item.address.removeprefix(server.at()), told)
    with pytest.raises(StsError, match=line):
        complete_recording(client, item)


def test_only_digits_come_into_a_question() -> None:
    with pytest.raises(StsError, match="digits only"):
        recordings_of(["1],rma::options[num_rows$eq'all'"])


@pytest.mark.parametrize("path", ["", "/", "/api", "/api/v2", "/api/v2/"])
def test_the_interface_may_be_named_at_any_length(path: str) -> None:
    assert api_of(f"http://127.0.0.1:1{path}") == "http://127.0.0.1:1"
    assert api_of() == "https://api.brain-map.org"
