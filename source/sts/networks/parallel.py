"""Several processes that train one network together, as torchrun starts them."""

import contextlib
import datetime
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, distributed, nn

from sts.base.errors import StsError
from sts.base.types import Ints

TIMEOUT: Final = datetime.timedelta(minutes=30)
TORCHRUN: Final = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, kw_only=True)
class Group:
    """The processes that train together; alone unless torchrun started this one.

    All of them run the same program on the same data. What they say, write and choose at random
    is up to rank 0: `if group.is_main`, `group.share(value)`.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Tell whether this process writes and reports."""
        return self.rank == 0

    def part(self, rows: Ints) -> Ints:
        """Return this process's part of `rows`."""
        return rows[self.rank :: self.size]

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of everybody's `values`, bit for bit the same for all."""
        if self.size > 1:
            distributed.all_reduce(values)
            distributed.broadcast(values, src=0)
        return values

    def share(self, value: Any, device: torch.device | str = "cpu") -> Any:
        """Return rank 0's `value`, which JSON can hold; the others' is not looked at."""
        if self.size == 1:
            return value
        # JSON and not a pickle: nothing that is received gets run.
        text = json.dumps(value).encode() if self.is_main else b""
        length = torch.tensor([len(text)], device=device)
        distributed.broadcast(length, src=0)
        data = torch.zeros(int(length), dtype=torch.uint8, device=device)
        if self.is_main:
            data.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
        distributed.broadcast(data, src=0)
        return json.loads(bytes(data.cpu().tolist()))

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.size > 1:
            distributed.barrier()

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Return `network` so that its gradients are the mean of everybody's."""
        if self.size == 1:
            return network
        if device.type != "cuda":
            return nn.parallel.DistributedDataParallel(network)
        synced = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return nn.parallel.DistributedDataParallel(synced, device_ids=[device])


ALONE: Final = Group()


def started_by_torchrun() -> bool:
    """Tell whether this process is one of several that torchrun started."""
    return all(name in os.environ for name in TORCHRUN) and int(os.environ["WORLD_SIZE"]) > 1


@contextlib.contextmanager
def joined(device: str = "auto") -> Iterator[tuple[Group, str]]:
    """Join the processes that torchrun started and give the group and this process's device.

    Without torchrun the group is of this process alone and the device is `device`.
    """
    if not started_by_torchrun():
        yield ALONE, device
        return
    local = int(os.environ["LOCAL_RANK"])
    on_cuda = device != "cpu" and torch.cuda.is_available()
    if device not in ("auto", "cpu", "cuda"):
        raise StsError(f"torchrun gives every process a device: use --device cuda, not {device}")
    if device == "cuda" and not on_cuda:
        raise StsError("no CUDA device for torchrun's processes: use --device cpu")
    if on_cuda and local >= torch.cuda.device_count():
        raise StsError(
            f"torchrun started process {local} of a host with {torch.cuda.device_count()} GPUs: "
            f"use --nproc-per-node {torch.cuda.device_count()}"
        )
    mine = f"cuda:{local}" if on_cuda else "cpu"
    if on_cuda:
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if on_cuda else "gloo", timeout=TIMEOUT)
    try:
        yield Group(rank=distributed.get_rank(), size=distributed.get_world_size()), mine
    finally:
        distributed.destroy_process_group()
