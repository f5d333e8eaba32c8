"""Recordings of DANDI and of the Allen Institute are listed, chosen and found, and nothing else."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sts.archives.client import Client
from sts.archives.download import Target, download
from sts.archives.http_rules import RetrySettings
from sts.archives.items import ArchiveFile, Receipts
from sts.archives.listings import (
    allen_api,
    complete_allen_recording,
    complete_dandi_recording,
    list_allen_recordings,
    list_allen_specimens,
    list_dandi_recordings,
    parse_dandiset,
    read_sessions,
    select_dandi_recordings,
)
from sts.base.errors import StsError
from tests.archives.server import Handler, Page, Server, asking, cut, instead, status
from tests.archives.worlds import (
    ASKED,
    ASSETS,
    DATES,
    asset_id,
    etag_of,
    files_in,
    info_of,
    serve_allen,
    serve_dandi,
    serve_info,
)

FILES = {
    f"sub-{n}/sub-{n}_ses-{n + 600}_icephys.nwb": b"\x89HDF\r\n\x1a\n" + bytes([n]) * n
    for n in range(1, 6)
}
OTHERS = {"sub-9/readme.txt": b"text", "dandiset.yaml": b"yaml"}


def listed(server: Server, client: Client, **kwargs: int) -> list[str]:
    api = serve_dandi(server, FILES | OTHERS, **kwargs)
    items = list_dandi_recordings(client, parse_dandiset(api_url=api))
    assert [item.size for item in items] == [len(FILES[item.place]) for item in items]
    return [item.place for item in items]


@pytest.mark.parametrize("page", [1, 2, 7, 100])
def test_all_pages_are_read_and_only_recordings_kept(
    server: Server, client: Client, page: int
) -> None:
    assert listed(server, client, page=page) == sorted(FILES)


@pytest.mark.parametrize("path", ["", "/", "/api", "/api/"])
def test_an_instance_may_be_named_with_or_without_api(path: str) -> None:
    one = parse_dandiset("000020/draft", api_url=f"http://127.0.0.1:1{path}")
    assert one.address == "http://127.0.0.1:1/api/dandisets/000020/versions/draft"


def test_the_usual_instance_is_that_of_the_study() -> None:
    assert parse_dandiset().address == (
        "https://api.dandiarchive.org/api/dandisets/000020/versions/0.210913.1639"
    )


@pytest.mark.parametrize("name", ["000020", "20/draft", "000020/../000021", "000020/a/b", ""])
def test_a_dandiset_needs_id_and_version(name: str) -> None:
    with pytest.raises(StsError, match="ID/VERSION"):
        parse_dandiset(name)


def test_another_instance_must_be_https() -> None:
    with pytest.raises(StsError, match="refused the address"):
        parse_dandiset(api_url="http://api.dandiarchive.org/api")


@pytest.mark.parametrize(
    "following",
    [
        f"{ASSETS}?{ASKED}",
        "https://example.org/api/dandisets/",
        "http://localhost/other",
        "file:///etc/passwd",
        "/api/secrets/",
    ],
)
def test_a_list_that_leads_elsewhere_or_in_a_circle_is_refused(
    server: Server, client: Client, following: str
) -> None:
    api = serve_dandi(server, FILES)
    first = f"{ASSETS}?{ASKED}"
    target = server.at(following) if following.startswith("/") else following
    server.json(first, {"next": target, "results": []})
    with pytest.raises(StsError, match=r"never comes to an end|refused"):
        list_dandi_recordings(client, parse_dandiset(api_url=api))
    assert len(server.log) == 1


def test_pages_without_end_are_refused(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sts.archives.listings.MAX_PAGES", 20)
    for number in range(50):
        query = ASKED if not number else f"page={number}"
        following = server.at(f"{ASSETS}?page={number + 1}")
        server.json(f"{ASSETS}?{query}", {"next": following, "results": []})
    with pytest.raises(StsError, match="never comes to an end"):
        list_dandi_recordings(client, parse_dandiset(api_url=server.at()))
    assert len(server.log) == 20


@pytest.mark.parametrize(
    "asset",
    [
        {"path": "../../x.nwb", "asset_id": "a", "size": 1},
        {"path": "/etc/x.nwb", "asset_id": "a", "size": 1},
        {"path": "x.nwb", "asset_id": "a/../../b", "size": 1},
        {"path": "x.nwb", "asset_id": "a", "size": -1},
        {"path": "x.nwb", "asset_id": "a", "size": "large"},
        {"path": "x.nwb", "asset_id": "a", "size": None},
        {"path": "x.nwb", "size": 1},
    ],
)
def test_a_list_cannot_name_what_lies_elsewhere(
    server: Server, client: Client, asset: dict[str, object]
) -> None:
    entry = {**asset, "blob": "b", **DATES}
    server.json(f"{ASSETS}?{ASKED}", {"count": 1, "next": None, "results": [entry]})
    with pytest.raises(
        StsError, match=r"refused the file name|without asset_id or size|no list of assets"
    ):
        list_dandi_recordings(client, parse_dandiset(api_url=server.at()))


@pytest.mark.parametrize("answer", [[], {"results": 5}, {}, "text", None])
def test_what_is_no_list_is_named(server: Server, client: Client, answer: object) -> None:
    server.json(f"{ASSETS}?{ASKED}", answer)
    with pytest.raises(StsError, match="no list of assets"):
        list_dandi_recordings(client, parse_dandiset(api_url=server.at()))


def test_metadata_complete_a_file(server: Server, client: Client, tmp_path: Path) -> None:
    api = serve_dandi(server, FILES)
    dandiset = parse_dandiset(api_url=api)
    item = complete_dandi_recording(client, dandiset, list_dandi_recordings(client, dandiset)[0])
    content = FILES[item.place]
    assert item.address == server.at(f"/api/assets/{asset_id(item.place)}/download/")
    assert item.dandi_etag == etag_of(content)
    target = Target(folder=tmp_path, source="dandi", receipts=Receipts(tmp_path))
    assert download(client, item, target).sha256 == item.sha256
    assert (tmp_path / item.place).read_bytes() == content


def test_of_several_addresses_that_of_the_interface_is_taken(
    server: Server, client: Client
) -> None:
    serve_dandi(server, FILES)
    dandiset = parse_dandiset(api_url=server.at())
    (item, *_) = list_dandi_recordings(client, dandiset)
    own = server.at(f"/api/assets/{item.identity}/download/")
    for told, wanted in (
        (["https://s3.example.org/b", own], own),
        (["https://s3.example.org/b"], "https://s3.example.org/b"),
        (["http://s3.example.org/b", "file:///b"], own),
        (None, own),
    ):
        serve_info(server, item.place, 1, {"contentUrl": told})
        found = complete_dandi_recording(client, dandiset, item)
        assert found.address == wanted
        assert (found.sha256, found.dandi_etag, found.size) == ("", "", item.size)


def test_the_internet_does_not_send_us_to_this_machine() -> None:
    class Answering:
        def content(self, address: str) -> bytes:
            assert address == f"{dandiset.address}/assets/7/info/"
            told = {"contentUrl": ["http://127.0.0.1:631/x", "https://localhost/x"]}
            entry = {"asset_id": "7", "blob": "7", "path": "a.nwb", "size": 1, **DATES}
            return json.dumps({**entry, "metadata": told}).encode()

    dandiset = parse_dandiset()
    item = ArchiveFile(
        place="a.nwb", address="https://api.dandiarchive.org/x", identity="7", listed=True
    )
    found = complete_dandi_recording(Answering(), dandiset, item)  # type: ignore[arg-type]
    assert found.address == "https://api.dandiarchive.org/api/assets/7/download/"


def test_an_etag_alone_is_verified_too(server: Server, client: Client, tmp_path: Path) -> None:
    serve_dandi(server, FILES)
    dandiset = parse_dandiset(api_url=server.at())
    (item, *_) = list_dandi_recordings(client, dandiset)
    target = Target(folder=tmp_path, source="dandi", receipts=Receipts(tmp_path))
    for etag, sound in ((etag_of(FILES[item.place]), True), (etag_of(b"other"), False)):
        digests = {"dandi:dandi-etag": etag, "dandi:sha2-256": "none"}
        serve_info(server, item.place, 1, {"digest": digests})
        whole = replace(complete_dandi_recording(client, dandiset, item), place=f"{sound}.nwb")
        if sound:
            download(client, whole, target)
        else:
            with pytest.raises(StsError, match="DANDI etag"):
                download(client, whole, target)


METADATA = """cell_specimen_id,donor_id,ephys_session_id,T-type
101,7,603,Sst
102,7,601,"Sst, other"
103,8,999,Pvalb
"""


def test_cells_are_chosen_by_specimen_through_the_metadata(
    server: Server, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "metadata.csv"
    path.write_text(METADATA)
    sessions = read_sessions(path)
    items = list_dandi_recordings(client, parse_dandiset(api_url=serve_dandi(server, FILES)))
    chosen = select_dandi_recordings(items, ["102", "101", "605"], sessions)
    assert [item.place.split("_")[1] for item in chosen] == ["ses-601", "ses-603", "ses-605"]
    with pytest.raises(StsError, match="1 of 2 cells are not in this dandiset, such as 103"):
        select_dandi_recordings(items, ["102", "103"], sessions)
    with pytest.raises(StsError, match="patchseq-metadata"):
        select_dandi_recordings(items, ["102"], {})


@pytest.mark.parametrize("count", [10**12, "many", None])
def test_a_list_that_promises_too_much_is_not_asked_for(
    server: Server, client: Client, count: object
) -> None:
    entry = {"asset_id": "a", "blob": "b", "path": "x.nwb", "size": 1, **DATES}
    following = server.at(f"{ASSETS}?{ASKED}&page=2")
    first = {"count": count, "next": following, "results": [entry]}
    server.json(f"{ASSETS}?{ASKED}", first)
    with pytest.raises(StsError, match=r"never comes to an end|no list of assets"):
        list_dandi_recordings(client, parse_dandiset(api_url=server.at()))
    assert len(server.log) == 1


@pytest.mark.parametrize("answer", [[], {}, "text", None, {"metadata": 5}, {"asset_id": "7"}])
def test_what_is_no_metadata_is_named(server: Server, client: Client, answer: object) -> None:
    serve_dandi(server, FILES)
    dandiset = parse_dandiset(api_url=server.at())
    (item, *_) = list_dandi_recordings(client, dandiset)
    server.json(info_of(item.place), answer)
    with pytest.raises(StsError, match="answers no metadata"):
        complete_dandi_recording(client, dandiset, item)


def test_a_list_is_left_at_once(server: Server) -> None:
    def interrupt(handler: Handler, page: Page) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        status(503)(handler, page)

    api = serve_dandi(server, FILES, page=1)
    server.fail(ASSETS, Handler.answer, interrupt, *[status(503)] * 99)
    start_s = time.monotonic()
    # The next attempt would be made in half a minute.
    retry = RetrySettings(first_wait_s=60, longest_wait_s=60)
    with asking(retry) as client, pytest.raises(KeyboardInterrupt):
        list_dandi_recordings(client, parse_dandiset(api_url=api))
    assert time.monotonic() - start_s < 20


ASKING = """
import socket, sys
real, hosts = socket.getaddrinfo, set()
def noted(host, *args, **kwargs):
    hosts.add(str(host))
    return real(host, *args, **kwargs)
