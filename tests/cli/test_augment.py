"""The command line of the benchmark: quick help, every flag explained, names as there are."""

import subprocess
import sys

from sts.augment.contract import GENERATORS
from sts.augment.contract import METHODS as FIVE
from sts.augment.preparation import REDUCERS as REDUCING
from sts.augment.tasks import TASKS as KNOWN
from sts.cli.augment import (
    CLASSIFIER_NAMES,
    CONTROL_NAMES,
    METHOD_NAMES,
    REDUCER_NAMES,
    TASK_NAMES,
    make_augment_parser,
)
from sts.tabular.classifiers import CLASSIFIERS as KINDS
from sts.tabular.classifiers import VOTE
from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "source" / "augment_benchmark.py"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from sts.cli.augment import main\n"
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


def test_the_script_runs_and_names_its_methods() -> None:
    shown = subprocess.run(
        [sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True, check=True
    )
    assert "smote, gan, vae, flow, ddpm, all" in " ".join(shown.stdout.split())


def test_every_flag_has_a_word_of_help() -> None:
    for action in make_augment_parser()._actions:
        assert action.help, action.option_strings


def test_the_names_it_knows_are_those_there_are() -> None:
    assert METHOD_NAMES == FIVE
    assert {*METHOD_NAMES, *CONTROL_NAMES} == set(GENERATORS)
    assert (*KINDS, VOTE) == CLASSIFIER_NAMES
    assert set(REDUCER_NAMES) == set(REDUCING)
    assert set(TASK_NAMES) == set(KNOWN)
