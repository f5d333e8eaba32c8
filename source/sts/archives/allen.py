"""The Allen Cell Types database: which specimens have a recording, and where it is."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sts.archives.addresses import check_address, next_address, show_address
from sts.archives.client import Client
from sts.archives.items import ArchiveFile
from sts.archives.patience import FetchError
from sts.archives.sources import ALLEN_API, find_source, table_items
from sts.base.errors import StsError

# All recordings are HDF5; no digest of them is published.
HDF5: Final = b"\x89HDF\r\n\x1a\n"
MOUSE: Final = "Mus musculus"
QUERY: Final = (
    "/api/v2/data/query.json?criteria=model::Specimen,rma::criteria,[id$eq{specimen}],"
    "rma::include,ephys_result(well_known_files(well_known_file_type[name$eqNWBDownload]))"
)
DOWNLOAD: Final = re.compile(r"/api/v2/well_known_file_download/(\d+)")


def api_of(api_url: str = "") -> str:
    """Return where the interface is."""
    base = (api_url or ALLEN_API).rstrip("/").removesuffix("/v2").removesuffix("/api")
    return check_address(base)


def list_specimens(client: Client, *, api_url: str = "") -> list[str]:
    """Return the mouse specimens of the feature table, in its order."""
    (table,) = table_items(find_source("allen-table"), api_url=api_url)
    text = client.content(table.address).decode("utf-8-sig", errors="replace")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    columns = ("specimen__id", "donor__species")
    if not set(columns) <= set(rows.fieldnames or ()):
        raise FetchError(f"{show_address(table.address)} is no table with {' and '.join(columns)}")
    found = [row["specimen__id"] for row in rows if row["donor__species"] == MOUSE]
    if not found:
        raise FetchError(f"{show_address(table.address)} lists no cell of {MOUSE}")
    return list(dict.fromkeys(found))


def recordings_of(specimens: Sequence[str], *, api_url: str = "") -> list[ArchiveFile]:
    """Return the recordings of specimens, of which nothing but their names is known yet."""
    for specimen in specimens:
        if not re.fullmatch(r"\d{1,18}", specimen):
            raise StsError(f"{specimen!r} is not a specimen id of the Allen Institute: digits only")
    base = api_of(api_url)
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


def complete_recording(client: Client, item: ArchiveFile) -> ArchiveFile:
    """Return a recording with the address of its content."""
    answer = client.json(item.address)
    understood = isinstance(answer, dict) and answer.get("success", True)
    message = answer.get("msg") if understood else None
    if not isinstance(message, list):
        raise FetchError(
            f"{show_address(item.address)} did not understand the question: is it the API?"
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
            "one is wanted; is it a mouse cell of the Cell Types database?"
        )
    return replace(item, listed=False, address=next_address(item.address, links.pop()))


def _files(specimen: Any) -> list[dict[str, Any]]:
    """Return what is attached to the recording of a specimen."""
    result = specimen.get("ephys_result") if isinstance(specimen, dict) else None
    files = result.get("well_known_files") if isinstance(result, dict) else None
    return [file for file in files or () if isinstance(file, dict)]
