"""A stored model on disk: a card (model.json), the files it vouches for, and what they replace."""

import contextlib
import hashlib
import logging
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from sts.base.bounds import shorten
from sts.base.errors import StsError
from sts.base.files import explain_write, flush, json_text, read_json
from sts.base.settings import from_dict, to_dict

Arrays = dict[str, np.ndarray[Any, Any]]
T = TypeVar("T")

logger = logging.getLogger("sts")

CARD: Final = "model.json"
# A card is a few kB; the largest network of ours takes 100 MB, its novelty another 50.
MAX_CARD_BYTES: Final = 2**24
MAX_MODEL_BYTES: Final = 2**30
PLAIN_NAME: Final = re.compile(r"\w[\w.+-]{0,99}")
# A folder that a killed writer left behind is swept after this time.
STALE_S: Final = 3600.0
# Names of bytes, numbers and truth values in arrays.
NUMBERS: Final = "fiub"


def read_card(folder: Path, cls: type[T], *, form: str, missing: str, again: str) -> T:
    """Return the card in a folder, every field of it of the type and in the range it should be.

    Parameters
    ----------
    form
        The format that the card must name.
    missing, again
        What the user can do where there is no model, and where the one there is not sound.
    """
    path = folder / CARD
    if not os.path.lexists(path):
        raise StsError(f"no model at {folder}: {missing}")
    try:
        values = read_json(path, max_bytes=MAX_CARD_BYTES)
        if not isinstance(values, dict) or values.get("format") != form:
            raise StsError(f"{path} is no card of format {form!r}")
        _refuse_odd_text(values, path)
        card = from_dict(cls, values, where=str(path))
        if not isinstance(_about(values, "data") or "", str):
            raise StsError(f"{path} must name its training cells by a digest")
    except StsError as error:
        raise StsError(f"{error}: {again}") from error
    return card


def _refuse_odd_text(value: Any, path: Path) -> None:
    """Refuse text that would do more to a terminal or a page than be read."""
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_odd_text(key, path)
            _refuse_odd_text(item, path)
    elif isinstance(value, list):
        for item in value:
            _refuse_odd_text(item, path)
    elif isinstance(value, str) and not value.isprintable():
        raise StsError(f"{path} holds text with control characters, {shorten(value)}")


def read_file(path: Path, *, digest: str, again: str, max_bytes: int = MAX_MODEL_BYTES) -> bytes:
    """Return the bytes of a file that a card vouches for, once their digest is seen to be right."""
    if not path.is_file():
        raise StsError(f"no {path} beside its {CARD}: {again}")
    try:
        if (size := path.stat().st_size) > max_bytes:
            raise StsError(f"{path} is too large, {size:,} bytes, for a model: {again}")
        content = path.read_bytes()
    except (OSError, MemoryError) as error:
        raise StsError(f"cannot read {path}: {again}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise StsError(
            f"{path} is damaged or not the one that {CARD} describes (its sha256 differs): {again} "
            "or copy all files anew"
        )
    return content


def read_arrays(path: Path, *, digest: str, again: str, unknown: tuple[str, ...] = ()) -> Arrays:
    """Return the arrays of a .safetensors file that a card vouches for; all numbers are finite.

    Parameters
    ----------
    unknown
        Arrays in which NaN stands for a value that is missing.
    """
    content = read_file(path, digest=digest, again=again)
    try:
        arrays = safetensors.numpy.load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise StsError(f"cannot read {path}: it is no file of tensors: {again}") from error
    for name, array in arrays.items():
        sound = array.dtype.kind in NUMBERS and (
            not np.isinf(array).any() if name in unknown else np.isfinite(array).all()
        )
        if not sound:
            raise StsError(f"{path}: {shorten(name)} holds what is not a finite number: {again}")
    return arrays


