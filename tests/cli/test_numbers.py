"""Numbers on the command line that are past any use are refused at once, by name."""

import time
from collections.abc import Callable, Sequence

import pytest

from sts.cli import augment, baseline, calcium, data, sts

Main = Callable[[Sequence[str] | None], int]

ASKED: list[tuple[Main, str, str]] = [
    (sts.main, "1 TRAIN --demo", "--image-size 0"),
    (sts.main, "1 TRAIN --demo", "--image-size 1000000"),
    (sts.main, "1 TRAIN --demo", "--image-size 8000x8000"),
    (sts.main, "1 TRAIN --demo", "--image-size 224x"),
    (sts.main, "1 TRAIN --demo", "--image-size -5"),
    (sts.main, "1 TRAIN --demo", "--folds 1"),
    (sts.main, "1 TRAIN --demo", "--folds 1000000000"),
    (sts.main, "1 TRAIN --demo", "--trials 1e12"),
    (sts.main, "1 TRAIN --demo", "--epochs 0"),
    (sts.main, "1 TRAIN --demo", "--seed 4294967296"),
    (sts.main, "1 TRAIN --demo", "--seed -1"),
    (sts.main, "1 TRAIN --demo", "--name ../up"),
    (sts.main, "1 PREDICT", "--workers 1000000"),
    (sts.main, "1 PREDICT", "--min-step nan"),
    (sts.main, "1 PREDICT", "--max-step inf"),
    (sts.main, "1 PREDICT", "--step-tolerance -1"),
    (baseline.main, "TRAIN --demo", "--folds 1"),
    (baseline.main, "TRAIN --demo", "--trials 0"),
    (baseline.main, "TRAIN --demo", "--seed 99999999999999999999"),
    (baseline.main, "TRAIN --demo", "--workers -1"),
    (baseline.main, "TRAIN --demo", "--name a/b"),
    (augment.main, "--demo", "--folds 1"),
    (augment.main, "--demo", "--repeats 1e12"),
    (augment.main, "--demo", "--added 1000000000000"),
    (augment.main, "--demo", "--components 0"),
    (augment.main, "--demo", "--seed 4294967296"),
    (calcium.main, "dg", "--neurons 1000000"),
    (calcium.main, "dg", "--frames 1000000000000"),
    (calcium.main, "dg", "--rate nan"),
    (calcium.main, "dg", "--rate 0"),
    (calcium.main, "dg", "--noise -1"),
    (calcium.main, "dg", "--correlation 1.5"),
    (calcium.main, "dg", "--seed 4294967296"),
    (calcium.main, "train", "--steps 1e12"),
    (calcium.main, "train", "--learning-rate inf"),
    (calcium.main, "train", "--cooling 2"),
    (calcium.main, "generate", "--windows 1000000000000"),
    (calcium.main, "evaluate", "--name ../../etc"),
    (data.main, "simulate", "--cells 1e12"),
    (data.main, "simulate", "--cells 1000000000000"),
    (data.main, "simulate", "--seed 4294967296"),
    (data.main, "build", "--workers 100000"),
    (data.main, "fetch", "--timeout nan"),
    (data.main, "fetch", "--retries 99999999"),
]


@pytest.mark.parametrize(("main", "words", "wrong"), ASKED)
def test_a_number_past_any_use_is_refused_at_once(
    main: Main, words: str, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = time.perf_counter()
    with pytest.raises(SystemExit) as caught:
        main([*words.split(), *wrong.split()])
    assert caught.value.code == 2
    flag = wrong.split()[0]
    last = capsys.readouterr().err.rstrip("\n").splitlines()[-1]
    assert f"argument {flag}: " in last
    assert any(words in last for words in ("wanted", "must be", "must have"))
    # It came back before any data were touched; the machine may be busy.
    assert time.perf_counter() - begin < 5


def test_a_number_of_a_million_digits_makes_a_short_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        sts.main(["1", "TRAIN", "--seed", "9" * 1_000_000])
    assert len(capsys.readouterr().err.splitlines()[-1]) < 250
