"""What a saboteur does to the folder of a model, whichever wing it is of."""

import hashlib
import json
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from sts.base.errors import StsError

CARD = "model.json"


def edit_card(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / CARD
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card))


def sign(folder: Path, name: str) -> None:
    """Let the card vouch for the file as it is now."""
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()

    def put(card: dict[str, Any]) -> None:
        if isinstance(card["sha256"], dict):
            card["sha256"][name] = digest
        else:
            card["sha256"] = digest

    edit_card(folder, put)


def tensors_of(folder: Path) -> Path:
    return next(folder.glob("*.safetensors"))


def _replace_text(old: str, new: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / CARD
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return apply


def _set(name: str, value: Any) -> Callable[[Path], None]:
    return lambda folder: edit_card(folder, lambda card: card.__setitem__(name, value))


def _bytes(content: bytes) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        tensors_of(folder).write_bytes(content)
        sign(folder, tensors_of(folder).name)

    return apply


def _header(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = tensors_of(folder)
        raw = path.read_bytes()
        (size,) = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8 : 8 + size])
        change(header)
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + size :])
        sign(folder, path.name)

    return apply


def _first(header: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(each for name, each in header.items() if name != "__metadata__")
    return found


def _arrays(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = tensors_of(folder)
        arrays = dict(safetensors.numpy.load_file(path))
        change(arrays)
        path.write_bytes(safetensors.numpy.save(arrays))
        sign(folder, path.name)

    return apply


def _spoil(value: float) -> Callable[[dict[str, Any]], object]:
    def change(arrays: dict[str, Any]) -> None:
        name = next(name for name in sorted(arrays) if arrays[name].dtype.kind == "f")
        arrays[name] = np.full_like(arrays[name], value)

    return change


def _in_place_of(name: str | None, kind: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / name if name else tensors_of(folder)
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "circle":
            path.symlink_to(path)
        elif kind == "zero":
            path.symlink_to("/dev/zero")
        elif kind == "huge":
            with path.open("wb") as file:
                file.truncate(2**42)
        elif kind == "pipe behind a link":
            os.mkfifo(folder / "pipe")
            path.symlink_to(folder / "pipe")

    return apply


def _deep(folder: Path) -> None:
    path = folder / CARD
    nested = "[" * 100_000 + "]" * 100_000
    text = path.read_text()
    assert '"versions": {' in text
    path.write_text(text.replace('"versions": {', f'"versions": {{"x": {nested},', 1))


WAYS_TO_DO: dict[str, Callable[[Path], None]] = {
    "card: a name twice": _replace_text('"name":', '"name": "x", "name":'),
    "card: NaN": _replace_text('"format":', '"score": NaN, "format":'),
    "card: 1e400": _replace_text('"data": {', '"data": {"x": 1e400, '),
    "card: a million digits": _replace_text('"data": {', f'"data": {{"x": {"9" * 10**6}, '),
    "card: a list without end": _deep,
    "card: cut off": lambda folder: (folder / CARD).write_text(
        (folder / CARD).read_text()[:-10] + ""
    ),
    "card: not UTF-8": lambda folder: (folder / CARD).write_bytes(b"\xff\xfe{}"),
    "card: empty": lambda folder: (folder / CARD).write_bytes(b""),
    "card: a list": lambda folder: (folder / CARD).write_text("[]"),
    "card: null": lambda folder: (folder / CARD).write_text("null"),
    "card: control characters": _set("name", "\x1b[2J\x00"),
    "card: another format": _set("format", "sts-network 99"),
    "card: no digest": _set("sha256", None),
    "card: an unknown name": _set("\x1b[31m" + "x" * 10_000, 1),
    **{
        f"{name or 'tensors'}: {kind} in its place": _in_place_of(name, kind)
        for name in (CARD, None)
        for kind in ("pipe", "folder", "circle", "zero", "huge", "pipe behind a link", "nothing")
    },
    "tensors: empty": _bytes(b""),
    "tensors: text": _bytes(b"not tensors at all, but vouched for"),
    "tensors: a header of 2^60 bytes": _bytes(struct.pack("<Q", 2**60) + b"{}"),
    "tensors: a nested header": _bytes(struct.pack("<Q", 10**6) + b"[" * 10**6),
    "tensors: no tensor": _bytes(safetensors.numpy.save({})),
    "tensors: a shape that lies": _header(lambda h: _first(h).update(shape=[2**40, 2**40])),
    "tensors: a negative shape": _header(lambda h: _first(h).update(shape=[-1])),
    "tensors: offsets that lie": _header(lambda h: _first(h).update(data_offsets=[0, 2**50])),
    "tensors: a type that lies": _header(lambda h: _first(h).update(dtype="F8_E4M3")),
    "tensors: one missing": _arrays(lambda arrays: arrays.pop(min(arrays))),
    "tensors: one too many": _arrays(lambda arrays: arrays.update(extra=np.zeros(3))),
    "tensors: another shape": _arrays(
        lambda arrays: arrays.update({min(arrays): arrays[min(arrays)].reshape(1, -1, 1)})
    ),
    "tensors: another type": _arrays(
        lambda arrays: arrays.update({min(arrays): arrays[min(arrays)].astype(np.complex64)})
    ),
    "tensors: infinite": _arrays(_spoil(np.inf)),
}
WAYS = tuple(WAYS_TO_DO)


def tamper(folder: Path, way: str) -> None:
    """Do to the model in a folder what the way says."""
    WAYS_TO_DO[way](folder)


def check_refusal(load: Callable[[], object]) -> None:
    """Refusal is one short printable line, at once."""
    begin = time.perf_counter()
    with pytest.raises(StsError) as caught:
        load()
    line = str(caught.value)
    assert line.isprintable(), repr(line)
    assert len(line) < 800
    # Far from the 10 s that anything may take; on two busy cores.
    assert time.perf_counter() - begin < 10
