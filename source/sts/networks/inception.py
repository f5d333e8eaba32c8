"""The blocks of InceptionV3, with torchvision's weights and results but in less time."""

from functools import cache
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import inception

Branch = tuple[str | tuple[str, str], ...]
"""Names of layers, one after the other; two layers in one place have the same input."""

# The layer after an average of neighbours.
AVERAGED: Final = "branch_pool"
# A branch without layers takes the largest of neighbours.
LARGEST_OF_NEIGHBOURS: Final[Branch] = ()
BRANCHES: Final[dict[type[nn.Module], tuple[Branch, ...]]] = {
    inception.InceptionA: (
        ("branch1x1",),
        ("branch5x5_1", "branch5x5_2"),
        ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
        (AVERAGED,),
    ),
    inception.InceptionB: (
        ("branch3x3",),
        ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
        LARGEST_OF_NEIGHBOURS,
    ),
    inception.InceptionC: (
        ("branch1x1",),
        ("branch7x7_1", "branch7x7_2", "branch7x7_3"),
        tuple(f"branch7x7dbl_{number}" for number in range(1, 6)),
        (AVERAGED,),
    ),
    inception.InceptionD: (
        ("branch3x3_1", "branch3x3_2"),
        tuple(f"branch7x7x3_{number}" for number in range(1, 5)),
        LARGEST_OF_NEIGHBOURS,
    ),
    inception.InceptionE: (
        ("branch1x1",),
        ("branch3x3_1", ("branch3x3_2a", "branch3x3_2b")),
        ("branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")),
        (AVERAGED,),
    ),
}


def speed_up(network: nn.Module) -> None:
    """Let the blocks of an InceptionV3 compute faster; leave other networks."""
    for layer in network.modules():
        if (branches := BRANCHES.get(type(layer))) is not None:
            layer.__class__ = InceptionBlock
            layer.branches = branches  # type: ignore[assignment]


class InceptionBlock(nn.Module):
    """A block of InceptionV3.

    Averages of neighbours are taken after the 1 x 1 convolution instead of before it. Both are
    linear, so that the result is the same, and there are a tenth as many channels to average. In a
    step that a GPU records, the branches are computed beside each other: one alone does not fill
    it.
    """

    branches: tuple[Branch, ...]

    def forward(self, maps: Tensor) -> Tensor:
        """Return the outputs of all branches, one after the other."""
        on_gpu = maps.is_cuda and not torch.compiler.is_compiling()
        if not on_gpu or not torch.cuda.is_current_stream_capturing():
            return torch.cat([self._run(branch, maps) for branch in self.branches], dim=1)
        here = torch.cuda.current_stream()
        streams = _side_streams(maps.device, len(self.branches))
        outputs = []
        for branch, stream in zip(self.branches, streams, strict=True):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                outputs.append(self._run(branch, maps))
            # Memory of one stream that another reads is not given away before it has done so.
            maps.record_stream(stream)
            outputs[-1].record_stream(here)
        for stream in streams:
            here.wait_stream(stream)
        return torch.cat(outputs, dim=1)

    def _run(self, branch: Branch, maps: Tensor) -> Tensor:
        if branch == LARGEST_OF_NEIGHBOURS:
            return functional.max_pool2d(maps, kernel_size=3, stride=2)
        for names in branch:
            if names == AVERAGED:
                layer: Any = self.get_submodule(AVERAGED)
                averaged = functional.avg_pool2d(layer.conv(maps), 3, stride=1, padding=1)
                maps = functional.relu(layer.bn(averaged), inplace=True)
            elif isinstance(names, str):
                maps = self.get_submodule(names)(maps)
            else:
                maps = torch.cat([self.get_submodule(name)(maps) for name in names], dim=1)
        return maps


@cache
def _side_streams(device: torch.device, count: int) -> tuple[torch.cuda.Stream, ...]:
    return tuple(torch.cuda.Stream(device) for _ in range(count))  # type: ignore[no-untyped-call]
