"""One remote recording becomes an excerpt, in a process that a damaged file may take along."""

import io
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sts.archives.addresses import shown
from sts.archives.client import Client
from sts.archives.excerpt import write_excerpt
from sts.archives.patience import Patience, UnreachableError
from sts.archives.ranges import RangeFile
from sts.base.errors import StsError
from sts.base.files import make_folder, sha256_of, sweep_temporaries
from sts.base.settings import from_dict


@dataclass(frozen=True, kw_only=True)
class Order:
    """Which file is read, and where its excerpt goes."""

    address: str
    size: int | None
    sha256: str
    path: Path
    patience: Patience
    seed: int


@dataclass(frozen=True, kw_only=True)
class Streamed:
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
    order = from_dict(Order, request, where="order")
    try:
        return vars(_stream(order)), b""
    except UnreachableError as error:
        return vars(Streamed(fault=str(error), unreachable=True)), b""
    except StsError as error:
        return vars(Streamed(fault=str(error))), b""


def _stream(order: Order) -> Streamed:
    make_folder(order.path.parent)
    sweep_temporaries(order.path.parent, older_than_s=0)
    client = Client(order.patience, rng=np.random.default_rng(order.seed))
    with closing(client), closing(RangeFile(client, order.address)) as remote:
        if order.size is not None and remote.size != order.size:
            raise StsError(
                f"{shown(order.address)} has {remote.size} bytes, {order.size} are wanted"
            )
        origin = {"address": order.address, "sha256": order.sha256, "size": remote.size}
        excerpt = write_excerpt(io.BufferedReader(remote), order.path, origin)
        return Streamed(
            sweeps=excerpt.sweeps,
            left_out=excerpt.left_out,
            brought_bytes=remote.brought_bytes,
            whole_bytes=remote.size,
            excerpt_bytes=order.path.stat().st_size,
            excerpt_sha256=sha256_of(order.path),
        )