def check_arrays(arrays: Arrays, wanted: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """Raise `ValueError` unless the arrays have these names, dtypes and shapes, and no others."""
    if strange := sorted(set(arrays) ^ set(wanted)):
        raise ValueError(f"{len(strange)} tensors too many or too few, such as {strange[0]!r}")
    for name, (dtype, shape) in wanted.items():
        came = arrays[name]
        if (came.dtype.name, came.shape) != (dtype, shape):
            raise ValueError(f"{name} is {came.dtype.name} {came.shape}, not {dtype} {shape}")


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of libraries and of Python, for a card to name."""
    found = {name: metadata.version(name) for name in names}
    return found | {"python": platform.python_version()}


def check_plain_name(name: str) -> str:
    """Return a name that files and folders can have and that leads nowhere else."""
    if not PLAIN_NAME.fullmatch(name):
        raise StsError(
            "a name must be letters, digits and . _ + - behind a letter or digit, at most 100 of "
            f"them, not {shorten(name)}"
        )
    return name


@contextlib.contextmanager
def write_model(folder: Path) -> Iterator["Writing"]:
    """Give a place for the files of a model that goes to `folder` once all of them are written.

    A model of other cells that is there is kept in a folder beside it, under its date. Until the
    files are on disk nothing is changed: a full disk leaves the old model.
    """
    stage = folder.with_name(f".{folder.name[:40]}.{secrets.token_hex(4)}.partial")
    try:
        stage.mkdir(parents=True)
        _sweep(folder)
        writing = Writing(stage)
        yield writing
        if writing.card is None:
            raise ValueError("a model is written with its card")
        for path in (*stage.iterdir(), stage):
            flush(path)
        _keep_other(folder, writing.card)
        _move(stage, folder)
    except OSError as error:
        explain_write(error, folder, stage)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


class Writing:
    """The files of a model while they are being written."""

    def __init__(self, stage: Path) -> None:
        self._stage = stage
        self.card: dict[str, Any] | None = None

    def add(self, name: str, content: bytes) -> str:
        """Write a file and return its digest."""
        (self._stage / name).write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def add_arrays(self, name: str, arrays: Arrays, *, form: str) -> str:
        """Write arrays as .safetensors and return the digest of the file."""
        # Not `ascontiguousarray`, which gives a single number a dimension.
        whole = {key: np.asarray(each, order="C") for key, each in arrays.items()}
        # The library's own writer of files hides a full disk behind an error of its own.
        return self.add(name, safetensors.numpy.save(whole, metadata={"format": form}))

    def add_card(self, card: object) -> None:
        """Write the card, which vouches for the other files."""
        self.card = to_dict(card)
        self.add(CARD, json_text(self.card).encode("utf-8", errors="backslashreplace"))


def _keep_other(folder: Path, card: Mapping[str, Any]) -> None:
    """Move a model of other cells to a folder that carries its date."""
    there = folder / CARD
    if not there.is_file() or _is_same(there, card):
        return
    date = datetime.fromtimestamp(there.stat().st_mtime, tz=UTC).strftime("%Y%m%d-%H%M%S")
    kept = folder.with_name(f"{folder.name}-{date}")
    for number in range(2, 1000):
        if not os.path.lexists(kept):
            break
        kept = folder.with_name(f"{folder.name}-{date}-{number}")
    folder.rename(kept)
    logger.warning("%s held a model of other cells, which is kept in %s", folder, kept)


def _is_same(there: Path, card: Mapping[str, Any]) -> bool:
    """Tell whether the card of a stored model names the cells of another card, and its origin."""
    try:
        values = read_json(there, max_bytes=MAX_CARD_BYTES)
    except StsError:
        return False
    return isinstance(values, dict) and all(
        _about(values, name) == _about(card, name) for name in ("format", "origin", "data")
    )


def _about(card: Mapping[str, Any], name: str) -> Any:
    value = card.get(name)
    if name != "data":
        return value
    return value.get("training_fingerprint") if isinstance(value, Mapping) else None


def _move(stage: Path, folder: Path) -> None:
    """Put the files of a finished model in their place."""
    if not folder.exists():
        stage.rename(folder)
    else:
        # The card last: until then the old one says that the files are not its own.
        for path in sorted(stage.iterdir(), key=lambda path: path.name == CARD):
            path.replace(folder / path.name)
    # Not every network file system can flush a folder; the rename has happened all the same.
    with contextlib.suppress(OSError):
        flush(folder.parent)


def _sweep(folder: Path) -> None:
    """Remove what killed writers of this model left."""
    for path in folder.parent.glob(f".{folder.name[:40]}.*.partial"):
        with contextlib.suppress(OSError):
            if path.is_dir() and time.time() - path.stat().st_mtime > STALE_S:
                shutil.rmtree(path, ignore_errors=True)
