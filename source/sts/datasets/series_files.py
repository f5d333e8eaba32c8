"""Cells whose sweeps are files of one channel each, found by a pattern of their names.

In a pattern such as `cell*/steps_ch{0,1}_*.ibw` the braces name the channels, and the star in the
name of the file names the sweep. Each folder is a cell.
"""

import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from sts.base.errors import StsError
from sts.base.files import list_some
from sts.base.logs import printable
from sts.datasets.cell_files import CellFiles
from sts.recordings.igor import check_igor

_SUFFIX: Final = ".ibw"
EXAMPLE: Final = "'cell*/steps_ch{0,1}_*.ibw'"
BRACES: Final = re.compile(r"\{([^{}/]+)\}")
# A star or a question mark stands for any text, or one letter, within a name.
WILD: Final = {"*": "([^/]*)", "?": "([^/])"}


@dataclass(frozen=True, kw_only=True)
class _Series:
    """A pattern, taken apart."""

    pattern: str
    channels: tuple[str, ...]
    expressions: tuple[re.Pattern[str], ...]
    """One for each channel."""

    def find(self, name: str) -> tuple[tuple[str, ...], str] | None:
        """Return the texts of the stars in the name of a file, and the channel; None if another."""
        stars = len(re.findall(r"[*?]", self.pattern.rpartition("/")[2]))
        for channel, expression in zip(self.channels, self.expressions, strict=True):
            if found := expression.fullmatch(name):
                groups = found.groups()
                return (*groups[len(groups) - stars :],), channel
        return None


def find_series(folder: Path, pattern: str) -> dict[str, CellFiles]:
    """Return the cells whose files match a pattern, by their names in the tables."""
    series = _parse_pattern(pattern)
    check_igor()
    if not folder.is_dir():
        raise StsError(f"no folder {folder}: a series is looked for in a folder")
    cells: dict[PurePosixPath, dict[tuple[str, ...], dict[str, Path]]] = defaultdict(dict)
    for path in sorted(
        Path(parent, name) for parent, _, names in os.walk(folder) for name in names
    ):
        name = PurePosixPath(path.relative_to(folder).as_posix())
        if (found := series.find(str(name))) is not None:
            sweep, channel = found
            cells[name.parent].setdefault(sweep, {})[channel] = path
    if not cells:
        raise StsError(f"no file in {folder} matches --series {printable(pattern)}")
    own_names = Counter(place.name for place in cells)
    made = (
        _make_cell(
            folder,
            series,
            place,
            sweeps,
            specimen=place.name if own_names[place.name] == 1 else str(place),
        )
        for place, sweeps in cells.items()
    )
    return {cell.name: cell for cell in made}


def _parse_pattern(pattern: str) -> _Series:
    channels = BRACES.findall(pattern)
    file = pattern.rpartition("/")[2]
    if (
        not file.lower().endswith(_SUFFIX)
        or len(channels) != 1
        or "," not in channels[0]
        or not BRACES.search(file)
        or "*" not in file
    ):
        raise StsError(
            f"--series {printable(pattern)!r}: wanted is a pattern of {_SUFFIX} files with the "
            f"channels in braces and a star for the sweep, such as {EXAMPLE}"
        )
    names = tuple(channels[0].split(","))
    expressions = (BRACES.sub(lambda _, name=name: name, pattern) for name in names)  # type: ignore[misc]
    return _Series(
        pattern=pattern,
        channels=names,
        expressions=tuple(re.compile(_translate(each)) for each in expressions),
    )


def _translate(pattern: str) -> str:
    return "".join(WILD.get(letter, re.escape(letter)) for letter in pattern)


def _make_cell(
    folder: Path,
    series: _Series,
    place: PurePosixPath,
    sweeps: dict[tuple[str, ...], dict[str, Path]],
    *,
    specimen: str,
) -> CellFiles:
    file = series.pattern.rpartition("/")[2]
    name = printable((place / file).as_posix())
    whole = {key: own for key, own in sweeps.items() if len(own) == len(series.channels)}
    if not whole:
        raise StsError(f"no sweep of {name} has all of its channels {', '.join(series.channels)}")
    numbers = _number_sweeps(list(whole))
    names = {
        path: printable(path.relative_to(folder).as_posix())
        for own in whole.values()
        for path in own.values()
    }
    ordered = sorted(whole, key=numbers.__getitem__)
    lacking = [" ".join(key) for key in sweeps if key not in whole]
    return CellFiles(
        name=name,
        paths={names[path]: path for key in ordered for path in whole[key].values()},
        specimen_id=printable(specimen if specimen not in ("", ".") else folder.resolve().name),
        waves=tuple(
            (numbers[key], tuple(names[path] for path in whole[key].values())) for key in ordered
        ),
        lacking=(f"sweeps {list_some(lacking)}: a channel has no file",) if lacking else (),
    )


def _number_sweeps(keys: list[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    """Return the number of each sweep: the last one in its name if all differ, else its place."""
    found = {key: re.findall(r"\d+", " ".join(key)) for key in keys}
    last = {key: int(digits[-1]) for key, digits in found.items() if digits}
    if len(set(last.values())) == len(keys):
        return last
    ordered = sorted(keys, key=lambda key: ([int(digits) for digits in found[key]], key))
    return {key: place for place, key in enumerate(ordered)}
