"""DANDI: which recordings a dandiset holds, and what its archive knows of each."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from sts.archives.addresses import (
    checked_address,
    checked_place,
    is_loopback,
    origin_of,
    shown,
)
from sts.archives.client import Client
from sts.archives.items import Item
from sts.archives.patience import FetchError
from sts.archives.sources import DANDI_API
from sts.base.errors import StsError
from sts.base.files import read_csv

# The version that the study names.
DANDISET: Final = "000020/0.210913.1639"
SUFFIX: Final = ".nwb"
PAGE: Final = 1000
# A thousand times what the dandiset of the study holds.
MAX_PAGES: Final = 5000
SESSION: Final = re.compile(r"_ses-([^_/]+)")
HEX_64: Final = re.compile(r"[0-9a-f]{64}")
ETAG: Final = re.compile(r"[0-9a-f]{32}-\d{1,5}")


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


def dandiset_of(name: str = DANDISET, *, api_url: str = "") -> Dandiset:
    """Return the dandiset that `ID/VERSION` names."""
    named = re.fullmatch(r"(\d{6})/([\w.]+)", name)
    if named is None:
        raise StsError(f"wanted ID/VERSION of a dandiset such as {DANDISET}, not {name!r}")
    base = (api_url or DANDI_API).rstrip("/").removesuffix("/api")
    return Dandiset(api=checked_address(f"{base}/api"), identifier=named[1], version=named[2])


def list_recordings(client: Client, dandiset: Dandiset) -> list[Item]:
    """Return the NWB files of a dandiset by their paths, with what a list says of each."""
    items = {}
    for asset in _assets(client, f"{dandiset.address}/assets/?page_size={PAGE}&order=path"):
        if not isinstance(asset, dict) or not str(asset.get("path", "")).endswith(SUFFIX):
            continue
        identity, size = str(asset.get("asset_id", "")), asset.get("size")
        if not re.fullmatch(r"[\w-]+", identity) or type(size) is not int or size < 0:
            raise FetchError(f"{dandiset.address} lists an asset without asset_id or size")
        place = checked_place(str(asset["path"]))
        items[place] = Item(
            place=place,
            address=f"{dandiset.address}/assets/{identity}/",
            identity=identity,
            size=size,
            listed=True,
        )
    return [items[place] for place in sorted(items)]


def _assets(client: Client, address: str) -> Iterator[Any]:
    """Yield the entries of all pages."""
    seen: set[str] = set()
    following: str | None = address
    while following:
        if following in seen or len(seen) >= MAX_PAGES:
            raise FetchError(f"{shown(address)} never comes to an end: is --api-url right?")
        seen.add(following)
        page = client.json(following)
        if not isinstance(page, dict) or not isinstance(page.get("results"), list):
            raise FetchError(f"{shown(address)} answers no list of assets: is --api-url right?")
        yield from page["results"]
        following = _next_page(page.get("next"), address)


def _next_page(following: Any, address: str) -> str | None:
    if following is None:
        return None
    target = checked_address(str(following))
    if origin_of(target) != origin_of(address) or urlsplit(target).path != urlsplit(address).path:
        raise FetchError(f"{shown(address)} says that it goes on at {shown(target)}: refused")
    return target


def complete(client: Client, item: Item) -> Item:
    """Return a listed file with its digests and the address of its content."""
    metadata = client.json(item.address)
    if not isinstance(metadata, dict):
        raise FetchError(f"{shown(item.address)} answers no metadata: is --api-url right?")
    digests = metadata.get("digest")
    digests = digests if isinstance(digests, dict) else {}
    return replace(
        item,
        listed=False,
        address=_content_address(metadata.get("contentUrl"), item),
        sha256=_match(HEX_64, digests.get("dandi:sha2-256")),
        dandi_etag=_match(ETAG, digests.get("dandi:dandi-etag")),
    )


def _match(pattern: re.Pattern[str], value: Any) -> str:
    text = str(value or "").lower()
    return text if pattern.fullmatch(text) else ""


def _content_address(told: Any, item: Item) -> str:
    """Return where the content is: at the interface itself rather than anywhere else."""
    addresses = [str(each) for each in told] if isinstance(told, list) else []
    home = origin_of(item.address)
    usable = [each for each in addresses if _is_usable(each, home)]
    if usable:
        return min(usable, key=lambda each: origin_of(each) != home)
    base = item.address.partition("/dandisets/")[0]
    return f"{base}/assets/{item.identity}/download/"


def _is_usable(address: str, home: tuple[str, str, int]) -> bool:
    try:
        host = origin_of(checked_address(address))[1]
    except StsError:
        return False
    return is_loopback(home[1]) or not is_loopback(host)


def sessions_of(metadata: Path) -> Mapping[str, str]:
    """Return the recording session of every specimen, by the patch-seq metadata."""
    needed = ("cell_specimen_id", "ephys_session_id")
    return {row[needed[0]]: row[needed[1]] for row in read_csv(metadata, needed)}


def select(items: Iterable[Item], cells: Iterable[str], sessions: Mapping[str, str]) -> list[Item]:
    """Return the files of these cells, given as specimen or session ids, in their order."""
    by_session = {
        found[1]: item for item in items if (found := SESSION.search(item.place)) is not None
    }
    chosen = {cell: by_session.get(sessions.get(cell, cell)) for cell in cells}
    if missing := [cell for cell, item in chosen.items() if item is None]:
        known = "" if sessions else "; `fetch patchseq-metadata` brings what tells specimen ids"
        raise StsError(
            f"{len(missing)} of {len(chosen)} cells are not in this dandiset, such as "
            f"{missing[0]}{known}"
        )
    return [item for item in chosen.values() if item is not None]
