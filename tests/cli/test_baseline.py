"""The command line of the baseline: its models and modes."""

import pytest

from sts.cli import baseline
from sts.cli.baseline import MODEL_NAMES, main, make_baseline_parser
from sts.tabular.models import MODELS as KINDS


def test_the_models_it_names_are_those_there_are() -> None:
    assert set(MODEL_NAMES) == set(KINDS)
    assert next(iter(KINDS)) == MODEL_NAMES[0] == make_baseline_parser().parse_args([]).model


def test_training_is_what_it_does_unless_told() -> None:
    assert make_baseline_parser().parse_args([]).mode == "TRAIN"
    assert set(baseline.MODES) == {"TRAIN", "TEST", "PREDICT"}


def test_an_unknown_mode_is_an_error_of_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["EXPLAIN"])
    assert ended.value.code == 2
    assert "invalid choice: 'EXPLAIN'" in capsys.readouterr().err
