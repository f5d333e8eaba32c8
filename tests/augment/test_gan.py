"""The critic's penalty is as defined, in float32, and the distance that stops training is one."""

import pytest
import torch
from scipy.stats import energy_distance as energy_distance_of_scipy
from torch import Tensor

from sts.augment.gan import Contest, Critic, GanNetwork, energy_distance, gradient_penalty
from sts.augment.settings import GanSettings, LayerSettings
from sts.augment.training import Batch
from sts.learning.device import draw_from_seed

SETTINGS = GanSettings(layers=LayerSettings(width=16, depth=1), noise=2)
CLASSES = torch.tensor([0, 1, 1, 0, 1])


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def penalty_of(critic: object, real: Tensor, drawn: Tensor) -> Tensor:
    return gradient_penalty(critic, real, drawn, classes=CLASSES, generator=generator())  # type: ignore[arg-type]


def test_the_penalty_of_a_straight_critic_is_its_squared_distance_from_slope_one() -> None:
    weights = torch.tensor([3.0, 4.0])
    real, drawn = torch.randn((2, 5, 2), generator=generator())
    # A slope of 5 everywhere: (5 - 1)^2.
    assert float(penalty_of(lambda rows, _: rows @ weights, real, drawn)) == pytest.approx(16.0)


def test_slopes_are_taken_on_the_line_between_real_and_drawn_rows() -> None:
    real, drawn = torch.zeros(5, 1), torch.ones(5, 1)
    # Half the square has the slope of the place itself, which is the generator's own number.
    place = 1 - torch.rand(5, generator=generator())
    wanted = (place - 1).square().mean()
    found = penalty_of(lambda rows, _: rows[:, 0].square() / 2, real, drawn)
    torch.testing.assert_close(found, wanted)


def test_each_row_counts_with_its_class() -> None:
    slopes = torch.tensor([1.0, 3.0])
    rows = torch.zeros(5, 1)
    found = penalty_of(lambda rows, classes: rows[:, 0] * slopes[classes], rows, rows)
    # Three of five rows are of the class with slope 3: 3/5 x (3 - 1)^2.
    assert float(found) == pytest.approx(12 / 5)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32, torch.float64])
def test_the_penalty_is_computed_in_float32_whatever_comes(kind: torch.dtype) -> None:
    with draw_from_seed(1, torch.device("cpu")):
        critic = Critic(3, 2, SETTINGS)
    # Numbers that bfloat16 knows exactly.
    real, drawn = torch.arange(30.0).reshape(2, 5, 3) / 8
    plain = penalty_of(critic, real, drawn)
    seen = []

    def watched(rows: Tensor, classes: Tensor) -> Tensor:
        said: Tensor = critic(rows, classes)
        seen.append((rows.dtype, said.dtype))
        return said

    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = penalty_of(watched, real.to(kind), drawn.to(kind))
    assert seen == [(torch.float32, torch.float32)]
    assert torch.equal(found, plain)


def test_the_critic_learns_from_the_penalty() -> None:
    with draw_from_seed(1, torch.device("cpu")):
        critic = Critic(3, 2, SETTINGS)
    real, drawn = torch.randn((2, 5, 3), generator=generator())
    penalty_of(critic, real, drawn).backward()  # type: ignore[no-untyped-call]
    assert float(critic.layers.first.weight.grad.abs().sum()) > 0


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
    contest = Contest(network, critic, SETTINGS)
    rows = torch.randn((5, 3), generator=generator())
    contest.step(Batch(scores=rows, classes=CLASSES), generator(), done=0.1)
    steps = [
        {float(state["step"]) for state in optimiser.state.values()}
        for optimiser in (contest._critics, contest._optimiser)
    ]
    assert steps == [{3.0}, {1.0}]
