"""Kaggle: the published scalograms and models, with the user's own token, and their ZIP archive."""

import base64
import logging
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from sts.archives.client import Secret
from sts.archives.http_rules import FetchError, check_address, check_place
from sts.archives.items import ArchiveFile
from sts.archives.sources import KAGGLE_API
from sts.base.errors import StsError
from sts.base.files import atomic_path, read_json, sweep_temporaries

logger = logging.getLogger("sts")

# The paper misspells it.
DATASET: Final = "smiliesatpolito/STS-data"
ARCHIVE: Final = "STS-data.zip"
ARCHIVE_BYTES: Final = 2 * 10**11
TOKEN_FILE: Final = "kaggle.json"
TOKEN_ADVICE: Final = (
    "make a token on your Kaggle account page and put kaggle.json into ~/.kaggle, or set "
    "KAGGLE_USERNAME and KAGGLE_KEY"
)
# Folders of scalograms, whose spelling differs between the README and the code of the study.
SCALOGRAMS: Final = re.compile(r"Patch(Clamp|Seq)Gouwens_?CWT")
MODELS_SUFFIX: Final = "_best_models"
CELL: Final = re.compile(r"cell_(\d+)\.npy")
# Errors over a damaged ZIP file.
ZIP_ERRORS: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError)
ENCRYPTED: Final = 0x1
BLOCK_BYTES: Final = 2**20


class DamagedError(FetchError):
    """Explain the damage of an archive."""


@dataclass(frozen=True, kw_only=True)
class Caps:
    """Upper limits on an archive; the published one has 5,600 members, 77 GB unpacked."""

    members: int = 50_000
    bytes: int = 300_000_000_000
    ratio: float = 200.0
    """Bytes unpacked for each packed, of large members and of all together."""
    free_bytes: int = 2**24
    """Smaller members may have any ratio."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file of an archive, and its path."""

    name: str
    place: str
    size: int
    crc32: int


@dataclass(frozen=True, kw_only=True)
class OpenArchive:
    """An archive whose members have all been checked before any is unpacked."""

    archive: zipfile.ZipFile
    members: tuple[Member, ...]


def archive_item(api_url: str = "") -> ArchiveFile:
    """Return the whole data set as one file to fetch."""
    base = (api_url or KAGGLE_API).rstrip("/").removesuffix("/v1").removesuffix("/api")
    return ArchiveFile(
        place=ARCHIVE,
        address=check_address(f"{base}/api/v1/datasets/download/{DATASET}"),
        identity=DATASET,
        begins=b"PK",
        most_bytes=ARCHIVE_BYTES,
    )


def find_secret(environment: Mapping[str, str] = os.environ) -> Secret:
    """Return the user's credentials from the places where Kaggle's own tools keep them."""
    user, key = environment.get("KAGGLE_USERNAME", ""), environment.get("KAGGLE_KEY", "")
    if user and key:
        return _make_secret(user, key)
    for path in _token_files(environment):
        if path.is_file():
            return _read_token(path)
    raise StsError(f"Kaggle asks for credentials: {TOKEN_ADVICE}")


def _token_files(environment: Mapping[str, str]) -> list[Path]:
    if folder := environment.get("KAGGLE_CONFIG_DIR"):
        return [Path(folder, TOKEN_FILE)]
    home = Path(environment.get("HOME") or Path.home())
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return [home / ".kaggle" / TOKEN_FILE, config / "kaggle" / TOKEN_FILE]


def _read_token(path: Path) -> Secret:
    try:
        kept: Any = read_json(path)
    except StsError:
        # The message of the error could contain the secret in the file.
        raise StsError(f"{path} is not a token of Kaggle's: {TOKEN_ADVICE}") from None
    if not isinstance(kept, dict) or not (kept.get("username") and kept.get("key")):
        raise StsError(f"{path} has no username or no key: {TOKEN_ADVICE}")
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        logger.warning("others can read your Kaggle token: chmod 600 %s", path)
    return _make_secret(str(kept["username"]), str(kept["key"]))


def _make_secret(user: str, key: str) -> Secret:
    if not f"{user}{key}".isprintable() or ":" in user:
        raise StsError(f"the Kaggle user name or key contains a wrong character: {TOKEN_ADVICE}")
    return Secret(f"Basic {base64.b64encode(f'{user}:{key}'.encode()).decode()}")


