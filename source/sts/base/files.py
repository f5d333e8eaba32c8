"""Files that are whole or not there: atomic writing, digests, and CSV no spreadsheet executes."""

import contextlib
import csv
import errno
import hashlib
import io
import json
import math
import numbers
import os
import re
import secrets
import stat
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import numpy as np

from sts.base.errors import StsError

ADVICE: Final = {
    errno.ENOSPC: "the disk is full: free some space and run it again",
    errno.EDQUOT: "the disk quota is used up: free some space and run it again",
    errno.EROFS: "the file system is read-only: choose another place",
    errno.EACCES: "writing is not permitted: change the permissions or choose another place",
    errno.EPERM: "writing is not permitted: change the permissions or choose another place",
    errno.ENOTDIR: "a file stands where a folder is needed: move it or choose another place",
    errno.EEXIST: "a file stands where a folder is needed: move it or choose another place",
    errno.EISDIR: "a folder stands where the file should go: move it or choose another place",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    errno.EFBIG: "the file would be larger than is allowed here: choose another place",
    errno.EIO: "the disk does not answer as it should: choose another place",
}
# The suffix stays last, since writers of figures and of NWB files look at it.
TEMPORARY: Final = re.compile(r"\..*\.[0-9a-f]{8}\.partial(\.[^.]*)?", re.DOTALL)
# What a spreadsheet takes for a formula, behind any apostrophes so that the guard can be undone.
FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
SPECIAL: Final = re.compile(r'[,"\r\n]')
# What JSON files of this program never reach.
MAX_JSON_BYTES: Final = 2**28
MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 40
# Names of columns in a message, and letters of each.
MAX_SHOWN: Final = 30
TOO_DEEP: Final = "lists or objects lie too deep within one another"
SEPARATORS: Final = (",", ";", "\t")
QUOTED: Final = re.compile(r'"[^"]*"')
GUARDED: Final = re.compile(r"'+[=+\-@\t\r]")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place once the block has ended well."""
    temporary = path.with_name(f".{path.stem[:40]}.{secrets.token_hex(4)}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        flush(temporary)
        temporary.replace(path)
        # Not every network file system can flush a folder; the rename has happened all the same.
        with contextlib.suppress(OSError):
            flush(path.parent)
    except OSError as error:
        explain_write(error, path, temporary)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until a file or a folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def explain_write(error: OSError, path: Path, temporary: Path) -> NoReturn:
    """Raise what the user can act on; an error about some other file stays as it is."""
    ours = {None, *map(str, (path, temporary, path.parent, *path.parent.parents))}
    named = error.filename if error.filename is None else os.fsdecode(error.filename)
    inside = named is not None and named.startswith(f"{temporary}{os.sep}")
    if error.errno in ADVICE and (named in ours or inside):
        raise StsError(f"cannot write {path}: {ADVICE[error.errno]}") from error
    raise error


def make_folder(path: Path) -> None:
    """Make a folder and those above it, or say why that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        explain_write(error, path, path)


def sweep_temporaries(folder: Path, *, older_than_s: float = 3600.0) -> int:
    """Remove what killed writers left in `folder` and return how many files that were.

    Age decides, not the process id: the writer may run on another host of a shared file system.
    """
    swept = 0
    for path in sorted(folder.glob(".*")) if folder.is_dir() else []:
        with contextlib.suppress(OSError):
            if is_temporary(path) and time.time() - path.stat().st_mtime >= older_than_s:
                path.unlink()
                swept += 1
    return swept


def is_temporary(path: Path) -> bool:
    """Tell whether `path` is a file that `atomic_path` has not finished."""
    return TEMPORARY.fullmatch(path.name) is not None and path.is_file()


