"""Read a remote file block by block, and write an excerpt of it: the needed sweeps."""

import io
import json
import re
from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import h5py
import numpy as np

from sts.archives.client import Answer, Client, Secret
from sts.archives.http_rules import (
    FetchError,
    Interrupted,
    RetrySettings,
    UnreachableError,
    origin_of,
    show_address,
)
from sts.base import guard
from sts.base.errors import CellFailed, StsError
from sts.base.files import make_folder, sha256_of, sweep_temporaries
from sts.base.guard import new_hdf5
from sts.base.settings import from_dict
from sts.recordings.nwb import RESPONSE, nwb_version
from sts.recordings.series import Series, pair_series, read_links, series_in

# The directory of an HDF5 file is distributed over the file in pieces of a few kB.
RANGE_BYTES: Final = 2**14
# 16 MiB are kept, since the directory is read repeatedly.
KEPT_BLOCKS: Final = 1024
# One request reads at most 8 MiB.
MOST_BLOCKS: Final = 512
# Sequential reads after which the size of a request doubles with each further one.
SEQUENTIAL_READS: Final = 4
EXCERPT_MARK: Final = "excerpt_of"
SERIES_GROUPS: Final = ("acquisition", "stimulus/presentation")
# Long squares, short squares and ramps, as named by the Allen Institute and its software; without
# searches, noise, chirps, triple pulses and tests of the pipette.
NEEDED_STIMULI: Final = re.compile(
    r"C1LS|C1SS|C1RP|X1PS|X3LP|X4PS|Y3LP|Y4PS|X6SP|X7Ramp|Rheo_Supra|LP_Rheo|SP_Rheo|PS_Sub|"
    r"PS_Supra|MICRO|subthreshold|long square|short square|ramp",
    re.IGNORECASE,
)
# Parts of the general group: the cell and the method, not the log of the acquisition software.
GENERAL: Final = ("subject", "devices", "intracellular_ephys")
# Tables of references into the file, which would point to left-out parts.
REFERENCE_TABLES: Final = frozenset(
    {"sweep_table", "intracellular_recordings", "simultaneous_recordings", "sequential_recordings"}
    | {"repetitions", "experimental_conditions"}
)
MAX_GROUP_DEPTH: Final = 6
MAX_GROUPS: Final = 20_000
# Largest data set, except traces, that is copied: a text or a number, no table.
SMALL_BYTES: Final = 2**16


