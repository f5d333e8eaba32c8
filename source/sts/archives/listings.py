"""The recordings of the Allen Institute and of DANDI, and their addresses.

DANDI's own client lists and describes its files; all its requests go through our client, with our
rules for hosts, redirects, sizes and attempts. Only our client fetches contents: DANDI's client
keeps a file with a wrong digest under its final name.
"""

import csv
import io
import json
import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests

from sts.archives.client import Client
from sts.archives.http_rules import (
    FetchError,
    check_address,
    check_place,
    is_loopback,
    next_address,
    origin_of,
    show_address,
)
from sts.archives.items import ArchiveFile
from sts.archives.sources import ALLEN_API, DANDI_API, find_source, table_items
from sts.base.errors import StsError
from sts.base.files import read_csv

if TYPE_CHECKING:
    from dandi.dandiapi import RemoteDandiset


# All recordings are HDF5; their digests are not published.
HDF5: Final = b"\x89HDF\r\n\x1a\n"
_MOUSE: Final = "Mus musculus"
QUERY: Final = (
    "/api/v2/data/query.json?criteria=model::Specimen,rma::criteria,[id$eq{specimen}],"
    "rma::include,ephys_result(well_known_files(well_known_file_type[name$eqNWBDownload]))"
)
DOWNLOAD: Final = re.compile(r"/api/v2/well_known_file_download/(\d+)")
# The version that the study names.
DANDISET: Final = "000020/0.210913.1639"
NWB_SUFFIX: Final = ".nwb"
# A hundred times the pages of the study's dandiset.
MAX_PAGES: Final = 5000
SESSION_IN_PATH: Final = re.compile(r"_ses-([^_/]+)")
HEX_64: Final = re.compile(r"[0-9a-f]{64}")
ETAG: Final = re.compile(r"[0-9a-f]{32}-\d{1,5}")
# Errors of DANDI's client for an unexpected answer.
UNEXPECTED: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError),
    *(TypeError, ValueError),
)


def allen_api(api_url: str = "") -> str:
    """Return the address of the Allen Institute's interface."""
    base = (api_url or ALLEN_API).rstrip("/").removesuffix("/v2").removesuffix("/api")
    return check_address(base)


def list_allen_specimens(client: Client, *, api_url: str = "") -> list[str]:
    """Return the mouse specimens of the feature table, in its order."""
    (table,) = table_items(find_source("allen-table"), api_url=api_url)
    text = client.content(table.address).decode("utf-8-sig", errors="replace")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    columns = ("specimen__id", "donor__species")
    if not set(columns) <= set(rows.fieldnames or ()):
        raise FetchError(f"{show_address(table.address)} is no table with {' and '.join(columns)}")
    specimens = [row["specimen__id"] for row in rows if row["donor__species"] == _MOUSE]
    if not specimens:
        raise FetchError(f"{show_address(table.address)} lists no cell of {_MOUSE}")
    return list(dict.fromkeys(specimens))


def list_allen_recordings(specimens: Sequence[str], *, api_url: str = "") -> list[ArchiveFile]:
    """Return the recordings of specimens; their addresses are asked for one by one later."""
    for specimen in specimens:
        if not re.fullmatch(r"\d{1,18}", specimen):
            raise StsError(f"{specimen!r} is not a specimen id of the Allen Institute: digits only")
    base = allen_api(api_url)
    return [
        ArchiveFile(
            place=f"{specimen}.nwb",
            address=base + QUERY.format(specimen=specimen),
            identity=f"specimen {specimen}",
            begins=HDF5,
            listed=True,
        )
        for specimen in dict.fromkeys(specimens)
    ]


