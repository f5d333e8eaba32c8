"""Seeded ways to spoil files of text: models, labels, tables, splits, settings."""

import re
from collections.abc import Callable
from typing import Final

import numpy as np

Rng = np.random.Generator

NUMBER: Final = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
ODD_NUMBERS: Final = (
    *(b"-1", b"0", b"1", b"-0.0", b"1.5", b"1e400", b"-1e400", b"1e-400", b"NaN", b"nan", b"inf"),
    *(b"Infinity", b"-inf", b"2147483648", b"-2147483649", b"4294967296", b"1e308", b"1_0"),
    *(b"99999999999999999999", b"9" * 5000, b"", b"true", b"null", b'"1"', b"x", b"--1", b"0x10"),
    *(b"[1]", b"{}", b"1 2", b"1,2", b"\xd9\xa1"),
)
ODD_BYTES: Final = (
    *(b"\x00", b"\xff", b"\xc3", b"\r", b"\n", b"\t", b'"', b"'", b",", b";", b"=", b"\\"),
    *(b"[", b"{"),
    *(b"\x1b[2J", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"[" * 5000, b'{"a":' * 5000, b"\xed\xa0\x80"),
)  # fmt: skip


def _place(data: bytes, rng: Rng) -> int:
    return int(rng.integers(len(data) + 1))


def cut_off(data: bytes, rng: Rng) -> bytes:
    return data[: _place(data, rng)]


def flip_bits(data: bytes, rng: Rng) -> bytes:
    spoilt = bytearray(data)
    for _ in range(int(rng.integers(1, 9)) if data else 0):
        spoilt[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(spoilt)


def change_number(data: bytes, rng: Rng) -> bytes:
    found = list(NUMBER.finditer(data))
    if not found:
        return data
    one = found[int(rng.integers(len(found)))]
    odd = ODD_NUMBERS[int(rng.integers(len(ODD_NUMBERS)))]
    return data[: one.start()] + odd + data[one.end() :]


def swap_numbers(data: bytes, rng: Rng) -> bytes:
    found = list(NUMBER.finditer(data))
    if len(found) < 2:
        return data
    one, two = sorted(rng.choice(len(found), 2, replace=False).tolist())
    a, b = found[one], found[two]
    return data[: a.start()] + b[0] + data[a.end() : b.start()] + a[0] + data[b.end() :]


def insert_bytes(data: bytes, rng: Rng) -> bytes:
    at, odd = _place(data, rng), ODD_BYTES[int(rng.integers(len(ODD_BYTES)))]
    return data[:at] + odd + data[at:]


def leave_out_bytes(data: bytes, rng: Rng) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + int(rng.integers(1, 200)) :]


def leave_out_line(data: bytes, rng: Rng) -> bytes:
    lines = data.split(b"\n")
    del lines[int(rng.integers(len(lines)))]
    return b"\n".join(lines)


def repeat_line(data: bytes, rng: Rng) -> bytes:
    lines = data.split(b"\n")
    at = int(rng.integers(len(lines)))
    return b"\n".join(
        [*lines[: at + 1], *lines[at : at + 1] * int(rng.integers(1, 4)), *lines[at:]]
    )


def swap_lines(data: bytes, rng: Rng) -> bytes:
    lines = data.split(b"\n")
    one, two = (int(rng.integers(len(lines))) for _ in range(2))
    lines[one], lines[two] = lines[two], lines[one]
    return b"\n".join(lines)


def repeat_all(data: bytes, rng: Rng) -> bytes:
    return data * int(rng.integers(2, 4))


def replace_by_noise(data: bytes, rng: Rng) -> bytes:
    at = _place(data, rng)
    return data[:at] + rng.bytes(int(rng.integers(1, 300))) + data[at:]


WAYS: Final[tuple[Callable[[bytes, Rng], bytes], ...]] = (
    cut_off,
    flip_bits,
    change_number,
    change_number,
    change_number,
    swap_numbers,
    insert_bytes,
    leave_out_bytes,
    leave_out_line,
    repeat_line,
    swap_lines,
    repeat_all,
    replace_by_noise,
)


def spoil(data: bytes, rng: Rng) -> tuple[bytes, str]:
    """Return spoilt text and what was done to it."""
    way = WAYS[int(rng.integers(len(WAYS)))]
    return way(data, rng), way.__name__
