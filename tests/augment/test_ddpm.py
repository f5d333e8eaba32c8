"""Rows turn to noise without growing, and a perfect network turns noise back into rows."""

from typing import Any

import pytest
import torch
from torch import Tensor

from sts.augment.ddpm import DdpmNetwork, remaining_signal
from sts.augment.deep import Batch
from sts.augment.settings import DIFFUSION_STEPS, DdpmSettings, LayerSettings
from sts.learning.device import draw_from_seed

SMALL = LayerSettings(width=16, depth=1)
MEAN, DEVIATION = 2.0, 0.5


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(2)


class Knowing(DdpmNetwork):
    """Knows that rows of class 0 lie around MEAN and those of class 1 around its opposite."""

    def velocity(self, noised: Tensor, times: Tensor, classes: Tensor) -> Tensor:
        """Return the expected velocity, by the rule for two normal variables."""
        mean = MEAN * torch.tensor([1.0, -1.0, 0.0])[classes][:, None]
        signal, noise = self.signal[times, None], self.noise[times, None]
        variance = (signal * DEVIATION).square() + noise.square()
        far = (noised - signal * mean) / variance
        row, drawn = mean + signal * DEVIATION**2 * far, noise * far
        return signal * drawn - noise * row


def made(kind: type[DdpmNetwork], **values: Any) -> DdpmNetwork:
    with draw_from_seed(1, torch.device("cpu")):
        return kind(3, 2, DdpmSettings(layers=SMALL, **values)).eval()


def test_less_of_a_row_is_left_at_every_step_until_nothing_is() -> None:
    left = remaining_signal()
    assert len(left) == DIFFUSION_STEPS
    assert (left.diff() < 0).all()
    # The first step takes next to nothing, the last leaves next to nothing.
    assert float(left[0]) > 0.9999
    assert float(left[-1]) < 1e-6


def test_the_schedule_is_the_cosine() -> None:
    times = torch.arange(1, 900, dtype=torch.float64) / DIFFUSION_STEPS
    start = torch.tensor(0.008 / 1.008 * torch.pi / 2, dtype=torch.float64).cos()
    wanted = (((times + 0.008) / 1.008 * torch.pi / 2).cos() / start).square()
    torch.testing.assert_close(remaining_signal()[:899], wanted)


@pytest.mark.parametrize("time", [0, 300, 700, 999])
def test_rows_of_unit_variance_keep_it_on_their_way_to_noise(time: int) -> None:
    rows, noise = torch.randn((2, 20000, 3), generator=generator())
    network = made(DdpmNetwork)
    noised = network.add_noise(rows, torch.full((20000,), time), noise)
    # 60,000 numbers: a standard error of .006.
    assert float(noised.var()) == pytest.approx(1.0, abs=0.03)
    torch.testing.assert_close(
        network.signal.square() + network.noise.square(), torch.ones(DIFFUSION_STEPS)
    )


@pytest.mark.parametrize(
    ("values", "tolerance"),
    [
        # 4,000 rows: a standard error of .005 for the deviation. The error of few steps adds to it.
        ({"sampling_steps": 200}, 0.03),
        ({"sampling_steps": 20}, 0.1),
        ({"sampler": "ancestral"}, 0.03),
    ],
)
def test_a_network_that_knows_the_law_draws_from_it(
    values: dict[str, Any], tolerance: float
) -> None:
    classes = torch.repeat_interleave(torch.tensor([0, 1]), 4000)
    rows = made(Knowing, **values).draw(classes, generator())
    for label, mean in ((0, MEAN), (1, -MEAN)):
        own = rows[classes == label]
        assert float(own.mean()) == pytest.approx(mean, abs=tolerance)
        assert float(own.std()) == pytest.approx(DEVIATION, abs=tolerance)


def test_few_steps_take_no_fresh_noise_and_all_steps_do() -> None:
    classes = torch.zeros(5, dtype=torch.int64)
    used = []
    for sampler in ("ddim", "ancestral"):
        random = generator()
        made(Knowing, sampler=sampler).draw(classes, random)
        after = generator()
        torch.randn((5, 3), generator=after)
        used.append(not torch.equal(random.get_state(), after.get_state()))
    assert used == [False, True]


def test_guidance_drives_rows_away_from_what_all_classes_share() -> None:
    classes = torch.zeros(2000, dtype=torch.int64)
    means = [float(made(Knowing, guidance=w).draw(classes, generator()).mean()) for w in (0.0, 1.0)]
    # All classes share a mean of nothing.
    assert means[1] > means[0] + 0.5


def test_without_guidance_the_network_is_asked_once_a_step() -> None:
    asked = []

    class Asked(Knowing):
        def velocity(self, noised: Tensor, times: Tensor, classes: Tensor) -> Tensor:
            asked.append(classes.tolist())
            return super().velocity(noised, times, classes)

    made(Asked, sampling_steps=7).draw(torch.ones(4, dtype=torch.int64), generator())
    assert asked == [[1]] * 7


def test_some_rows_are_learned_from_without_their_class() -> None:
    seen: list[Tensor] = []

    class Watched(Knowing):
        def velocity(self, noised: Tensor, times: Tensor, classes: Tensor) -> Tensor:
            seen.append(classes)
            return super().velocity(noised, times, classes)

    batch = Batch(scores=torch.zeros(4000, 3), classes=torch.zeros(4000, dtype=torch.int64))
    watched = made(Watched, unlabelled=0.1)
    watched.loss(batch, generator(), done=0.5)
    # 4,000 rows: a standard error of .005.
    assert float((seen[0] == 2).float().mean()) == pytest.approx(0.1, abs=0.02)
    watched.score(batch, generator())
    assert not (seen[-1] == 2).any()