def complete_allen_recording(client: Client, item: ArchiveFile) -> ArchiveFile:
    """Return a recording with the address of its content."""
    answer = client.json(item.address)
    understood = isinstance(answer, dict) and answer.get("success", True)
    message = answer.get("msg") if understood else None
    if not isinstance(message, list):
        raise FetchError(
            f"{show_address(item.address)} did not understand the request: is it the API?"
        )
    links = {
        str(file.get("download_link"))
        for specimen in message
        for file in _files(specimen)
        if DOWNLOAD.fullmatch(str(file.get("download_link")))
    }
    if len(links) != 1:
        raise FetchError(
            f"{show_address(item.address)} has {len(links)} recordings of {item.identity}: "
            "one is needed; is it a mouse cell of the Cell Types database?"
        )
    return replace(item, listed=False, address=next_address(item.address, links.pop()))


def _files(specimen: Any) -> list[dict[str, Any]]:
    """Return the files of a specimen's recording."""
    result = specimen.get("ephys_result") if isinstance(specimen, dict) else None
    files = result.get("well_known_files") if isinstance(result, dict) else None
    return [file for file in files or () if isinstance(file, dict)]


@dataclass(frozen=True, kw_only=True)
class Dandiset:
    """One version of one dandiset of one instance."""

    api: str
    identifier: str
    version: str

    @property
    def address(self) -> str:
        """Return the address of its interface."""
        return f"{self.api}/dandisets/{self.identifier}/versions/{self.version}"

    def connect(self, client: Client) -> "RemoteDandiset":
        """Return it as an object of DANDI's client; no request is made yet."""
        # Read while it is imported: else it reports its use to its makers.
        os.environ["DANDI_NO_ET"] = "1"
        from dandi.consts import DandiInstance
        from dandi.dandiapi import DandiAPIClient

        # Its errors are raised too, and reported by us.
        logging.getLogger("dandi").setLevel(logging.CRITICAL)
        # With only an address it would request facts about the instance, without our rules.
        instance = DandiInstance(name="dandi", gui=None, api=self.api)
        library = DandiAPIClient(dandi_instance=instance)
        library.session = _OurSession(client, self)
        return library.get_dandiset(self.identifier, self.version)


def parse_dandiset(name: str = DANDISET, *, api_url: str = "") -> Dandiset:
    """Return the dandiset that `ID/VERSION` names."""
    named = re.fullmatch(r"(\d{6})/([\w.]+)", name)
    if named is None:
        raise StsError(f"expected ID/VERSION of a dandiset such as {DANDISET}, not {name!r}")
    base = (api_url or DANDI_API).rstrip("/").removesuffix("/api")
    return Dandiset(api=check_address(f"{base}/api"), identifier=named[1], version=named[2])


class _OurSession(requests.Session):
    """The session of DANDI's client: our client, for addresses of one dandiset only."""

    def __init__(self, client: Client, dandiset: Dandiset) -> None:
        super().__init__()
        self._client, self._dandiset = client, dandiset
        # DANDI's client asks for several pages at a time.
        self._one_at_a_time = threading.Lock()
        self._asked: set[str] = set()

    def request(  # type: ignore[override]
        self, method: str, url: str, params: Any = None, **_: object
    ) -> requests.Response:
        """Return the answer to a GET."""
        address = self._check_request(requests.Request(method, url, params=params).prepare())
        answer = requests.Response()
        answer.status_code, answer.url, answer.encoding = 200, address, "utf-8"
        content = self._client.content(address)
        answer.raw = io.BytesIO(content)
        self._check_count(content, address)
        return answer

    def _check_request(self, request: requests.PreparedRequest) -> str:
        address, home = check_address(str(request.url)), self._dandiset.address
        below = urlsplit(address).path.startswith(f"{urlsplit(home).path}/")
        if request.method != "GET" or origin_of(address) != origin_of(home) or not below:
            raise FetchError(f"{show_address(home)} continues at {show_address(address)}: refused")
        with self._one_at_a_time:
            if address in self._asked or len(self._asked) >= MAX_PAGES:
                raise FetchError(
                    f"{show_address(address)} never comes to an end: is --api-url right?"
                )
            self._asked.add(address)
        return address

    def _check_count(self, content: bytes, address: str) -> None:
        """Refuse a list with an impossible number of pages."""
        page = json.loads(content)
        if isinstance(page, dict) and isinstance(page.get("results"), list):
            count = page.get("count", 0)
            if not isinstance(count, int) or count > MAX_PAGES * max(len(page["results"]), 1):
                raise FetchError(
                    f"{show_address(address)} never comes to an end: is --api-url right?"
                )


