"""The command line of calcium: settings as given."""

import pytest

from sts.base.types import PRECISIONS
from sts.cli.calcium import main, make_calcium_parser
from sts.cli.calcium_source import make_source, parse_decay
from sts.cli.run import Status


def test_the_precisions_are_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_calcium_parser().parse_args(["train", "--help"])
    assert f"--precision {{{','.join(PRECISIONS)}}}" in capsys.readouterr().out


def test_no_command_is_an_error_of_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == Status.USER
    assert "no command: choose dg, train" in capsys.readouterr().err


def test_flags_before_the_command_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Its own defaults would take their place without a word."""
    with pytest.raises(SystemExit) as ended:
        main(["--seed", "5", "train"])
    assert ended.value.code == 2
    assert "flags must follow it" in capsys.readouterr().err


def test_oasis_is_set_as_given(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("x") / "a.h5"
    words = ["train", "--decay", "1.7", "-0.712", "--penalty", "auto", "--baseline", "auto"]
    source = make_source(make_calcium_parser().parse_args(words), path)
    assert source.oasis.decay == (1.7, -0.712)
    assert source.oasis.penalty is None
    assert source.oasis.baseline is None
    # a penalty takes the place of the smallest spike
    assert source.oasis.smallest == 0.0
    plain = make_source(make_calcium_parser().parse_args(["train"]), path)
    assert (plain.oasis.decay, plain.oasis.smallest) == ((0.95,), 0.55)
    assert parse_decay(make_calcium_parser().parse_args(["train", "--decay", "auto"])) is None


def test_a_decay_of_words_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deconvolve", "--recording", "x.npy", "--decay", "fast"]) == Status.USER
    assert "--decay must be numbers or auto, not 'fast'" in capsys.readouterr().err
