"""A space says what can be tried, and refuses what cannot."""

from typing import Any

import pytest

from sts.search.trials import Choice, Float, Int, check_space, describe_space


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (Float, (1.0, 0.0)),
        (Float, (0.0, 1.0, True)),
        (Float, (0.0, float("inf"))),
        (Float, (float("nan"), 1.0)),
        (Int, (3, 2)),
        (Int, (0.5, 2)),
        (Int, (0, 2, True)),
        (Choice, ((),)),
        (Choice, ([1, 2],)),
        (Choice, ((1, 1.0),)),
        (Choice, (((1, 2), 3),)),
    ],
)
def test_a_range_or_choice_that_holds_nothing_sensible_is_refused(
    make: Any, values: tuple[Any, ...]
) -> None:
    with pytest.raises(ValueError, match=r"range|Int|Choice"):
        make(*values)


def test_a_range_may_be_one_value() -> None:
    assert Float(0.5, 0.5) == Float(0.5, 0.5)


@pytest.mark.parametrize("space", [{}, {"a": 3}, {1: Int(1, 2)}])
def test_a_space_without_parameters_is_refused(space: Any) -> None:
    with pytest.raises(ValueError, match=r"space|not a"):
        check_space(space)


def test_spaces_that_differ_are_described_differently() -> None:
    spaces = [
        {"a": Float(0, 1)},
        {"a": Float(0, 1, log=False)},
        {"a": Float(0.5, 1)},
        {"a": Float(0.5, 1, log=True)},
        {"a": Int(0, 1)},
        {"a": Choice((0, 1))},
        {"b": Choice((0, 1))},
        {"b": Choice((0, 2))},
    ]
    described = [describe_space(space) for space in spaces]
    assert described[0] == described[1]
    assert all(described[i] != described[j] for i in range(1, 8) for j in range(1, 8) if i != j)
