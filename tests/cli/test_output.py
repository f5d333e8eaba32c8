"""Results are aligned and go to stdout."""

import pytest

from sts.cli.output import complain, say, say_table


def test_words_stand_left_and_numbers_right(capsys: pytest.CaptureFixture[str]) -> None:
    say_table(("label", "cells"), [("Sst", 7), ("Excitatory", 120)])
    assert capsys.readouterr().out == ("label       cells\nSst             7\nExcitatory    120\n")


def test_a_table_may_be_empty(capsys: pytest.CaptureFixture[str]) -> None:
    say_table(("label", "cells"), [])
    assert capsys.readouterr().out == "label  cells\n"


def test_results_and_complaints_do_not_mix(capsys: pytest.CaptureFixture[str]) -> None:
    say("result")
    complain("trouble")
    assert capsys.readouterr() == ("result\n", "trouble\n")


def test_what_a_terminal_would_obey_is_spelt_out(capsys: pytest.CaptureFixture[str]) -> None:
    say("cell \x1b[31m7\x07")
    complain("cell \x9b2J \u00fc")
    assert capsys.readouterr() == ("cell \\x1b[31m7\\x07\n", "cell \\x9b2J \u00fc\n")
