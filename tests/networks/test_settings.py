"""What may be trained with."""

import pytest

from sts.base.errors import StsError
from sts.base.settings import from_dict, to_dict
from sts.networks.settings import SPACE, TrainSettings


def test_settings_survive_the_way_to_paper_and_back() -> None:
    settings = TrainSettings(batch=64, factor=0.1, schedule="one_cycle")
    assert from_dict(TrainSettings, to_dict(settings)) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch", 1),
        ("learning_rate", 0.0),
        ("factor", 0.0),
        ("factor", 2.0),
        ("every", 0),
        ("patience", 0),
        ("dropout", 1.0),
        ("epochs", 0),
        ("schedule", "linear"),
        ("seed", -1),
    ],
)
def test_what_cannot_be_trained_with_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(StsError, match=rf"^{name} must be .*{value}"):
        TrainSettings(**{name: value})  # type: ignore[arg-type]


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(StsError, match=r"unknown precision 'float16': did you mean 'bfloat16'"):
        TrainSettings(precision="float16")  # type: ignore[arg-type]


def test_both_ends_of_the_published_space_can_be_trained_with() -> None:
    for pick in (0, -1):
        ends = {
            name: values[0][pick] if kind == "choice" else values[:2][pick]
            for name, (kind, *values) in SPACE.items()
        }
        assert TrainSettings(**ends)
