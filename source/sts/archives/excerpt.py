"""The sweeps that are needed of a remote NWB 2 file, as a small NWB 2 file of their own."""

import io
import json
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import h5py
import numpy as np

from sts.archives.addresses import show_address
from sts.archives.client import Client
from sts.archives.patience import Patience, UnreachableError
from sts.archives.ranges import RangeFile
from sts.base import guard
from sts.base.errors import CellFailed, StsError
from sts.base.files import make_folder, sha256_of, sweep_temporaries
from sts.base.guard import new_hdf5
from sts.base.settings import from_dict
from sts.recordings.nwb import RESPONSE, nwb_version
from sts.recordings.series import Series, pair_series, read_links, series_in

MARK: Final = "excerpt_of"
PLACES: Final = ("acquisition", "stimulus/presentation")
# Long squares, short squares and ramps, as the Allen Institute and its software name them; what is
# left out are searches, noise, chirps, triple pulses and tests of the pipette.
NEEDED: Final = re.compile(
    r"C1LS|C1SS|C1RP|X1PS|X3LP|X4PS|Y3LP|Y4PS|X6SP|X7Ramp|Rheo_Supra|LP_Rheo|SP_Rheo|PS_Sub|"
    r"PS_Supra|MICRO|subthreshold|long square|short square|ramp",
    re.IGNORECASE,
)
# Of the general part: who was recorded and how, not the log of the acquisition software.
GENERAL: Final = ("subject", "devices", "intracellular_ephys")
# Tables of references into the file, which would point at what is left out.
REFERENCE_TABLES: Final = frozenset(
    {"sweep_table", "intracellular_recordings", "simultaneous_recordings", "sequential_recordings"}
    | {"repetitions", "experimental_conditions"}
)
MAX_DEPTH: Final = 6
MAX_GROUPS: Final = 20_000
# A text or a number beside the traces; tables of this size are left where they are.
SMALL_BYTES: Final = 2**16


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """What was taken from a file."""

    sweeps: int
    left_out: int


@contextmanager
def _opened(file: BinaryIO) -> Iterator[Any]:
    try:
        remote = h5py.File(file, "r")
    except guard.BROKEN as error:
        raise CellFailed(f"is no HDF5 file: {guard.describe_error(error)}") from error
    with remote:
        try:
            yield remote
        except guard.BROKEN as error:
            raise CellFailed(f"cannot be read: {guard.describe_error(error)}") from error


def write_excerpt(file: BinaryIO, path: Path, origin: Mapping[str, object]) -> Excerpt:
    """Copy the needed sweeps of an open NWB 2 file, as they are stored, to `path`.

    Parameters
    ----------
    origin
        What the file is an excerpt of; kept in it.
    """
    with _opened(file) as source:
        version = nwb_version(source)
        if not version.startswith("2"):
            raise CellFailed(f"is NWB {version or 'of no version'}: only NWB 2 can be streamed")
        responses = [one for one in series_in(source, PLACES[0]) if one.kind == RESPONSE]
        chosen = _chosen(responses)
        if not chosen:
            raise CellFailed("holds no current clamp sweeps: there is nothing to stream")
        wanted = _stimuli_of(chosen, responses, source)
        with new_hdf5(path) as target:
            copied = _Copier(source, target)
            _copy_frame(source, copied)
            for place, names in zip(
                PLACES, ({one.name for one in chosen}, set(wanted.values())), strict=True
            ):
                for name in sorted(names):
                    copied.group(f"{place}/{name}")
            mark = {**origin, "sweeps": len(chosen), "of": len(responses)}
            target.attrs[MARK] = json.dumps(mark)
            _check_pairs(target, wanted)
    return Excerpt(sweeps=len(chosen), left_out=len(responses) - len(chosen))


def _chosen(responses: list[Series]) -> list[Series]:
    """Return the sweeps whose names promise what is needed; all, if the names say nothing."""
    named = [
        one for one in responses if NEEDED.search(guard.text(one.group, "stimulus_description"))
    ]
    return named or responses


def _stimuli_of(chosen: list[Series], responses: list[Series], source: Any) -> dict[str, str]:
    """Return the name of the stimulus of each sweep."""
    table = read_links(source)
    stimuli = guard.follow(source, PLACES[1])
    names = list(stimuli) if isinstance(stimuli, h5py.Group) else []
    digits = Counter(_digits(name) for name in names)
    by_digits = {_digits(name): name for name in names if digits[_digits(name)] == 1}
    likely = {one.name: by_digits.get(_digits(one.name), "") for one in chosen}
    # Looking into every stimulus costs a request each. Where names and numbers agree, as in all
    # files of the Allen Institute, only the needed ones are looked into.
    if not table and all(_agree(one, stimuli, likely[one.name]) for one in chosen):
        return likely
    pairs = pair_series(responses, series_in(source, PLACES[1]), table)
    return {one.name: pairs[one.name].name for one in chosen if one.name in pairs}


