"""The table of archives agrees with what it is made of."""

import re

import pytest

from sts.archives.sources import SOURCES, find_source, table_items
from sts.base.errors import StsError
from sts.networks.backbones import BACKBONES


def test_the_weights_are_those_the_networks_start_from() -> None:
    wanted = {backbone.imagenet.url for backbone in BACKBONES.values() if backbone.imagenet}
    assert {item.address for item in table_items(find_source("weights"))} == wanted


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
        find_source("dandy")


def test_a_mirror_serves_the_same_paths() -> None:
    for name, source in SOURCES.items():
        for own, mirrored in zip(
            table_items(source), table_items(source, api_url="http://localhost/m"), strict=True
        ):
            path = own.address.split("/", 3)[3]
            assert mirrored.address == f"http://localhost/m/{path}", name


# Published files as they were measured: size (None where nobody wrote it down) and sha256.
MEASURED = {
    "sts-tables": {
        "Split/PatchClamp_EP_features.csv": (
            1_851_562,
            "cb5dbcd9bb82304586436df379d3b90c7c7626cc1e994daf3418bdc38b55068d",
        ),
        "Split/PatchSeq_EP_features.csv": (
            2_398_879,
            "98c72c0666f3f66e6c5aebb622027c00f261629d19cd215c5d2f7a9dfb8f6edb",
        ),
        "Split/Train_split.csv": (
            None,
            "85ab0a7062c0564c2767f726f4249cb2a66c596c391363b72cc8981b5317f5ce",
        ),
        "Split/Test_split.csv": (
            None,
            "9db5666f4a904149ae55aa4223060bbd71adacc7e706ef0699099c56649f8f72",
        ),
        "cell_types_GouwensAll_new.txt": (
            None,
            "6961096fe78793510b1096045ffa89989f3cd4c678b8782c5283232f5c58997b",
        ),
    },
    "etypes": {
        "e-type.csv": (None, "7123ccaa11bdb9f4c4a528843803de211816d0605ced11c6649a2a25091ba428"),
        "mee-type.csv": (None, "a43fc1636d104087804dedf8fd48b1d932ffcdd2f88174705de2cc7da4790a9a"),
    },
    "patchseq-metadata": {
        "20200711_patchseq_metadata_mouse.csv": (
            1_065_206,
            "44ed85f2657e6607cd4c0f675c5f2a2da97be83e2c120bab16fd3951d7c5de65",
        ),
    },
    "excitatory": {
        "exc_mMET_ephys_features.csv": (
            3_070_522,
            "a678e5412bf0141b63121d26bc6a97106059cca37814ca7dd4b4428d85b1aff0",
        ),
        "inferred_met_types.csv": (
            62_368,
            "f18e874cf0609c2d8fd8f7694e2b0b25ef64b103847a2df62257174d924d15a6",
        ),
    },
    "motor-cortex": {
        "m1_patchseq_ephys_features.csv": (
            604_152,
            "32825f3837d7ce1144aa1521b23122a5df0da961a92021e12766e9cbec4998e6",
        ),
        "m1_patchseq_meta_data.csv": (
            400_798,
            "5c47ec8c5437bba95d4b75dd66896e33aa67dce294621982a466ad23abcf63d4",
        ),
    },
    "human-interneurons": {
        "LeeDalley_ephys_fx.csv": (
            651_645,
            "1ec12b02ba41288d69cdac21d6ac1efa05ff819fd6e052dd48666500e23ced9b",
        ),
        "LeeDalley_manuscript_metadata_v2.csv": (
            153_816,
            "c6c72fd87a9fdd67b08ed105f46529383962d05c1617b3fe2220e46e8af14b17",
        ),
    },
    "populations": {
        "C5M1_spike_train.mat": (
            2_174_031,
            "f23b38d71c3e838d06487adba6f9414218913910cdc2a47196acde84d79d0288",
        ),
        "C5M1_stimulus_trace.mat": (
            8_142,
            "27b01d01281073904f565a7fed96a8a9d82926b447467a4d80e80ba00d5acc76",
        ),
        "C6M3_spike_train.mat": (
            2_847_874,
            "4fd170cdb6d2c987f89b4a6b7d7975bad9a57a53314c82f7f4eb14f33910b330",
        ),
        "C6M3_stimulus_trace.mat": (
            7_248,
            "ae613a9e775eee4de8fbf063d4ddcf798707480a2456967313b9c63a7ba8b354",
        ),
        "C14M4_spike_train.mat": (
            1_757_183,
            "4aa937a2e4b40f6f0f236ab832a609ecfed7213f87454f949cd273e195b36a81",
        ),
        "C14M4_stimulus_trace.mat": (
            8_038,
            "ee4ebcb40eca5cb205624ca6be2c62a1916c7b3be8d540328ea33fa26b5e8286",
        ),
        "C23M4_spike_train.mat": (
            655_953,
            "fc6019e68466aad762d981f6e388365d844b878969ce83ed7db559d6f1ef5f19",
        ),
        "C23M4_stimulus_trace.mat": (
            7_480,
            "a28dc4000bb8235695152b09459f6f994b5361170b53a5e2cbc9170d4c272634",
        ),
        "C24M3_spike_train.mat": (
            565_904,
            "05daf8fae5286c8ab263d1354ecebc6b5b60fe4a4e1eedb246aa0df73fc2a922",
        ),
        "C24M3_stimulus_trace.mat": (
            6_365,
            "87290e01011f1a9b6910c687badbf03dd56e790eded9b1ea55906b8635f41ffe",
        ),
    },
    "zebrafish": {
        "zf_20151104-f1.mat": (
            3_705_424,
            "014a4ed61f8a9514b2873886ff99346b3af5bb390ff01918926b7152d519d360",
        ),
    },
    "gratings": {
        "F.npy": (2_361_728, "07d303b0de8044b1a8aeaf8ccd14d39a3bd1a87e542872d3206a8b5156ece7f1"),
        "Fneu.npy": (2_361_728, "7408c2644f3d366fd2421d9ff968e5b9f05f2e198af9b18892a293f6dcbfb453"),
    },
}
COMMITS = {
    "sts-tables": "smilies-polito/spike-train-scalograms/294842c0b2409acb0f765c0eb9c30849000fd27b",
    "etypes": "xaviervasques/NeuronalClassification/aa8b5fa5de5d4766a36818a15bfddd85630dca9b",
    "patchseq-metadata": "daifengwanglab/scMNC/",
    "excitatory": "AllenInstitute/exc_vis_manuscript/5c9261ddcbcf4126a854a7dde5144883ebac060c",
    "motor-cortex": "berenslab/mini-atlas/3bf98a524b8e48aa8647e1b9ae8f2351d9c712c9",
    "human-interneurons": (
        "AllenInstitute/human_patchseq_gaba/5eb357a1cea246c7c847b5608a8fc7e87ea95b58"
    ),
    "populations": (
        "zivlab/unbiased_information_estimation/35695a1a9b189f12596299190396f30a2b4c855c"
    ),
    "zebrafish": "OpenSourceBrain/NWBShowcase/c758204f028dc0b0ed6b69af4800837610c06f4b",
    "gratings": "msoheib/IL_2p_aligment_gratings/c0833321f568b02a93f199732b0829a72c1c3644",
}


@pytest.mark.parametrize("name", MEASURED)
def test_published_files_have_the_sizes_and_digests_that_were_measured(name: str) -> None:
    tables = {item.place: item for item in table_items(find_source(name))}
    assert set(tables) == set(MEASURED[name])
    for place, (size, sha256) in MEASURED[name].items():
        assert tables[place].sha256 == sha256, place
        assert size is None or tables[place].size == size, place
        host = "https://raw.githubusercontent.com/"
        assert tables[place].address.startswith(host + COMMITS[name]), place
        assert tables[place].address.endswith(place), place


def test_every_table_with_a_digest_was_measured_here() -> None:
    with_digests = {
        name
        for name, source in SOURCES.items()
        if source.tables and name not in ("weights", "allen-table")
    }
    assert with_digests == set(MEASURED)
