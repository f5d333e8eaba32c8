"""The critic learns more often than the generator, and the distance that stops training is one."""

import pytest
import torch
from scipy.stats import energy_distance as energy_distance_of_scipy

from sts.augment.deep import Batch
from sts.augment.gan import Critic, CriticTrainer, GanNetwork, energy_distance
from sts.augment.settings import GanSettings, LayerSettings
from sts.learning.device import draw_from_seed

SETTINGS = GanSettings(layers=LayerSettings(width=16, depth=1), noise=2)
CLASSES = torch.tensor([0, 1, 1, 0, 1])


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_the_energy_distance_is_that_of_scipy() -> None:
    one, other = torch.randn((2, 1000, 1), generator=generator(), dtype=torch.float64)
    other = 1.5 * other + 0.5
    wanted = energy_distance_of_scipy(one[:, 0].numpy(), other[:, 0].numpy()) ** 2
    # Scipy counts the distance of a row to itself: one part in a thousand of distances about 1.
    assert float(energy_distance(one, other)) == pytest.approx(wanted, abs=5e-3)


def test_a_new_generator_draws_plain_noise() -> None:
    with draw_from_seed(1, torch.device("cpu")):
        network = GanNetwork(3, 2, SETTINGS)
    drawn = network.draw(CLASSES, generator())
    assert torch.equal(drawn, torch.randn((5, 5), generator=generator())[:, :3])


def test_the_score_tells_rows_of_a_wrong_class() -> None:
    with draw_from_seed(1, torch.device("cpu")):
        network = GanNetwork(3, 2, SETTINGS).eval()
    classes = torch.repeat_interleave(torch.tensor([0, 1]), 200)
    rows = torch.randn((400, 3), generator=torch.Generator().manual_seed(9))
    moved = rows + torch.where(classes[:, None] == 0, 1.0, -1.0)
    right, wrong = (
        network.score(Batch(scores=some, classes=classes), generator()).item()
        for some in (rows, moved)
    )
    # What is drawn is plain noise for both classes, and so are the first rows.
    assert abs(right) < 0.05 < wrong


def test_the_critic_learns_more_often_than_the_generator() -> None:
    with draw_from_seed(1, torch.device("cpu")):
        network, critic = GanNetwork(3, 2, SETTINGS), Critic(3, 2, SETTINGS)
    trainer = CriticTrainer(network, critic, SETTINGS)
    rows = torch.randn((5, 3), generator=generator())
    trainer.step(Batch(scores=rows, classes=CLASSES), generator(), done=0.1)
    steps = [
        {float(state["step"]) for state in optimiser.state.values()}
        for optimiser in (trainer._critic_optimiser, trainer._optimiser)
    ]
    assert steps == [{3.0}, {1.0}]
