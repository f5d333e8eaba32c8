"""Kaggle: the published scalograms and models, with the user's own token."""

import base64
import logging
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from sts.archives.addresses import checked_address
from sts.archives.client import Secret
from sts.archives.items import Item
from sts.archives.sources import KAGGLE_API
from sts.archives.unzip import Member
from sts.base.errors import StsError
from sts.base.files import read_json

logger = logging.getLogger("sts")

# The paper misspells it.
DATASET: Final = "smiliesatpolito/STS-data"
ARCHIVE: Final = "STS-data.zip"
MOST_BYTES: Final = 2 * 10**11
TOKEN_FILE: Final = "kaggle.json"
ADVICE: Final = (
    "make a token on your Kaggle account page and put kaggle.json into ~/.kaggle, or set "
    "KAGGLE_USERNAME and KAGGLE_KEY"
)
# Folders of scalograms, whose spelling differs between the README and the code of the study.
SCALOGRAMS: Final = re.compile(r"Patch(Clamp|Seq)Gouwens_?CWT")
MODELS: Final = "_best_models"
CELL: Final = re.compile(r"cell_(\d+)\.npy")


def archive_item(api_url: str = "") -> Item:
    """Return the whole data set as one file to fetch."""
    base = (api_url or KAGGLE_API).rstrip("/").removesuffix("/v1").removesuffix("/api")
    return Item(
        place=ARCHIVE,
        address=checked_address(f"{base}/api/v1/datasets/download/{DATASET}"),
        identity=DATASET,
        begins=b"PK",
        most_bytes=MOST_BYTES,
    )


def find_secret(environment: Mapping[str, str] = os.environ) -> Secret:
    """Return the user's credentials from where Kaggle's own tools keep them."""
    user, key = environment.get("KAGGLE_USERNAME", ""), environment.get("KAGGLE_KEY", "")
    if user and key:
        return _secret(user, key)
    for path in _places(environment):
        if path.is_file():
            return _read(path)
    raise StsError(f"Kaggle wants to know who asks: {ADVICE}")


def _places(environment: Mapping[str, str]) -> list[Path]:
    if folder := environment.get("KAGGLE_CONFIG_DIR"):
        return [Path(folder, TOKEN_FILE)]
    home = Path(environment.get("HOME") or Path.home())
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return [home / ".kaggle" / TOKEN_FILE, config / "kaggle" / TOKEN_FILE]


def _read(path: Path) -> Secret:
    try:
        kept: Any = read_json(path)
    except StsError:
        # What it says of the file could be what stands in it.
        raise StsError(f"{path} is not a token of Kaggle's: {ADVICE}") from None
    if not isinstance(kept, dict) or not (kept.get("username") and kept.get("key")):
        raise StsError(f"{path} lacks username or key: {ADVICE}")
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        logger.warning("others can read your Kaggle token: chmod 600 %s", path)
    return _secret(str(kept["username"]), str(kept["key"]))


def _secret(user: str, key: str) -> Secret:
    if not f"{user}{key}".isprintable() or ":" in user:
        raise StsError(f"the Kaggle credentials hold what no user name or key has: {ADVICE}")
    return Secret(f"Basic {base64.b64encode(f'{user}:{key}'.encode()).decode()}")


def place_of(name: str) -> str:
    """Return where a member goes below data/: scalograms where they are looked for."""
    parts = PurePosixPath(name).parts
    for at, part in enumerate(parts[:-1]):
        if SCALOGRAMS.fullmatch(part):
            return "/".join(parts[at:])
        if part.endswith(MODELS):
            # Beside our own models a pickle of others has no business.
            return "/".join(("published_models", *parts[at:]))
    return "/".join(("kaggle", *parts))


def select(
    members: Iterable[Member], *, cells: Iterable[str] | None, limit: int | None
) -> list[Member]:
    """Return the members that are wanted: of the scalograms, those of some cells; all the rest."""
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
