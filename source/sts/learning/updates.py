"""Parts of a training step: the penalty on a critic's slope, and the moving average of weights."""

import copy
from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, *, random: torch.Generator
) -> Tensor:
    """Return the mean squared distance of the critic's slope from 1, between real and fake samples.

    Slopes are taken at a random place on the line between each pair (Gulrajani et al., 2017), in
    float32 whatever the rest is computed in: half precision rounds them away.

    Parameters
    ----------
    critic
        Takes samples like `real`, (B, ...), and returns a number for each, (B,).
    """
    with torch.autocast(real.device.type, enabled=False):
        shape = (len(real), *(1 for _ in real.shape[1:]))
        place = torch.rand(shape, generator=random, device=real.device)
        between = (place * real.float() + (1 - place) * fake.float()).requires_grad_()
        (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        norms = torch.linalg.vector_norm(slopes.flatten(1), dim=1)
        penalty: Tensor = (norms - 1).square().mean()
    return penalty


class MovingAverage(Generic[N]):
    """A copy of a network whose weights follow those of the original, in evaluation mode.

    torch's `AveragedModel` takes over the first weights whole, so that it begins elsewhere.
    """

    def __init__(self, network: N) -> None:
        """Begin at the weights of a network, which must stay on its device from now on."""
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        means, values = self.network.state_dict(), network.state_dict()
        moving = [name for name, value in values.items() if value.is_floating_point()]
        self._means = [means[name] for name in moving]
        self._values = [values[name] for name in moving]

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move towards the weights as they are now, by the part `1 - decay` of the way."""
        torch._foreach_lerp_(self._means, self._values, 1 - decay)
