"""Files written completely or not at all; locks, digests, JSON, CSV without formulas."""

import contextlib
import csv
import errno
import hashlib
import io
import json
import logging
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
from typing import IO, Any, Final, NoReturn

from sts.base.errors import StsError

logger = logging.getLogger("sts")

# What to do about an error of the system.
ERRNO_ADVICE: Final = {
    errno.ENOSPC: "the disk is full: free some space and run it again",
    errno.EDQUOT: "the disk quota is used up: free some space and run it again",
    errno.EROFS: "the file system is read-only: choose another place",
    errno.EACCES: "writing is not permitted: change the permissions or choose another place",
    errno.EPERM: "writing is not permitted: change the permissions or choose another place",
    errno.ENOTDIR: "a file has the name of a needed folder: move it or choose another place",
    errno.EEXIST: "a file has the name of a needed folder: move it or choose another place",
    errno.EISDIR: "a folder has the name of the file: move it or choose another place",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    errno.EFBIG: "the file would be larger than is allowed here: choose another place",
    errno.EIO: "the disk has an error: choose another place",
}
# Name of an unfinished file. Its suffix stays last: writers of figures and NWB files look at it.
TEMPORARY: Final = re.compile(r"\..*\.[0-9a-f]{8}\.partial(\.[^.]*)?", re.DOTALL)
# Text that a spreadsheet takes for a formula. Apostrophes before it count too, so that the one
# that is written before it can be taken away again.
FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
QUOTED_FORMULA: Final = re.compile(r"'+[=+\-@\t\r]")
# Characters for which a value in a CSV file is put in quotes.
SPECIAL: Final = re.compile(r'[,"\r\n]')
SEPARATORS: Final = (",", ";", "\t")
# Limits on a JSON file, far above what this program writes.
MAX_JSON_BYTES: Final = 2**28
MAX_JSON_DEPTH: Final = 64
MAX_DIGITS: Final = 40
TOO_DEEP: Final = "lists or objects are nested too deeply"
# Most names in a message, and most characters of each.
MAX_SHOWN: Final = 30


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, and rename it to `path` when the block ends well."""
    temporary = path.with_name(f".{path.stem[:40]}.{secrets.token_hex(4)}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        flush(temporary)
        temporary.replace(path)
        # Some network file systems cannot flush a folder; the file has its name all the same.
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
    """Raise an error with advice for the user; an error about another file is not changed."""
    name = None if error.filename is None else os.fsdecode(error.filename)
    concerned = {None, *map(str, (path, temporary, path.parent, *path.parent.parents))}
    inside = name is not None and name.startswith(f"{temporary}{os.sep}")
    if error.errno in ERRNO_ADVICE and (name in concerned or inside):
        raise StsError(f"cannot write {path}: {ERRNO_ADVICE[error.errno]}") from error
    raise error


def make_folder(path: Path) -> None:
    """Make a folder and those above it, or say why that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        explain_write(error, path, path)


def sweep_temporaries(folder: Path, *, older_than_s: float = 3600.0) -> int:
    """Remove the unfinished files of killed writers from a folder; return how many.

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
    """Tell whether a path is an unfinished file of `atomic_path`."""
    return TEMPORARY.fullmatch(path.name) is not None and path.is_file()


def try_lock(file: IO[Any]) -> bool:
    """Lock an open file until it is closed; return False if another process has locked it.

    `filelock` would need a second file. Here the lock is on the written file and ends with it.
    """
    try:
        _lock(file)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        # Some network file systems have no locks; it is better to work without one than not at all.
        logger.warning("no lock on %s: %s", file.name, error.strerror)
    return True


def _lock(file: IO[Any]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def special_kind(path: Path) -> str:
    """Return "a FIFO", "a device", ... if a path is neither file nor folder; it is not opened."""
    mode = path.stat().st_mode
    kinds = {
        stat.S_ISFIFO: "a FIFO",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return next((kind for holds, kind in kinds.items() if holds(mode)), "")


def refuse_special(path: Path) -> None:
    """Refuse a FIFO, a socket or a device: a reader could wait for ever."""
    if kind := special_kind(path):
        raise StsError(f"cannot read {path}: it is {kind}, a regular file is needed")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    # A file name that is not UTF-8 contains lone surrogates: they are written as their codes.
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", errors="backslashreplace"))


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON; NaN and infinities become null."""
    write_text(path, json_text(value))


