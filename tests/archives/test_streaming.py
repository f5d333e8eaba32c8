"""Excerpts made in a process of their own: what is damaged takes no more than that along."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from sts.archives.excerpt import StreamOrder, StreamReport, stream
from sts.base.errors import CellFailed
from sts.base.files import sha256_of
from sts.base.sandbox import Isolated
from sts.base.settings import to_dict
from tests.archives.server import QUICK, Server
from tests.recordings.files import write_mies


@pytest.fixture
def order(server: Server, tmp_path: Path) -> StreamOrder:
    content = write_mies(tmp_path / "whole.nwb").read_bytes()
    return StreamOrder(
        address=server.file("/a.nwb", content),
        size=len(content),
        sha256="0" * 64,
        path=tmp_path / "sub" / "a.nwb.excerpt.part",
        patience=QUICK,
        seed=0,
    )


def carried_out(order: StreamOrder) -> StreamReport:
    answer, _ = stream(to_dict(order))
    return StreamReport(**answer)


def test_an_order_gives_an_excerpt_and_what_it_cost(order: StreamOrder, server: Server) -> None:
    streamed = carried_out(order)
    assert (streamed.fault, streamed.sweeps, streamed.left_out) == ("", 3, 0)
    assert streamed.excerpt_sha256 == sha256_of(order.path)
    assert streamed.excerpt_bytes == order.path.stat().st_size
    assert streamed.brought_bytes == server.sent
    assert streamed.whole_bytes == order.size


def test_what_goes_wrong_is_told_and_leaves_nothing(order: StreamOrder, server: Server) -> None:
    server.file("/b.nwb", b"no recording at all, but long enough to be asked for twice")
    for change, line, unreachable in (
        ({"size": 1}, "1 are wanted", False),
        ({"address": server.at("/b.nwb"), "size": None}, "no HDF5 file", False),
        ({"address": server.at("/nowhere")}, "404", False),
        ({"address": "http://127.0.0.1:9/x"}, "cannot reach", True),
    ):
        streamed = carried_out(replace(order, **change))  # type: ignore[arg-type]
        assert line in streamed.fault
        assert streamed.unreachable is unreachable
    assert list(order.path.parent.iterdir()) == []


def test_damaged_files_give_a_reason_or_an_excerpt_that_opens(
    order: StreamOrder, server: Server
) -> None:
    whole = (order.path.parents[1] / "whole.nwb").read_bytes()
    seen: Counter[bool] = Counter()
    with Isolated("sts.archives.excerpt:stream") as reader:
        for seed in range(32):
            rng = np.random.default_rng(seed)
            content = bytearray(whole)
            for at in rng.integers(len(content), size=int(rng.integers(1, 30))):
                content[at] ^= int(rng.integers(1, 256))
            if seed % 4 == 0:
                del content[int(rng.integers(len(content))) :]
            address = server.file(f"/{seed}.nwb", bytes(content))
            order.path.unlink(missing_ok=True)
            try:
                answer, _ = reader.ask(to_dict(replace(order, address=address, size=None)))
                fault = str(answer["fault"])
            except CellFailed as error:
                fault = str(error)
            seen[bool(fault)] += 1
            if fault:
                assert not order.path.exists()
            else:
                with h5py.File(order.path) as file:
                    assert "acquisition" in file
    # Damage to the data themselves is seen by their digest or by nothing.
    assert seen[True] > 5
    assert seen[False] > 5
