"""Archives of a few small files on a loopback server, speaking as the real ones do."""

import hashlib
import io
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

from sts.archives.listings import DANDISET
from tests.archives.server import Server

IDENTIFIER, VERSION = DANDISET.split("/")
ASSETS = f"/api/dandisets/{IDENTIFIER}/versions/{VERSION}/assets/"
ASKED = "order=path"
DATES = {"created": "2021-09-13T16:39:00Z", "modified": "2021-09-13T16:39:00Z"}


def asset_id(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:32]


def etag_of(content: bytes) -> str:
    """Return what DANDI calls a file of one part."""
    inner = hashlib.md5(content, usedforsecurity=False).digest()
    return f"{hashlib.md5(inner, usedforsecurity=False).hexdigest()}-1"


def serve_dandi(server: Server, files: Mapping[str, bytes], *, page: int = 2) -> str:
    """Serve a dandiset: its list in pages, metadata, and contents behind a redirect."""
    entries = [serve_asset(server, path, content) for path, content in files.items()]
    pages = [entries[at : at + page] for at in range(0, len(entries), page)] or [[]]
    for number, results in enumerate(pages, start=1):
        following = server.at(f"{ASSETS}?{ASKED}&page={number + 1}")
        query = ASKED if number == 1 else f"{ASKED}&page={number}"
        server.json(
            f"{ASSETS}?{query}",
            {
                "count": len(entries),
                "next": following if number < len(pages) else None,
                "previous": None,
                "results": results,
            },
        )
    return server.at("/api")


def info_of(path: str) -> str:
    return f"{ASSETS}{asset_id(path)}/info/"


def serve_info(server: Server, path: str, size: int, metadata: object) -> dict[str, object]:
    """Serve what the archive knows of an asset, and return what its list says of it."""
    identity = asset_id(path)
    entry = {"asset_id": identity, "blob": identity, "path": path, "size": size, **DATES}
    server.json(info_of(path), {**entry, "metadata": metadata})
    return entry


def serve_asset(server: Server, path: str, content: bytes) -> dict[str, object]:
    identity = asset_id(path)
    blob = f"/blobs/{identity}"
    # The store is another host than the interface; here it has another name.
    server.redirect(
        f"/api/assets/{identity}/download/", server.at(f"{blob}?signature=secret", host="localhost")
    )
    server.file(blob, content)
    addresses = [
        server.at(f"/api/assets/{identity}/download/"),
        server.at(blob, host="localhost"),
    ]
    digests = {
        "dandi:sha2-256": hashlib.sha256(content).hexdigest(),
        "dandi:dandi-etag": etag_of(content),
    }
    return serve_info(server, path, len(content), {"contentUrl": addresses, "digest": digests})


def blob_of(path: str) -> str:
    return f"/blobs/{asset_id(path)}"


def serve_allen(server: Server, recordings: Mapping[str, bytes]) -> str:
    """Serve recordings of specimens, and the table that lists them with one human cell."""
    lines = ["line_name,specimen__id,donor__species"]
    for number, (specimen, content) in enumerate(recordings.items()):
        link = f"/api/v2/well_known_file_download/{900 + number}"
        server.file(link, content)
        query = (
            f"/api/v2/data/query.json?criteria=model::Specimen,rma::criteria,[id$eq{specimen}],"
            "rma::include,ephys_result(well_known_files(well_known_file_type[name$eqNWBDownload]))"
        )
        file = {"id": 900 + number, "download_link": link, "well_known_file_type_id": 475137571}
        specimens = [{"id": int(specimen), "ephys_result": {"well_known_files": [file]}}]
        server.json(query, {"success": True, "num_rows": 1, "msg": specimens})
        lines.append(f"Sst-IRES-Cre,{specimen},Mus musculus")
    lines.append(",525011903,Homo Sapiens")
    server.file("/cell_types_specimen_details.csv", "\n".join(lines).encode())
    return server.at()


def zipped(members: Mapping[str, bytes], *, links: tuple[str, ...] = ()) -> bytes:
    """Return a ZIP archive; `links` are members that are symbolic links."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        for name in links:
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
    return memory.getvalue()


KAGGLE_PATH = "/api/v1/datasets/download/smiliesatpolito/STS-data"
PUBLISHED = {
    "PatchClampGouwens_CWT/cell_101.npy": b"\x93NUMPY one",
    "data/PatchSeqGouwensCWT/cell_102.npy": b"\x93NUMPY two",
    "data/PatchSeqGouwensCWT/cell_103.npy": b"\x93NUMPY three",
    "best_model/ResNet18_best_models/best_model.pkl": b"not a pickle",
    "readme.txt": b"hello",
}
UNPACKED = {
    "PatchClampGouwens_CWT/cell_101.npy",
    "PatchSeqGouwensCWT/cell_102.npy",
    "PatchSeqGouwensCWT/cell_103.npy",
    "published_models/ResNet18_best_models/best_model.pkl",
    "kaggle/readme.txt",
}


def serve_kaggle(server: Server, content: bytes, *, ranges: bool = True) -> str:
    """Serve an archive behind a redirect to a store, which is another host."""
    server.redirect(KAGGLE_PATH, server.at("/bundle/archive.zip?sig=secret", host="localhost"))
    server.file("/bundle/archive.zip", content, ranges=ranges)
    return server.at()


def files_in(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder that a user would see."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and path.name != "fetched.json"
    }