@contextmanager
def _expect(what: str, address: str) -> Iterator[None]:
    """Convert an error about an unexpected answer to one line."""
    try:
        yield
    except UNEXPECTED as error:
        raise FetchError(
            f"{show_address(address)} answers no {what}: is --api-url right, or does the network "
            "require a login?"
        ) from error


def _list_assets(client: Client, dandiset: Dandiset) -> list[Any]:
    library = dandiset.connect(client)
    # On a thread: DANDI's client waits for all requested pages, also after Ctrl-C.
    with _expect("list of assets", dandiset.address), ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(lambda: list(library.get_assets(order="path"))).result()
        except KeyboardInterrupt:
            client.stop()
            raise


def list_dandi_recordings(client: Client, dandiset: Dandiset) -> list[ArchiveFile]:
    """Return the NWB files of a dandiset by their paths, as its list describes them."""
    items = {}
    for asset in _list_assets(client, dandiset):
        if not asset.path.endswith(NWB_SUFFIX):
            continue
        if not re.fullmatch(r"[\w-]+", asset.identifier) or asset.size < 0:
            raise FetchError(f"{dandiset.address} lists an asset without asset_id or size")
        place = check_place(asset.path)
        items[place] = ArchiveFile(
            place=place,
            address=asset.api_url,
            identity=asset.identifier,
            size=asset.size,
            listed=True,
        )
    return [items[place] for place in sorted(items)]


def complete_dandi_recording(client: Client, dandiset: Dandiset, item: ArchiveFile) -> ArchiveFile:
    """Return a listed file with its digests and the address of its content."""
    with _expect("metadata", item.address):
        asset = dandiset.connect(client).get_asset(item.identity)
        metadata = asset.get_raw_metadata()
        digests = dict(metadata.get("digest") or {})
        addresses = [str(each) for each in metadata.get("contentUrl") or ()]
    # Addresses at the interface itself are first.
    home = origin_of(dandiset.api)
    usable = [each for each in addresses if _is_usable(each, home)] or [asset.base_download_url]
    return replace(
        item,
        listed=False,
        address=min(usable, key=lambda each: origin_of(each) != home),
        sha256=_match(HEX_64, digests.get("dandi:sha2-256")),
        dandi_etag=_match(ETAG, digests.get("dandi:dandi-etag")),
    )


def _match(pattern: re.Pattern[str], value: Any) -> str:
    text = str(value or "").lower()
    return text if pattern.fullmatch(text) else ""


def _is_usable(address: str, home: tuple[str, str, int]) -> bool:
    try:
        host = origin_of(check_address(address))[1]
    except StsError:
        return False
    return is_loopback(home[1]) or not is_loopback(host)


def read_sessions(metadata: Path) -> Mapping[str, str]:
    """Return the recording session of every specimen, by the patch-seq metadata."""
    needed = ("cell_specimen_id", "ephys_session_id")
    return {row[needed[0]]: row[needed[1]] for row in read_csv(metadata, needed)}


def select_dandi_recordings(
    items: Iterable[ArchiveFile], cells: Iterable[str], sessions: Mapping[str, str]
) -> list[ArchiveFile]:
    """Return the files of these cells, given as specimen or session ids, in their order."""
    by_session = {
        session[1]: item
        for item in items
        if (session := SESSION_IN_PATH.search(item.place)) is not None
    }
    chosen = {cell: by_session.get(sessions.get(cell, cell)) for cell in cells}
    if missing := [cell for cell, item in chosen.items() if item is None]:
        known = "" if sessions else "; for specimen ids, first `fetch patchseq-metadata`"
        raise StsError(
            f"{len(missing)} of {len(chosen)} cells are not in this dandiset, such as "
            f"{missing[0]}{known}"
        )
    return [item for item in chosen.values() if item is not None]