def place_of(name: str) -> str:
    """Return the path of a member in data/, where other commands expect scalograms."""
    parts = PurePosixPath(name).parts
    for at, part in enumerate(parts[:-1]):
        if SCALOGRAMS.fullmatch(part):
            return "/".join(parts[at:])
        if part.endswith(MODELS_SUFFIX):
            # Pickles of others are kept separate from our own models.
            return "/".join(("published_models", *parts[at:]))
    return "/".join(("kaggle", *parts))


def select_members(
    members: Iterable[Member], *, cells: Iterable[str] | None, limit: int | None
) -> list[Member]:
    """Return the requested members: scalograms of some cells, and all other files."""
    wanted = None if cells is None else frozenset(cells)
    chosen, count = [], 0
    for member in members:
        cell = CELL.fullmatch(PurePosixPath(member.place).name)
        if cell is not None:
            if (wanted is not None and cell[1] not in wanted) or count == limit:
                continue
            count += 1
        chosen.append(member)
    return chosen


def open_archive(
    file: "IO[bytes] | Path", place_of: Callable[[str], str], *, caps: Caps | None = None
) -> OpenArchive:
    """Open a ZIP archive and refuse it if one of its members is not a plain file inside it.

    Parameters
    ----------
    place_of
        Returns the place of a member from its name, which was checked.
    """
    try:
        archive = zipfile.ZipFile(file)
    except ZIP_ERRORS as error:
        raise DamagedError(f"the fetched file is not a ZIP archive: {error}") from error
    try:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        _check_all(infos, caps or Caps())
        members = tuple(
            Member(
                name=info.filename,
                place=check_place(place_of(_check_name(info))),
                size=info.file_size,
                crc32=info.CRC,
            )
            for info in infos
        )
        places = {member.place.casefold() for member in members}
        if len(places) < len(members):
            raise FetchError("refused the archive: two of its members have the same path")
    except FetchError:
        archive.close()
        raise
    return OpenArchive(archive=archive, members=members)


def _check_all(infos: list[zipfile.ZipInfo], caps: Caps) -> None:
    if len(infos) > caps.members:
        raise FetchError(f"refused the archive: {len(infos)} members, {caps.members} are allowed")
    unpacked = sum(info.file_size for info in infos)
    packed = sum(info.compress_size for info in infos)
    if unpacked > caps.bytes:
        raise FetchError(
            f"refused the archive: {unpacked / 1e9:.1f} GB unpacked, "
            f"{caps.bytes / 1e9:.1f} GB are allowed"
        )
    pairs = [(info.filename, info.file_size, info.compress_size) for info in infos]
    for name, large, small in [*pairs, ("all of it", unpacked, packed)]:
        if large > caps.free_bytes and large > caps.ratio * small:
            raise FetchError(
                f"refused the archive: {name[:100]!r} would grow {large / max(small, 1):.0f} "
                f"times, {caps.ratio:.0f} are allowed"
            )


def _check_name(info: zipfile.ZipInfo) -> str:
    # zipfile cuts a name at its first NUL and turns backslashes on Windows only.
    name = check_place(info.orig_filename)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise FetchError(f"refused the archive: {name!r} is a link or a device, not a file")
    if info.flag_bits & ENCRYPTED:
        raise FetchError(f"refused the archive: {name!r} is encrypted")
    return name


def is_unpacked(member: Member, folder: Path) -> bool:
    """Tell whether a member was unpacked, complete and unchanged."""
    path = folder / member.place
    if not path.is_file() or path.stat().st_size != member.size:
        return False
    crc32 = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            crc32 = zlib.crc32(block, crc32)
    return crc32 == member.crc32


def unpack(opened: OpenArchive, member: Member, folder: Path) -> Iterator[bytes]:
    """Unpack a member and yield its blocks; the file has its name once it is complete."""
    path = folder / member.place
    sweep_temporaries(path.parent, older_than_s=0)
    try:
        with (
            opened.archive.open(member.name) as packed,
            atomic_path(path) as temporary,
            temporary.open("wb") as file,
        ):
            while block := packed.read(BLOCK_BYTES):
                file.write(block)
                yield block
            if file.tell() != member.size:
                raise zipfile.BadZipFile(f"{file.tell()} bytes instead of {member.size}")
    except (*ZIP_ERRORS, KeyError) as error:
        raise DamagedError(f"{member.name} cannot be unpacked: {error}") from error
