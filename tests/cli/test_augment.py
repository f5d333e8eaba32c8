"""The command line of the benchmark: names as there are."""

from sts.augment.contract import GENERATORS
from sts.augment.contract import METHODS as FIVE
from sts.augment.preparation import REDUCERS as REDUCING
from sts.augment.tasks import TASKS as KNOWN
from sts.cli.augment import (
    CLASSIFIER_NAMES,
    CONTROL_NAMES,
    METHOD_NAMES,
    REDUCER_NAMES,
    make_augment_parser,
)
from sts.tabular.classifiers import CLASSIFIERS as KINDS
from sts.tabular.classifiers import VOTE


def test_the_names_it_knows_are_those_there_are() -> None:
    assert METHOD_NAMES == FIVE
    assert {*METHOD_NAMES, *CONTROL_NAMES} == set(GENERATORS)
    assert (*KINDS, VOTE) == CLASSIFIER_NAMES
    assert set(REDUCER_NAMES) == set(REDUCING)
    text = make_augment_parser().format_help()
    assert all(f"{name}: " in text for name in KNOWN)
