"""What one of several processes does in the tests of training together; started by torchrun's way.

python -m tests.networks.together FOLDER gradients|fit
"""

import sys
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from sts.networks import train
from sts.networks.backbones import Architecture, make_network
from sts.networks.images import ImageBank
from sts.networks.learner import Learner
from sts.networks.parallel import Group, joined
from sts.networks.settings import TrainSettings
from sts.networks.train import fit
from tests.networks.worlds import labels_of, make_world

MOBILE = Architecture(number=4, weights="none")
CELLS = 22
# Sums in bfloat16 would differ by more than their order explains.
SETTINGS = TrainSettings(batch=10, epochs=2, class_weights=True, precision="float32")


def gradients(group: Group) -> dict[str, torch.Tensor]:
    """Return the gradients of one batch, batch norm in evaluation mode."""
    store = make_world(CELLS)
    labels = labels_of(store)
    bank = ImageBank(store, MOBILE.images(32)).standardised(np.arange(CELLS))
    network = make_network(MOBILE, seed=3)
    weights = np.array([1.0, 2.0, 0.5, 3.0])
    learner = Learner(network, bank, labels, weights, SETTINGS, group)
    network.eval()
    # Seven cells do not divide evenly: one process gets four, the other three.
    batch = np.array([3, 8, 1, 0, 14, 6, 21])
    part = group.part(batch)
    learner.backward(bank.images(part), part, batch)
    return {name: value.grad for name, value in network.named_parameters()}


def whole_fit(group: Group, folder: Path) -> dict[str, torch.Tensor]:
    """Return the state of a head that was trained on a frozen network, and its curves."""
    store = make_world(CELLS)
    frozen = Architecture(number=4, freeze="FULL", weights="none")
    heard: list[int] = []
    result = fit(
        frozen,
        ImageBank(store, frozen.images(32)),
        labels_of(store),
        train_rows=np.arange(15),
        validation_rows=np.arange(15, CELLS),
        settings=SETTINGS,
        group=group,
        on_epoch=lambda epoch: heard.append(epoch.number),
        state=folder / f"fit{group.rank}.safetensors",
    )
    losses = [(epoch.train_loss, epoch.validation_loss) for epoch in result.curves]
    return {
        **{name: value for name, value in result.network.state_dict().items() if "1." in name},
        "losses": torch.tensor(losses),
        "heard": torch.tensor(heard, dtype=torch.int64),
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    train.KEEP_EVERY_S = 0.0  # type: ignore[misc]
    with joined("cpu") as (group, device):
        assert device == "cpu"
        assert group.size == 2
        for what, found in (("gradients", gradients(group)), ("fit", whole_fit(group, folder))):
            tensors = {name: value.contiguous() for name, value in found.items()}
            safetensors.torch.save_file(tensors, folder / f"{what} of {group.rank}.safetensors")
        group.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
