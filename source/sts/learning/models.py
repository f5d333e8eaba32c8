"""Networks and the arrays of their stored models: names, sizes, and a check before loading."""

import torch
from torch import nn

from sts.base.model_files import Arrays, check_arrays


def arrays_of(network: nn.Module) -> Arrays:
    """Return the weights of a network as arrays."""
    return {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}


def forms_of(network: nn.Module) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return dtype and shape of all weights of a network, which may be on torch's meta device."""
    return {
        name: (str(value.dtype).removeprefix("torch."), tuple(value.shape))
        for name, value in network.state_dict().items()
    }


def load_arrays(network: nn.Module, arrays: Arrays) -> None:
    """Give a network stored weights; raise `ValueError` where they are not those of such a one."""
    check_arrays(arrays, forms_of(network))
    for name, value in arrays.items():
        # The square root of a variance is divided by.
        if name.endswith("running_var") and (value < 0).any():
            raise ValueError(f"{name} holds a negative variance")
    network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
