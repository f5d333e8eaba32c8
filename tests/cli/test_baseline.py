"""The command line of the baseline: quick help, every flag explained."""

import subprocess
import sys

import pytest

from sts.cli import baseline
from sts.cli.baseline import MODEL_NAMES, main, make_baseline_parser
from sts.tabular.models import MODELS as KINDS
from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "source" / "baseline_pipeline.py"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from sts.cli.baseline import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'lightgbm', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr


def test_the_script_runs_and_names_its_modes() -> None:
    shown = subprocess.run(
        [sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True, check=True
    )
    assert "TRAIN (default), TEST or PREDICT" in shown.stdout


def test_every_flag_has_a_word_of_help() -> None:
    for action in make_baseline_parser()._actions:
        assert action.help, action.option_strings


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