socket.getaddrinfo = noted
connect = socket.socket.connect
def noted_too(self, address):
    hosts.add(str(address[0]))
    return connect(self, address)
socket.socket.connect = noted_too
from sts.cli.data import main
status = main(["fetch", "dandi", "--api-url", sys.argv[1], "--out", sys.argv[2], "-q"])
assert "dandi" in sys.modules
print(*sorted(hosts))
sys.exit(status)
"""


def test_nobody_is_asked_but_the_archive_and_its_store(server: Server, tmp_path: Path) -> None:
    api = serve_dandi(server, FILES)
    # In a process of its own: DANDI's client would report its use while it is imported.
    environment = {name: value for name, value in os.environ.items() if name != "DANDI_NO_ET"}
    done = subprocess.run(
        [sys.executable, "-c", ASKING, api, str(tmp_path / "out")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.splitlines()[-1].split()) <= {"127.0.0.1", "localhost", "::1"}
    assert done.stderr == ""
    assert {request.path.split("?")[0].split("/")[1] for request in server.log} == {"api", "blobs"}
    assert files_in(tmp_path / "out") == FILES


def test_the_list_of_archives_loads_no_client() -> None:
    code = (
        "import sys; from sts.cli.data import main; main(['fetch', '--list']); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "sts.archives.sources" in loaded
    assert not loaded & {"dandi", "requests"}


CONTENT = b"\x89HDF\r\n\x1a\n" + bytes(1000)
RECORDINGS = {"464212183": CONTENT, "325464516": CONTENT + b"2"}


@pytest.fixture
def item(server: Server) -> ArchiveFile:
    (item,) = list_allen_recordings(["464212183"], api_url=serve_allen(server, RECORDINGS))
    return item


def test_mouse_cells_are_listed_from_the_table(server: Server, client: Client) -> None:
    api = serve_allen(server, RECORDINGS)
    assert list_allen_specimens(client, api_url=api) == list(RECORDINGS)


@pytest.mark.parametrize("text", ["", "<html>", "specimen__id,donor__species\n1,Homo Sapiens\n"])
def test_a_table_without_mice_is_named(server: Server, client: Client, text: str) -> None:
    server.file("/cell_types_specimen_details.csv", text.encode())
    with pytest.raises(StsError, match=r"specimen_details\.csv"):
        list_allen_specimens(client, api_url=server.at())


def test_a_recording_is_found_and_verified_as_well_as_can_be(
    server: Server, client: Client, item: ArchiveFile, tmp_path: Path
) -> None:
    target = Target(folder=tmp_path, source="allen", receipts=Receipts(tmp_path))
    whole = complete_allen_recording(client, item)
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
        download(client, complete_allen_recording(client, item), target)
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
        complete_allen_recording(client, item)


def test_only_digits_come_into_a_question() -> None:
    with pytest.raises(StsError, match="digits only"):
        list_allen_recordings(["1],rma::options[num_rows$eq'all'"])


@pytest.mark.parametrize("path", ["", "/", "/api", "/api/v2", "/api/v2/"])
def test_the_interface_may_be_named_at_any_length(path: str) -> None:
    assert allen_api(f"http://127.0.0.1:1{path}") == "http://127.0.0.1:1"
    assert allen_api() == "https://api.brain-map.org"
