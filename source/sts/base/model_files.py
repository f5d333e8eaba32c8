"""A stored model: a card (model.json) and the files that it describes with their digests."""

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

from sts.base.errors import StsError
from sts.base.files import explain_write, flush, json_text, read_json
from sts.base.settings import from_dict, shorten, to_dict

Arrays = dict[str, np.ndarray[Any, Any]]
T = TypeVar("T")

logger = logging.getLogger("sts")

CARD: Final = "model.json"
# The weights of a network, beside its card.
TENSORS: Final = "model.safetensors"
# A card has a few kB; the largest network of ours has 100 MB, its novelty detector another 50.
MAX_CARD_BYTES: Final = 2**24
MAX_MODEL_BYTES: Final = 2**30
PLAIN_NAME: Final = re.compile(r"\w[\w.+-]{0,99}")
# The unfinished folder of a killed writer is removed after this time.
STALE_S: Final = 3600.0
# numpy's letters for floats, integers and truth values.
NUMBER_KINDS: Final = "fiub"


def read_card(folder: Path, cls: type[T], *, form: str, missing: str, again: str) -> T:
    """Return the card in a folder, with the type and the range of every field checked.

    Parameters
    ----------
    form
        The format that the card must name.
    missing, again
        Advice to the user where there is no model, and where it is damaged.
    """
    path = folder / CARD
    if not os.path.lexists(path):
        raise StsError(f"no model at {folder}: {missing}")
    try:
        values = read_json(path, max_bytes=MAX_CARD_BYTES)
        if not isinstance(values, dict) or values.get("format") != form:
            raise StsError(f"{path} is no card of format {form!r}")
        _refuse_control_characters(values, path)
        card = from_dict(cls, values, where=str(path))
        if not isinstance(_identify(values)[-1] or "", str):
            raise StsError(f"{path} must name its training cells by a digest")
    except StsError as error:
        raise StsError(f"{error}: {again}") from error
    return card


def _refuse_control_characters(value: Any, path: Path) -> None:
    """Refuse text that could control a terminal."""
    if isinstance(value, dict | list):
        for item in [*value, *value.values()] if isinstance(value, dict) else value:
            _refuse_control_characters(item, path)
    elif isinstance(value, str) and not value.isprintable():
        raise StsError(f"{path} contains text with control characters, {shorten(value)}")


def read_file(path: Path, *, digest: str, again: str, max_bytes: int = MAX_MODEL_BYTES) -> bytes:
    """Return the bytes of a file of a model, after checking their digest against the card's."""
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
    """Return the arrays of a .safetensors file of a model; all numbers are finite.

    Parameters
    ----------
    unknown
        Names of arrays in which NaN stands for a missing value.
    """
    content = read_file(path, digest=digest, again=again)
    try:
        arrays = safetensors.numpy.load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise StsError(f"cannot read {path}: it is no file of tensors: {again}") from error
    for name, array in arrays.items():
        sound = array.dtype.kind in NUMBER_KINDS and (
            not np.isinf(array).any() if name in unknown else np.isfinite(array).all()
        )
        if not sound:
            raise StsError(f"{path}: {shorten(name)} contains a number that is not finite: {again}")
    return arrays


def check_arrays(arrays: Arrays, wanted: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
    """Raise `ValueError` unless the arrays have these names, dtypes and shapes, and no others."""
    if strange := sorted(set(arrays) ^ set(wanted)):
        raise ValueError(f"{len(strange)} tensors too many or too few, such as {strange[0]!r}")
    for name, (dtype, shape) in wanted.items():
        array = arrays[name]
        if (array.dtype.name, array.shape) != (dtype, shape):
            raise ValueError(f"{name} is {array.dtype.name} {array.shape}, not {dtype} {shape}")


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of libraries and of Python."""
    versions = {name: metadata.version(name) for name in names}
    return versions | {"python": platform.python_version()}


def check_plain_name(name: str) -> str:
    """Return a name after checking that it can name a file or folder, and no other place."""
    if not PLAIN_NAME.fullmatch(name):
        raise StsError(
            "a name must have at most 100 letters, digits and . _ + -, starting with a letter or "
            f"digit, not {shorten(name)}"
        )
    return name


@contextlib.contextmanager
def write_model(folder: Path) -> Iterator["Writing"]:
    """Give a place for the files of a model, and move them to `folder` when the block ends well.

    A model of other cells in `folder` is kept in a folder beside it, under its date. Nothing
    changes until all files are on disk, so that a full disk leaves the old model.
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
        """Write the card, which contains the digests of the other files."""
        self.card = to_dict(card)
        self.add(CARD, json_text(self.card).encode("utf-8", errors="backslashreplace"))


def _keep_other(folder: Path, card: Mapping[str, Any]) -> None:
    """Move a model of other cells to a folder named by its date."""
    old = folder / CARD
    if not old.is_file() or _is_same_model(old, card):
        return
    date = datetime.fromtimestamp(old.stat().st_mtime, tz=UTC).strftime("%Y%m%d-%H%M%S")
    kept = folder.with_name(f"{folder.name}-{date}")
    for number in range(2, 1000):
        if not os.path.lexists(kept):
            break
        kept = folder.with_name(f"{folder.name}-{date}-{number}")
    folder.rename(kept)
    logger.warning("%s contained a model of other cells, which is kept in %s", folder, kept)


def _is_same_model(path: Path, card: Mapping[str, Any]) -> bool:
    """Tell whether a stored card has the format, the origin and the training cells of another."""
    try:
        values = read_json(path, max_bytes=MAX_CARD_BYTES)
    except StsError:
        return False
    return isinstance(values, dict) and _identify(values) == _identify(card)


def _identify(card: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Return the format, the origin and the digest of the training cells of a card."""
    data = card.get("data")
    cells = data.get("training_fingerprint") if isinstance(data, Mapping) else None
    return card.get("format"), card.get("origin"), cells


def _move(stage: Path, folder: Path) -> None:
    """Move the files of a finished model to their place."""
    if not folder.exists():
        stage.rename(folder)
    else:
        # The card is moved last: until then the digests of the old one do not fit the new files.
        for path in sorted(stage.iterdir(), key=lambda path: path.name == CARD):
            path.replace(folder / path.name)
    # Some network file systems cannot flush a folder; the files have their names all the same.
    with contextlib.suppress(OSError):
        flush(folder.parent)


def _sweep(folder: Path) -> None:
    """Remove the unfinished folders of killed writers of this model."""
    for path in folder.parent.glob(f".{folder.name[:40]}.*.partial"):
        with contextlib.suppress(OSError):
            if path.is_dir() and time.time() - path.stat().st_mtime > STALE_S:
                shutil.rmtree(path, ignore_errors=True)
