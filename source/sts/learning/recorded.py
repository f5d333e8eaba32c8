"""A training step that a GPU records once and replays, without Python between its kernels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn

# Steps before the recording: libraries choose their kernels and take their memory in the first.
WARM_UPS: Final = 3


class RecordedStep:
    """A forward and a backward pass as a CUDA graph.

    A GPU computes the kernels of a step in less time than Python needs to launch them one by one.
    A replay runs all of them at once, with the inputs of the replay and new random numbers.
    """

    def __init__(
        self, module: nn.Module, step: Callable[..., Tensor], inputs: tuple[Tensor, ...]
    ) -> None:
        """Record a step.

        Parameters
        ----------
        module
            Its parameters must have no gradients yet. Its parameters and buffers do not change.
        step
            Takes tensors like `inputs`, adds gradients to the parameters, and returns a tensor.
            It must not read numbers from the GPU.
        """
        self._inputs = tuple(each.clone() for each in inputs)
        with _keep_buffers(module), torch.random.fork_rng(devices=[inputs[0].device]):
            stream = torch.cuda.Stream(inputs[0].device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UPS):
                    step(*self._inputs)
            torch.cuda.current_stream().wait_stream(stream)
            # Without gradients to add to, the backward pass writes new ones at every replay.
            module.zero_grad()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._output = step(*self._inputs)
        self._gradients = [
            (value, value.grad) for value in module.parameters() if value.grad is not None
        ]
        module.zero_grad()

    def replay(self, *inputs: Tensor) -> Tensor:
        """Run the step, set the gradients of the parameters, and return what the step returned.

        The next replay overwrites the gradients and the returned tensor.
        """
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        self._graph.replay()
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        return self._output


@contextmanager
def _keep_buffers(module: nn.Module) -> Iterator[None]:
    """Restore the buffers of a module, such as the statistics of batch norm, after the block."""
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    yield
    with torch.no_grad():
        for buffer, value in before:
            buffer.copy_(value)