def _digits(name: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\d+", name))


def _agree(response: Series, stimuli: Any, name: str) -> bool:
    """Tell whether the stimulus of this name is of the same sweep by its number too."""
    stimulus = guard.member(stimuli, name) if name else None
    if response.number is None or not isinstance(stimulus, h5py.Group):
        return False
    return guard.number(stimulus, "sweep_number") == response.number


def _copy_frame(source: Any, copied: "_Copier") -> None:
    """Copy what every NWB file has, and who was recorded."""
    copied.attributes("/")
    for name in source:
        if isinstance(guard.member(source, name), h5py.Dataset):
            copied.dataset(name)
    general = guard.follow(source, "general")
    if not isinstance(general, h5py.Group):
        return
    for name in general:
        node = guard.member(general, name)
        if isinstance(node, h5py.Dataset):
            copied.dataset(f"general/{name}")
        elif name in GENERAL:
            copied.group(f"general/{name}")


class _Copier:
    """Copies nodes from one file to the same place in another, each once."""

    def __init__(self, source: Any, target: Any) -> None:
        self._source, self._target = source, target
        self._done: dict[Hashable, str] = {}

    def group(self, place: str, *, depth: int = 0) -> None:
        """Copy a group with all below it; what lies in two places stays one thing."""
        node = guard.follow(self._source, place)
        if node.id in self._done:
            self._link(place, self._done[node.id])
            return
        if depth > MAX_DEPTH or len(self._done) > MAX_GROUPS:
            raise CellFailed(f"is not safe to read: {place} lies too deep, or among too many")
        self._done[node.id] = place
        self._target.require_group(place)
        self.attributes(place)
        for name in node:
            below = f"{place}/{name}"
            link = node.get(name, getlink=True)
            if isinstance(link, h5py.SoftLink):
                self._soft(node, below, link.path, depth=depth)
            elif isinstance(guard.member(node, name), h5py.Dataset):
                self.dataset(below)
            elif name not in REFERENCE_TABLES:
                self.group(below, depth=depth + 1)

    def _soft(self, node: Any, place: str, path: str, *, depth: int) -> None:
        """Copy what a soft link leads to, and a link to it."""
        goal = guard.member(node, place.rpartition("/")[2])
        to_a_sweep = path.startswith(tuple(f"/{each}" for each in PLACES))
        if isinstance(goal, h5py.Group) and path.startswith("/") and not to_a_sweep:
            self.group(path.strip("/"), depth=depth + 1)
            self._target[place] = h5py.SoftLink(path)

    def _link(self, place: str, first: str) -> None:
        if place != first and place not in self._target:
            self._target[place] = self._target[first]

    def dataset(self, place: str) -> None:
        """Copy a data set as it is stored."""
        node = guard.follow(self._source, place)
        if node.dtype.hasobject and not h5py.check_string_dtype(node.dtype):
            return
        guard.check_claim(node)
        traces = place.startswith(PLACES)
        if not traces and node.id.get_storage_size() > SMALL_BYTES:
            return
        parent, _, name = place.rpartition("/")
        into = self._target.require_group(parent) if parent else self._target
        self._source.copy(node, into, name=name, without_attrs=True)
        self.attributes(place)

    def attributes(self, place: str) -> None:
        """Copy attributes; references are left out, they would lead nowhere."""
        node = guard.follow(self._source, place) if place != "/" else self._source
        into = self._target[place]
        for name in node.attrs:
            if not h5py.check_ref_dtype(node.attrs.get_id(name).dtype):
                into.attrs[name] = guard.attribute(node, name)


def _check_pairs(file: Any, wanted: Mapping[str, str]) -> None:
    """Refuse an excerpt in which responses have other stimuli than in the whole file."""
    responses = [one for one in series_in(file, PLACES[0]) if one.kind == RESPONSE]
    found = pair_series(responses, series_in(file, PLACES[1]), read_links(file))
    if {response: stimulus.name for response, stimulus in found.items()} != wanted:
        raise CellFailed(
            "tells which stimulus belongs to which sweep in a way that an excerpt cannot keep: "
            "fetch it without --stream"
        )


@dataclass(frozen=True, kw_only=True)
class StreamOrder:
    """Which file is read, and where its excerpt goes."""

    address: str
    size: int | None
    sha256: str
    path: Path
    patience: Patience
    seed: int


@dataclass(frozen=True, kw_only=True)
class StreamReport:
    """What became of one recording."""

    fault: str = ""
    unreachable: bool = False
    sweeps: int = 0
    left_out: int = 0
    brought_bytes: int = 0
    whole_bytes: int = 0
    excerpt_bytes: int = 0
    excerpt_sha256: str = ""


def stream(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Carry out an order that came as a dictionary; the `Work` of an isolated process."""
    order = from_dict(StreamOrder, request, where="order")
    try:
        return vars(_stream(order)), b""
    except UnreachableError as error:
        return vars(StreamReport(fault=str(error), unreachable=True)), b""
    except StsError as error:
        return vars(StreamReport(fault=str(error))), b""


def _stream(order: StreamOrder) -> StreamReport:
    make_folder(order.path.parent)
    sweep_temporaries(order.path.parent, older_than_s=0)
    client = Client(order.patience, rng=np.random.default_rng(order.seed))
    with closing(client), closing(RangeFile(client, order.address)) as remote:
        if order.size is not None and remote.size != order.size:
            raise StsError(
                f"{show_address(order.address)} has {remote.size} bytes, {order.size} are wanted"
            )
        origin = {"address": order.address, "sha256": order.sha256, "size": remote.size}
        excerpt = write_excerpt(io.BufferedReader(remote), order.path, origin)
        return StreamReport(
            sweeps=excerpt.sweeps,
            left_out=excerpt.left_out,
            brought_bytes=remote.brought_bytes,
            whole_bytes=remote.size,
            excerpt_bytes=order.path.stat().st_size,
            excerpt_sha256=sha256_of(order.path),
        )
