"""The table of archives agrees with what it is made of."""

import re

import pytest

from sts.base.errors import StsError
from sts.networks.backbones import BACKBONES
from sts.recordings.archives.sources import SOURCES, source_of, table_items


def test_the_weights_are_those_the_networks_start_from() -> None:
    wanted = {backbone.imagenet.url for backbone in BACKBONES.values()}
    assert {item.address for item in table_items(source_of("weights"))} == wanted


def test_every_digest_is_one_and_stands_in_the_name_of_its_weights() -> None:
    for source in SOURCES.values():
        for table in source.tables:
            wanted = {"weights": r"[0-9a-f]{8}", "allen-table": ""}.get(source.name, "[0-9a-f]{64}")
            assert re.fullmatch(wanted, table.sha256), table.place
            if source.name == "weights":
                assert f"-{table.sha256}." in table.place


def test_every_source_says_whom_to_credit_and_under_which_terms() -> None:
    for source in SOURCES.values():
        assert all((source.what, source.terms, source.credit, source.home)), source.name
        sizes = [table.size or 0 for table in source.tables]
        assert source.about_bytes is None or sum(sizes) <= source.about_bytes
        assert not source.tables or len(source.tables) == source.about_files


def test_a_misspelt_source_is_answered_with_the_nearest() -> None:
    with pytest.raises(StsError, match="did you mean 'dandi'"):
        source_of("dandy")


def test_a_mirror_serves_the_same_paths() -> None:
    for name, source in SOURCES.items():
        for own, mirrored in zip(
            table_items(source), table_items(source, api_url="http://localhost/m"), strict=True
        ):
            path = own.address.split("/", 3)[3]
            assert mirrored.address == f"http://localhost/m/{path}", name