class RangeFile(io.RawIOBase):
    """A remote file, read-only and seekable; its server must support ranges.

    fsspec reads files over HTTP too. It is not used here, because it follows redirects to any host,
    accepts another range than requested, and continues when the file has changed. With its cache of
    blocks on top of our requests, more requests are needed for the same bytes (83 instead of 54 for
    3 sweeps of 43), since it requests every block separately.
    """

    def __init__(self, client: Client, address: str, *, secret: Secret | None = None) -> None:
        super().__init__()
        self._client, self._asked, self._secret = client, address, secret
        # A redirect is followed once; its target is used for all later requests.
        self._address = address
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._position, self._after_last, self._in_row = 0, 0, 0
        self._size: int | None = None
        self._tag = ""
        self.brought_bytes = 0
        self.requests = 0
        self._bring(0, 1)

    @property
    def size(self) -> int:
        """Return the size of the file."""
        return self._size or 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that the file is seekable."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} is before the start of the file")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Fill a buffer from the current position and return the number of bytes."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.size - self._position))
        done = 0
        while done < count:
            number, within = divmod(self._position + done, RANGE_BYTES)
            last = (self._position + count - 1) // RANGE_BYTES
            piece = self._block(number, last)[within : within + count - done]
            view[done : done + len(piece)] = piece
            done += len(piece)
        self._position += done
        return done

    def _block(self, number: int, last: int) -> bytes:
        """Return a block; missing blocks up to `last` are read in the same request."""
        if number not in self._blocks:
            end = number + 1
            while end <= last and end not in self._blocks:
                end += 1
            self._in_row = self._in_row + 1 if number == self._after_last else 0
            ahead = 2 ** min(max(self._in_row - SEQUENTIAL_READS, 0), 20)
            end = min(max(end, number + ahead), number + MOST_BLOCKS, -(-self.size // RANGE_BYTES))
            self._bring(number, end)
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def _bring(self, first: int, end: int) -> None:
        content = self._client.attempts.repeat(
            lambda: self._attempt(first * RANGE_BYTES, end * RANGE_BYTES), show_address(self._asked)
        )
        for number in range(first, end):
            start = (number - first) * RANGE_BYTES
            self._blocks[number] = content[start : start + RANGE_BYTES]
            self._blocks.move_to_end(number)
        while len(self._blocks) > KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        self._after_last = end

    def _attempt(self, start: int, end: int) -> bytes:
        headers = {"Range": f"bytes={start}-{min(end, self._size or end) - 1}"}
        self.requests += 1
        at_home = origin_of(self._address) == origin_of(self._asked)
        secret = self._secret if at_home else None
        with self._client.ask(self._address, headers=headers, secret=secret) as answer:
            if answer.status not in (200, 206) and self._address != self._asked:
                # The target of a redirect is valid for a limited time.
                self._address = self._asked
                raise Interrupted(f"the server answers {answer.status}")
            self._check(answer, start)
            content = answer.content()
        wanted = min(end, self.size) - start
        if len(content) != wanted:
            raise Interrupted(f"{len(content)} bytes arrived, {wanted} were requested")
        self.brought_bytes += len(content)
        self._address = answer.address
        return content

    def _check(self, answer: Answer, start: int) -> None:
        where = show_address(self._asked)
        if answer.status == 200:
            raise FetchError(
                f"{where} ignores ranges and would send the whole file: leave out --stream"
            )
        answer.expect(206)
        extent = answer.extent()
        if extent is None or extent[0] != start:
            raise FetchError(f"{where} answers another range than requested")
        size, tag = extent[2], answer.header("ETag")
        if self._size is None:
            self._size, self._tag = size, tag
        if (size, tag) != (self._size, self._tag):
            raise FetchError(f"{where} changed while it was read: run it again")


@contextmanager
def _open_remote(file: BinaryIO) -> Iterator[Any]:
    try:
        remote = h5py.File(file, "r")
    except guard.BROKEN as error:
        raise CellFailed(f"is no HDF5 file: {guard.describe_error(error)}") from error
    with remote:
        try:
            yield remote
        except guard.BROKEN as error:
            raise CellFailed(f"cannot be read: {guard.describe_error(error)}") from error


def write_excerpt(file: BinaryIO, path: Path, origin: Mapping[str, object]) -> None:
    """Copy the needed sweeps of an open NWB 2 file, as stored, and add its `origin`."""
    with _open_remote(file) as source:
        version = nwb_version(source)
        if not version.startswith("2"):
            raise CellFailed(f"is NWB {version or 'without version'}: only NWB 2 can be streamed")
        responses = [one for one in series_in(source, SERIES_GROUPS[0]) if one.kind == RESPONSE]
        chosen = _choose_sweeps(responses)
        if not chosen:
            raise CellFailed("contains no current clamp sweeps: there is nothing to stream")
        wanted = _find_stimuli(chosen, responses, source)
        with new_hdf5(path) as target:
            copied = _Copier(source, target)
            _copy_frame(source, copied)
            for name in sorted(one.name for one in chosen):
                copied.group(f"{SERIES_GROUPS[0]}/{name}")
            for name in sorted(set(wanted.values())):
                copied.group(f"{SERIES_GROUPS[1]}/{name}")
            mark = {**origin, "sweeps": len(chosen), "of": len(responses)}
            target.attrs[EXCERPT_MARK] = json.dumps(mark)
            _check_pairs(target, wanted)


def _choose_sweeps(responses: list[Series]) -> list[Series]:
    """Return the sweeps with the names of needed stimuli; all sweeps if there is no such name."""
    named = [
        one
        for one in responses
        if NEEDED_STIMULI.search(guard.text(one.group, "stimulus_description"))
    ]
    return named or responses


def _find_stimuli(chosen: list[Series], responses: list[Series], source: Any) -> dict[str, str]:
    """Return the name of the stimulus of each sweep."""
    table = read_links(source)
    stimuli = guard.follow(source, SERIES_GROUPS[1])
    names = list(stimuli) if isinstance(stimuli, h5py.Group) else []
    digits = Counter(_digits(name) for name in names)
    by_digits = {_digits(name): name for name in names if digits[_digits(name)] == 1}
    likely = {one.name: by_digits.get(_digits(one.name), "") for one in chosen}
    # Each stimulus that is read costs a request. If names and numbers agree, as in all files of the
    # Allen Institute, only the needed stimuli are read.
    if not table and all(_agree(one, stimuli, likely[one.name]) for one in chosen):
        return likely
    pairs = pair_series(responses, series_in(source, SERIES_GROUPS[1]), table)
    return {one.name: pairs[one.name].name for one in chosen if one.name in pairs}


def _digits(name: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\d+", name))


def _agree(response: Series, stimuli: Any, name: str) -> bool:
    """Tell whether the stimulus with this name also has the number of the same sweep."""
    stimulus = guard.member(stimuli, name) if name else None
    if response.number is None or not isinstance(stimulus, h5py.Group):
        return False
    return guard.number(stimulus, "sweep_number") == response.number


def _copy_frame(source: Any, copied: "_Copier") -> None:
    """Copy the parts that every NWB file has, and the identity of the cell."""
    copied.attributes("/")
    for name in source:
        if isinstance(guard.member(source, name), h5py.Dataset):
            copied.dataset(name)
    general = guard.follow(source, "general")
    for name in general if isinstance(general, h5py.Group) else ():
        node = guard.member(general, name)
        if isinstance(node, h5py.Dataset):
            copied.dataset(f"general/{name}")
        elif name in GENERAL:
            copied.group(f"general/{name}")


class _Copier:
    """Copy nodes from one file to the same place in another, each once."""

    def __init__(self, source: Any, target: Any) -> None:
        self._source, self._target = source, target
        self._done: dict[Hashable, str] = {}

    def group(self, place: str, *, depth: int = 0) -> None:
        """Copy a group with its content; an object at two paths remains one object."""
        node = guard.follow(self._source, place)
        if node.id in self._done:
            first = self._done[node.id]
            if place != first and place not in self._target:
                self._target[place] = self._target[first]
            return
        if depth > MAX_GROUP_DEPTH or len(self._done) > MAX_GROUPS:
            raise CellFailed(
                f"is not safe to read: {place} is nested too deeply, or one of too many"
            )
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
        """Copy the target of a soft link, and the link."""
        goal = guard.member(node, place.rpartition("/")[2])
        to_a_sweep = path.startswith(tuple(f"/{each}" for each in SERIES_GROUPS))
        if isinstance(goal, h5py.Group) and path.startswith("/") and not to_a_sweep:
            self.group(path.strip("/"), depth=depth + 1)
            self._target[place] = h5py.SoftLink(path)

    def dataset(self, place: str) -> None:
        """Copy a data set as stored."""
        node = guard.follow(self._source, place)
        if node.dtype.hasobject and not h5py.check_string_dtype(node.dtype):
            return
        guard.check_claim(node)
        traces = place.startswith(SERIES_GROUPS)
        if not traces and node.id.get_storage_size() > SMALL_BYTES:
            return
        parent, _, name = place.rpartition("/")
        into = self._target.require_group(parent) if parent else self._target
        self._source.copy(node, into, name=name, without_attrs=True)
        self.attributes(place)

    def attributes(self, place: str) -> None:
        """Copy attributes, without references, whose targets may be missing."""
        node = guard.follow(self._source, place) if place != "/" else self._source
        into = self._target[place]
        for name in node.attrs:
            if not h5py.check_ref_dtype(node.attrs.get_id(name).dtype):
                into.attrs[name] = guard.attribute(node, name)


def _check_pairs(file: Any, wanted: Mapping[str, str]) -> None:
    """Refuse an excerpt whose responses have other stimuli than in the whole file."""
    responses = [one for one in series_in(file, SERIES_GROUPS[0]) if one.kind == RESPONSE]
    pairs = pair_series(responses, series_in(file, SERIES_GROUPS[1]), read_links(file))
    if {response: stimulus.name for response, stimulus in pairs.items()} != wanted:
        raise CellFailed(
            "links stimuli and sweeps in a way that an excerpt cannot contain: fetch it without "
            "--stream"
        )


@dataclass(frozen=True, kw_only=True)
class StreamOrder:
    """The remote file to read, and the path of its excerpt."""

    address: str
    size: int | None
    sha256: str
    path: Path
    retry: RetrySettings
    seed: int


@dataclass(frozen=True, kw_only=True)
class StreamReport:
    """The size of an excerpt and its transfers, or why there is none."""

    fault: str = ""
    unreachable: bool = False
    brought_bytes: int = 0
    whole_bytes: int = 0
    excerpt_bytes: int = 0
    excerpt_sha256: str = ""


def stream(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Write the excerpt of an order, given as a dictionary; the `Work` of a sandbox."""
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
    client = Client(order.retry, rng=np.random.default_rng(order.seed))
    with closing(client), closing(RangeFile(client, order.address)) as remote:
        if order.size is not None and remote.size != order.size:
            raise StsError(
                f"{show_address(order.address)} has {remote.size} bytes, {order.size} are expected"
            )
        origin = {"address": order.address, "sha256": order.sha256, "size": remote.size}
        write_excerpt(io.BufferedReader(remote), order.path, origin)
        return StreamReport(
            brought_bytes=remote.brought_bytes,
            whole_bytes=remote.size,
            excerpt_bytes=order.path.stat().st_size,
            excerpt_sha256=sha256_of(order.path),
        )