def json_text(value: object) -> str:
    """Return `value` as JSON that a person can read; NaN and infinities become null."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: object) -> object:
    # Numbers and arrays of numpy, without importing it for --help.
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def read_json(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Return the content of a JSON file; refuse repeated names, huge numbers and deep nesting."""
    try:
        value = json.loads(
            _read_text(path, max_bytes=max_bytes),
            object_pairs_hook=_to_object,
            parse_constant=_refuse_constant,
            parse_float=_to_float,
            parse_int=_to_int,
        )
        _refuse_depth(value)
    except json.JSONDecodeError as error:
        raise StsError(f"{path}, line {error.lineno}: not JSON: {error.msg.lower()}") from error
    except RecursionError as error:
        raise StsError(f"{path}: not usable JSON: {TOO_DEEP}") from error
    except ValueError as error:
        raise StsError(f"{path}: not JSON: {error}") from error
    return value


def _to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    counts = Counter(name for name, _ in pairs)
    if len(counts) < len(pairs):
        name = counts.most_common(1)[0][0]
        raise ValueError(f"the name {name[:40]!r} is twice in one object; remove one")
    return dict(pairs)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number; write null")


def _to_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _to_int(text: str) -> int:
    # No library of ours works with longer numbers.
    if len(text) > MAX_DIGITS:
        raise ValueError(f"the number {text[:40]}... is too large")
    return int(text)


def _refuse_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
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
        raise StsError(f"cannot read {path}: there is not enough memory") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise StsError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from error


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write `rows` under `columns`; None, NaN and missing values become empty cells.

    Unlike pandas, it writes text that starts like a formula as text (CWE-1236).
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        file.write(",".join(map(_to_csv, columns)) + "\n")
        for row in rows:
            if strange := set(row) - set(columns):
                raise ValueError(f"values without a column in {path.name}: {sorted(strange)}")
            file.write(",".join(_to_csv(row.get(column)) for column in columns) + "\n")


def _to_csv(value: object) -> str:
    # Only NaN differs from itself.
    if value is None or value != value:
        return ""
    text = str(value).strip(" ")
    # A number may begin with a sign; to a spreadsheet, text that does is a formula.
    if FORMULA.match(text) and not isinstance(value, numbers.Number):
        text = "'" + text
    # csv.writer does not quote a lone carriage return, which its own reader takes for a line's end.
    return '"' + text.replace('"', '""') + '"' if SPECIAL.search(text) else text


def list_some(names: Iterable[str]) -> str:
    """Return names for a message: the first ones, shortened, with commas between them."""
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
        UTF-8, with or without byte-order mark, any line ending; values are separated by commas,
        semicolons or tabs, as in the header.
    needed
        Columns that the file must have; others are returned too.
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
                f"{path}, line {number}: expected {len(columns)} values, not {len(cells)}"
            )
        rows.append(dict(zip(columns, cells, strict=True)))
    return rows


def separator_of(header: str) -> str:
    """Return what separates the columns in a header line."""
    unquoted = re.sub(r'"[^"]*"', "", header)
    # Where several are as frequent it is the first: a comma.
    return max(SEPARATORS, key=unquoted.count)


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
                yield reader.line_num, [_from_csv(cell) for cell in cells]
    except csv.Error as error:
        raise StsError(f"{path}, line {reader.line_num}: not CSV: {error}") from error


def _from_csv(cell: str) -> str:
    text = cell.strip(" ")
    return text[1:] if QUOTED_FORMULA.match(text) else text
