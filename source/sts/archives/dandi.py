"""DANDI: which recordings a dandiset holds, and what its archive knows of each.

DANDI's own client lists and describes them; all that it asks goes through ours, so that our rules
for hosts, redirects, sizes and attempts hold. Contents are fetched by us alone: its client leaves
a file whose digest is wrong under its final name.
"""

import io
import json
import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests

from sts.archives.addresses import (
    check_address,
    check_place,
    is_loopback,
    origin_of,
    show_address,
)
from sts.archives.client import Client
from sts.archives.items import ArchiveFile
from sts.archives.patience import FetchError
from sts.archives.sources import DANDI_API
from sts.base.errors import StsError
from sts.base.files import read_csv

if TYPE_CHECKING:
    from dandi.dandiapi import RemoteDandiset

# The version that the study names.
DANDISET: Final = "000020/0.210913.1639"
NWB_SUFFIX: Final = ".nwb"
# A hundred times what the dandiset of the study holds.
MAX_PAGES: Final = 5000
SESSION_IN_PATH: Final = re.compile(r"_ses-([^_/]+)")
HEX_64: Final = re.compile(r"[0-9a-f]{64}")
ETAG: Final = re.compile(r"[0-9a-f]{32}-\d{1,5}")
# What DANDI's client raises where an answer is not what it expects.
UNEXPECTED: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError),
    *(TypeError, ValueError),
)


@dataclass(frozen=True, kw_only=True)
class Dandiset:
    """One version of one dandiset of one instance."""

    api: str
    identifier: str
    version: str

    @property
    def address(self) -> str:
        """Return where its interface is."""
        return f"{self.api}/dandisets/{self.identifier}/versions/{self.version}"

    def connect(self, client: Client) -> "RemoteDandiset":
        """Return it as DANDI's client knows it; nothing is asked yet."""
        # Read while it is imported: it would tell its makers where it is used.
        os.environ["DANDI_NO_ET"] = "1"
        from dandi.consts import DandiInstance
        from dandi.dandiapi import DandiAPIClient

        # What fails is raised too, and said by us.
        logging.getLogger("dandi").setLevel(logging.CRITICAL)
        # With a bare address it would ask the instance about itself, past our rules.
        instance = DandiInstance(name="dandi", gui=None, api=self.api)
        library = DandiAPIClient(dandi_instance=instance)
        library.session = _OurSession(client, self)
        return library.get_dandiset(self.identifier, self.version)


def dandiset_of(name: str = DANDISET, *, api_url: str = "") -> Dandiset:
    """Return the dandiset that `ID/VERSION` names."""
    named = re.fullmatch(r"(\d{6})/([\w.]+)", name)
    if named is None:
        raise StsError(f"wanted ID/VERSION of a dandiset such as {DANDISET}, not {name!r}")
    base = (api_url or DANDI_API).rstrip("/").removesuffix("/api")
    return Dandiset(api=check_address(f"{base}/api"), identifier=named[1], version=named[2])


class _OurSession(requests.Session):
    """What DANDI's client asks with: our client, and of one dandiset only."""

    def __init__(self, client: Client, dandiset: Dandiset) -> None:
        super().__init__()
        self._client, self._dandiset = client, dandiset
        # It asks for several pages at a time.
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
            raise FetchError(
                f"{show_address(home)} says that it goes on at {show_address(address)}: refused"
            )
        with self._one_at_a_time:
            if address in self._asked or len(self._asked) >= MAX_PAGES:
                raise FetchError(
                    f"{show_address(address)} never comes to an end: is --api-url right?"
                )
            self._asked.add(address)
        return address

    def _check_count(self, content: bytes, address: str) -> None:
        """Refuse a list of more pages than can be, all of which would be asked for."""
        page = json.loads(content)
        if isinstance(page, dict) and isinstance(page.get("results"), list):
            count = page.get("count", 0)
            if not isinstance(count, int) or count > MAX_PAGES * max(len(page["results"]), 1):
                raise FetchError(
                    f"{show_address(address)} never comes to an end: is --api-url right?"
                )


@contextmanager
def _expect(what: str, address: str) -> Iterator[None]:
    """Turn what is wrong with an answer into one line."""
    try:
        yield
    except UNEXPECTED as error:
        raise FetchError(
            f"{show_address(address)} answers no {what}: is --api-url right, or does the network "
            "want a login?"
        ) from error


def _list_assets(client: Client, dandiset: Dandiset) -> list[Any]:
    library = dandiset.connect(client)
    # On a thread: DANDI's client waits for all pages that it has asked for, also after Ctrl-C.
    with _expect("list of assets", dandiset.address), ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(lambda: list(library.get_assets(order="path"))).result()
        except KeyboardInterrupt:
            client.stop()
            raise


def list_recordings(client: Client, dandiset: Dandiset) -> list[ArchiveFile]:
    """Return the NWB files of a dandiset by their paths, with what a list says of each."""
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


def complete_asset(client: Client, dandiset: Dandiset, item: ArchiveFile) -> ArchiveFile:
    """Return a listed file with its digests and the address of its content."""
    with _expect("metadata", item.address):
        asset = dandiset.connect(client).get_asset(item.identity)
        metadata = asset.get_raw_metadata()
        digests = dict(metadata.get("digest") or {})
        addresses = [str(each) for each in metadata.get("contentUrl") or ()]
    # At the interface itself rather than anywhere else.
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


def sessions_of(metadata: Path) -> Mapping[str, str]:
    """Return the recording session of every specimen, by the patch-seq metadata."""
    needed = ("cell_specimen_id", "ephys_session_id")
    return {row[needed[0]]: row[needed[1]] for row in read_csv(metadata, needed)}


def select_recordings(
    items: Iterable[ArchiveFile], cells: Iterable[str], sessions: Mapping[str, str]
) -> list[ArchiveFile]:
    """Return the files of these cells, given as specimen or session ids, in their order."""
    by_session = {
        found[1]: item
        for item in items
        if (found := SESSION_IN_PATH.search(item.place)) is not None
    }
    chosen = {cell: by_session.get(sessions.get(cell, cell)) for cell in cells}
    if missing := [cell for cell, item in chosen.items() if item is None]:
        known = "" if sessions else "; `fetch patchseq-metadata` brings what tells specimen ids"
        raise StsError(
            f"{len(missing)} of {len(chosen)} cells are not in this dandiset, such as "
            f"{missing[0]}{known}"
        )
    return [item for item in chosen.values() if item is not None]
