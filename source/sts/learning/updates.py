"""Parts of a training step: the penalty on a critic's slope, and the moving average of weights."""

import copy
from collections.abc import Callable
from typing import TypeVar

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


def copy_for_average(network: N) -> N:
    """Return a copy of a network that does not learn, for `follow` to move, in evaluation mode."""
    return copy.deepcopy(network).requires_grad_(False).eval()


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move an average towards the weights of a network, by the part `1 - decay` of the way.

    torch's `AveragedModel` takes over the first weights whole, so that it begins elsewhere.
    """
    means, values = average.state_dict(), network.state_dict()
    moving = [name for name, value in values.items() if value.is_floating_point()]
    torch._foreach_lerp_(
        [means[name] for name in moving], [values[name] for name in moving], 1 - decay
    )