def special_kind(path: Path) -> str:
    """Return "a FIFO" for what is neither a file nor a folder, by its state alone, else ""."""
    mode = path.stat().st_mode
    kinds = {
        stat.S_ISFIFO: "a FIFO",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return next((kind for holds, kind in kinds.items() if holds(mode)), "")


def refuse_special(path: Path) -> None:
    """Refuse what may keep its reader waiting for ever; no file at all is for the reader to say."""
    if kind := special_kind(path):
        raise StsError(f"cannot read {path}: it is {kind}, a file is wanted")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    # A file name that is not UTF-8 holds lone surrogates: they are spelt out, not refused.
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", errors="backslashreplace"))


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON; what is not a finite number becomes null."""
    write_text(path, json_text(value))


def json_text(value: object) -> str:
    """Return `value` as JSON that a person can read; what is not a finite number becomes null."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def read_json(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Return what a JSON file holds; names that come twice and numbers past measure are refused."""
    try:
        value = json.loads(
            _read_text(path, max_bytes=max_bytes),
            object_pairs_hook=_names_once,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
        _refuse_depth(value)
    except json.JSONDecodeError as error:
        raise StsError(f"{path}, line {error.lineno}: not JSON: {error.msg.lower()}") from error
    except RecursionError as error:
        raise StsError(f"{path}: not JSON to work with: {TOO_DEEP}") from error
    except ValueError as error:
        raise StsError(f"{path}: not JSON: {error}") from error
    return value


def _names_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the name {twice[:40]!r} comes twice in one object; leave one out")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number; write null")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _whole(text: str) -> int:
    # One that no whole number of any library can hold.
    if len(text) > MAX_DIGITS:
        raise ValueError(f"the number {text[:40]}... is too large")
    return int(text)


def _refuse_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for each in level
            if isinstance(each, dict | list)
            for item in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise ValueError(TOO_DEEP)


def _read_text(path: Path, *, max_bytes: int | None = None) -> str:
    try:
        refuse_special(path)
        if max_bytes is not None and (size := path.stat().st_size) > max_bytes:
            raise StsError(
                f"{path} is too large: {size:,} bytes, at most {max_bytes:,} are read; is it the "
                "right file?"
            )
        raw = path.read_bytes()
    except OSError as error:
        raise StsError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise StsError(f"cannot read {str(path)!r}: {error}") from error
    except MemoryError as error:
        raise StsError(f"cannot read {path}: it takes more memory than there is") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise StsError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from error


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write `rows` under `columns`; None, NaN and a value that is not there leave a cell empty."""
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        file.write(",".join(map(_cell, columns)) + "\n")
        for row in rows:
            if strange := set(row) - set(columns):
                raise ValueError(f"values without a column in {path.name}: {sorted(strange)}")
            file.write(",".join(_cell(row.get(column)) for column in columns) + "\n")


def _cell(value: object) -> str:
    # NaN is the one value that differs from itself.
    if value is None or value != value:
        return ""
    text = str(value).strip(" ")
    # A number may begin with a sign; text that does is a formula to a spreadsheet (CWE-1236).
    if FORMULA.match(text) and not isinstance(value, numbers.Number):
        text = "'" + text
    # csv.writer leaves a lone carriage return bare, which its own reader takes for a line's end.
    return '"' + text.replace('"', '""') + '"' if SPECIAL.search(text) else text


def list_some(names: Iterable[str]) -> str:
    """Return names with commas between them; of many, and of long ones, no more than fit a line."""
    every = [name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}..." for name in names]
    more = f" and {len(every) - MAX_SHOWN} more" if len(every) > MAX_SHOWN else ""
    return ", ".join(every[:MAX_SHOWN]) + more


def read_csv(
    path: Path, needed: Sequence[str], *, header: Sequence[str] | None = None
) -> list[dict[str, str]]:
    """Return the rows of a CSV file as text without surrounding spaces.

    Parameters
    ----------
    path
        UTF-8, with or without byte-order mark, any line ending; separated by commas, or by
        semicolons or tabs where the header is.
    needed
        Columns that must be there; others are returned too.
    header
        Names of all columns of a file that has no header line.
    """
    lines = _lines(path, separated_by_commas=header is not None)
    _, columns = (0, list(header)) if header is not None else next(lines, (0, []))
    if missing := [name for name in needed if name not in columns]:
        raise StsError(
            f"no column {list_some(map(repr, missing))} in {path}: "
            f"its columns are {list_some(columns) or 'none'}"
        )
    if len(set(columns)) < len(columns):
        raise StsError(f"a column of {path} appears twice: {list_some(columns)}")
    rows = []
    for number, cells in lines:
        if len(cells) != len(columns):
            raise StsError(
                f"{path}, line {number}: {len(columns)} values wanted, {len(cells)} came"
            )
        rows.append(dict(zip(columns, cells, strict=True)))
    return rows


def separator_of(header: str) -> str:
    """Return what separates the columns in a header line."""
    bare = QUOTED.sub("", header)
    # Of equally many the first: without any, it is a comma.
    return max(SEPARATORS, key=bare.count)


def _lines(path: Path, *, separated_by_commas: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of every line that is not blank."""
    text = _read_text(path)
    if (at := text.find("\0")) >= 0:
        line = text.count("\n", 0, at) + 1
        raise StsError(f"{path}, line {line}: a NUL character; save the file as UTF-8 text")
    first = next((each for each in text.splitlines() if each.strip()), "")
    separator = "," if separated_by_commas else separator_of(first)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [_text(cell) for cell in cells]
    except csv.Error as error:
        raise StsError(f"{path}, line {reader.line_num}: not CSV: {error}") from error


def _text(cell: str) -> str:
    text = cell.strip(" ")
    return text[1:] if GUARDED.match(text) else text
