"""The public archives: addresses, sizes, digests, terms, and credits."""

from dataclasses import dataclass
from typing import Final

from sts.archives.http_rules import mirror_address
from sts.archives.items import ArchiveFile
from sts.base.errors import one_of

RAW: Final = "https://raw.githubusercontent.com"
STS: Final = (
    f"{RAW}/smilies-polito/spike-train-scalograms/294842c0b2409acb0f765c0eb9c30849000fd27b/data"
)
ETYPES: Final = (
    f"{RAW}/xaviervasques/NeuronalClassification/aa8b5fa5de5d4766a36818a15bfddd85630dca9b"
    "/scripts/classification/data"
)
PATCHSEQ: Final = (
    f"{RAW}/daifengwanglab/scMNC/274a176a93a290c0f78807293bb31e2357ba8c39/mouse_visual_cortex/data"
)
EXCITATORY_BASE: Final = (
    f"{RAW}/AllenInstitute/exc_vis_manuscript/5c9261ddcbcf4126a854a7dde5144883ebac060c"
)
MOTOR_CORTEX: Final = f"{RAW}/berenslab/mini-atlas/3bf98a524b8e48aa8647e1b9ae8f2351d9c712c9/data"
HUMAN: Final = (
    f"{RAW}/AllenInstitute/human_patchseq_gaba/5eb357a1cea246c7c847b5608a8fc7e87ea95b58/data"
)
POPULATIONS: Final = (
    f"{RAW}/zivlab/unbiased_information_estimation/35695a1a9b189f12596299190396f30a2b4c855c"
    "/Real%20data/Full%20data%20set"
)
ZEBRAFISH: Final = (
    f"{RAW}/OpenSourceBrain/NWBShowcase/c758204f028dc0b0ed6b69af4800837610c06f4b"
    "/TriplettEtAl2018/data"
)
GRATINGS: Final = f"{RAW}/msoheib/IL_2p_aligment_gratings/c0833321f568b02a93f199732b0829a72c1c3644"
TORCH: Final = "https://download.pytorch.org/models"
DANDI_API: Final = "https://api.dandiarchive.org"
ALLEN_API: Final = "https://api.brain-map.org"
ALLEN_SITE: Final = "https://celltypes.brain-map.org"
KAGGLE_API: Final = "https://www.kaggle.com"

ALLEN_TABLE: Final = "cell_types_specimen_details.csv"
METADATA: Final = "20200711_patchseq_metadata_mouse.csv"
ALLEN_TERMS: Final = "Allen Institute terms of use (https://alleninstitute.org/terms-of-use)"


@dataclass(frozen=True, kw_only=True)
class KnownFile:
    """One file whose digest is known."""

    place: str
    path: str = ""
    """Its path at the source, if it differs from `place`."""
    sha256: str = ""
    size: int | None = None
    begins: bytes = b""


@dataclass(frozen=True, kw_only=True)
class PublicSource:
    """One archive, or the part of it that is used here."""

    name: str
    what: str
    about_files: int
    about_bytes: int | None
    """The approximate total size, None if unknown; files have exact sizes."""
    terms: str
    credit: str
    home: str
    """Its web page."""
    folder: str = ""
    """Its folder in data/."""
    base: str = ""
    """The beginning of the addresses of its tables."""
    tables: tuple[KnownFile, ...] = ()
    has_licence: bool = True
    """Whether those whom the data are of say on which terms they may be used."""


GOUWENS_2019: Final = "Gouwens et al. 2019 (10.1038/s41593-019-0417-0)"
GOUWENS_2020: Final = "Gouwens et al. 2020 (10.1016/j.cell.2020.09.057)"
AMPRIMO: Final = "Amprimo et al. 2025 (10.1109/embc58623.2025.11252661)"

_SOURCES: Final = (
    PublicSource(
        name="sts-tables",
        what="features, classes and split of the published study's 5,590 cells",
        about_files=5,
        about_bytes=4_410_000,
        terms=f"research use; the cells: {ALLEN_TERMS}",
        credit=f"{AMPRIMO}; {GOUWENS_2019}; {GOUWENS_2020}; Allen Institute for Brain Science",
        home="https://github.com/smilies-polito/spike-train-scalograms",
        base=STS,
        tables=(
            KnownFile(
                place="Split/PatchClamp_EP_features.csv",
                sha256="cb5dbcd9bb82304586436df379d3b90c7c7626cc1e994daf3418bdc38b55068d",
                size=1_851_562,
            ),
            KnownFile(
                place="Split/PatchSeq_EP_features.csv",
                sha256="98c72c0666f3f66e6c5aebb622027c00f261629d19cd215c5d2f7a9dfb8f6edb",
                size=2_398_879,
            ),
            KnownFile(
                place="Split/Train_split.csv",
                sha256="85ab0a7062c0564c2767f726f4249cb2a66c596c391363b72cc8981b5317f5ce",
            ),
            KnownFile(
                place="Split/Test_split.csv",
                sha256="9db5666f4a904149ae55aa4223060bbd71adacc7e706ef0699099c56649f8f72",
            ),
            KnownFile(
                place="cell_types_GouwensAll_new.txt",
                sha256="6961096fe78793510b1096045ffa89989f3cd4c678b8782c5283232f5c58997b",
            ),
        ),
    ),
    PublicSource(
        name="etypes",
        what="features and e-types of the augmentation study: E and M+E",
        about_files=2,
        about_bytes=1_600_000,
        terms=f"MIT; the cells: {ALLEN_TERMS}",
        credit=f"Vasques & Cif 2025 (arXiv 2508.06514); {GOUWENS_2019}; Allen Institute",
        home="https://github.com/xaviervasques/NeuronalClassification",
        folder="etypes",
        base=ETYPES,
        tables=(
            KnownFile(
                place="e-type.csv",
                sha256="7123ccaa11bdb9f4c4a528843803de211816d0605ced11c6649a2a25091ba428",
            ),
            KnownFile(
                place="mee-type.csv",
                sha256="a43fc1636d104087804dedf8fd48b1d932ffcdd2f88174705de2cc7da4790a9a",
            ),
        ),
    ),
    PublicSource(
        name="patchseq-metadata",
        what="of every DANDI 000020 cell: specimen, session, donor, transcriptomic type",
        about_files=1,
        about_bytes=1_065_206,
        terms=f"{ALLEN_TERMS}; the mirror has no licence file",
        credit=f"{GOUWENS_2020}; Allen Institute for Brain Science",
        home="https://github.com/daifengwanglab/scMNC",
        base=PATCHSEQ,
        tables=(
            KnownFile(
                place=METADATA,
                sha256="44ed85f2657e6607cd4c0f675c5f2a2da97be83e2c120bab16fd3951d7c5de65",
                size=1_065_206,
            ),
        ),
    ),
    PublicSource(
        name="excitatory",
        what="features and MET types of 1,528 excitatory patch-seq cells of mouse V1",
        about_files=2,
        about_bytes=3_132_890,
        terms=f"Allen Institute licence: research, no commercial redistribution; {ALLEN_TERMS}",
        credit="Sorensen et al. (exc_vis_manuscript); Allen Institute for Brain Science",
        home="https://github.com/AllenInstitute/exc_vis_manuscript",
        folder="excitatory",
        base=EXCITATORY_BASE,
        tables=(
            KnownFile(
                place="exc_mMET_ephys_features.csv",
                path="data/patchseq/exc_mMET_ephys_features.csv",
                sha256="a678e5412bf0141b63121d26bc6a97106059cca37814ca7dd4b4428d85b1aff0",
                size=3_070_522,
            ),
            KnownFile(
                place="inferred_met_types.csv",
                path="derived_data/inferred_met_types.csv",
                sha256="f18e874cf0609c2d8fd8f7694e2b0b25ef64b103847a2df62257174d924d15a6",
                size=62_368,
            ),
        ),
    ),
    PublicSource(
        name="motor-cortex",
        what="features and RNA families of 1,328 patch-seq cells of mouse motor cortex",
        about_files=2,
        about_bytes=1_004_950,
        terms="research use; the repository has no licence file",
        has_licence=False,
        credit="Scala et al. 2020 (10.1038/s41586-020-2907-3)",
        home="https://github.com/berenslab/mini-atlas",
        folder="m1",
        base=MOTOR_CORTEX,
        tables=(
            KnownFile(
                place="m1_patchseq_ephys_features.csv",
                sha256="32825f3837d7ce1144aa1521b23122a5df0da961a92021e12766e9cbec4998e6",
                size=604_152,
            ),
            KnownFile(
                place="m1_patchseq_meta_data.csv",
                sha256="5c47ec8c5437bba95d4b75dd66896e33aa67dce294621982a466ad23abcf63d4",
                size=400_798,
            ),
        ),
    ),
    PublicSource(
        name="human-interneurons",
        what="features and subclasses of 704 human cortical interneurons",
        about_files=2,
        about_bytes=805_461,
        terms="Allen Institute licence, which its README names: research, no commercial "
        f"redistribution; {ALLEN_TERMS}",
        credit="Lee, Dalley et al. 2023 (10.1126/science.adf6484); Allen Institute",
        home="https://github.com/AllenInstitute/human_patchseq_gaba",
        folder="human",
        base=HUMAN,
        tables=(
            KnownFile(
                place="LeeDalley_ephys_fx.csv",
                sha256="1ec12b02ba41288d69cdac21d6ac1efa05ff819fd6e052dd48666500e23ced9b",
                size=651_645,
            ),
            KnownFile(
                place="LeeDalley_manuscript_metadata_v2.csv",
                sha256="c6c72fd87a9fdd67b08ed105f46529383962d05c1617b3fe2220e46e8af14b17",
                size=153_816,
            ),
        ),
    ),
    PublicSource(
        name="populations",
        what="calcium events and positions of five mice on linear tracks, hippocampal CA1 and CA3",
        about_files=10,
        about_bytes=8_038_218,
        terms="research use; the repository has no licence file",
        has_licence=False,
        credit="Sheintuch et al. 2022; Ziv laboratory, Weizmann Institute of Science",
        home="https://github.com/zivlab/unbiased_information_estimation",
        folder="calcium",
        base=POPULATIONS,
        tables=(
            KnownFile(
                place="C5M1_spike_train.mat",
                path="CA1/C5M1_spike_train.mat",
                sha256="f23b38d71c3e838d06487adba6f9414218913910cdc2a47196acde84d79d0288",
                size=2_174_031,
            ),
            KnownFile(
                place="C5M1_stimulus_trace.mat",
                path="CA1/C5M1_stimulus_trace.mat",
                sha256="27b01d01281073904f565a7fed96a8a9d82926b447467a4d80e80ba00d5acc76",
                size=8_142,
            ),
            KnownFile(
                place="C6M3_spike_train.mat",
                path="CA1/C6M3_spike_train.mat",
                sha256="4fd170cdb6d2c987f89b4a6b7d7975bad9a57a53314c82f7f4eb14f33910b330",
                size=2_847_874,
            ),
            KnownFile(
                place="C6M3_stimulus_trace.mat",
                path="CA1/C6M3_stimulus_trace.mat",
                sha256="ae613a9e775eee4de8fbf063d4ddcf798707480a2456967313b9c63a7ba8b354",
                size=7_248,
            ),
            KnownFile(
                place="C14M4_spike_train.mat",
                path="CA3/C14M4_spike_train.mat",
                sha256="4aa937a2e4b40f6f0f236ab832a609ecfed7213f87454f949cd273e195b36a81",
                size=1_757_183,
            ),
            KnownFile(
                place="C14M4_stimulus_trace.mat",
                path="CA3/C14M4_stimulus_trace.mat",
                sha256="ee4ebcb40eca5cb205624ca6be2c62a1916c7b3be8d540328ea33fa26b5e8286",
                size=8_038,
            ),
            KnownFile(
                place="C23M4_spike_train.mat",
                path="CA3/C23M4_spike_train.mat",
                sha256="fc6019e68466aad762d981f6e388365d844b878969ce83ed7db559d6f1ef5f19",
                size=655_953,
            ),
            KnownFile(
                place="C23M4_stimulus_trace.mat",
                path="CA3/C23M4_stimulus_trace.mat",
                sha256="a28dc4000bb8235695152b09459f6f994b5361170b53a5e2cbc9170d4c272634",
                size=7_480,
            ),
            KnownFile(
                place="C24M3_spike_train.mat",
                path="CA3/C24M3_spike_train.mat",
                sha256="05daf8fae5286c8ab263d1354ecebc6b5b60fe4a4e1eedb246aa0df73fc2a922",
                size=565_904,
            ),
            KnownFile(
                place="C24M3_stimulus_trace.mat",
                path="CA3/C24M3_stimulus_trace.mat",
                sha256="87290e01011f1a9b6910c687badbf03dd56e790eded9b1ea55906b8635f41ffe",
                size=6_365,
            ),
        ),
    ),
    PublicSource(
        name="zebrafish",
        what="calcium fluorescence of 114 neurons in the tectum of a larval zebrafish",
        about_files=1,
        about_bytes=3_705_424,
        terms="research use; the repository has no licence file",
        has_licence=False,
        credit="Triplett et al. 2018 (10.6084/m9.figshare.6943265), by way of Open Source Brain",
        home="https://github.com/OpenSourceBrain/NWBShowcase",
        folder="calcium/zebrafish",
        base=ZEBRAFISH,
        tables=(
            KnownFile(
                place="zf_20151104-f1.mat",
                path="zf_20151104-f1/zf_20151104-f1.mat",
                sha256="014a4ed61f8a9514b2873886ff99346b3af5bb390ff01918926b7152d519d360",
                size=3_705_424,
            ),
        ),
    ),
    PublicSource(
        name="gratings",
        what="calcium fluorescence of 24 mouse neurons that see gratings, at 30.4 Hz",
        about_files=2,
        about_bytes=4_723_456,
        terms="research use; the repository has no licence file",
        has_licence=False,
        credit="msoheib, IL_2p_aligment_gratings",
        home="https://github.com/msoheib/IL_2p_aligment_gratings",
        folder="calcium/gratings",
        base=GRATINGS,
        tables=(
            KnownFile(
                place="F.npy",
                sha256="07d303b0de8044b1a8aeaf8ccd14d39a3bd1a87e542872d3206a8b5156ece7f1",
                size=2_361_728,
            ),
            KnownFile(
                place="Fneu.npy",
                sha256="7408c2644f3d366fd2421d9ff968e5b9f05f2e198af9b18892a293f6dcbfb453",
                size=2_361_728,
            ),
        ),
    ),
    PublicSource(
        name="allen-table",
        what="features and metadata of all Cell Types cells, as the Allen Institute has them today",
        about_files=1,
        about_bytes=None,
        terms=ALLEN_TERMS,
        credit=f"{GOUWENS_2019}; Allen Institute for Brain Science",
        home="https://celltypes.brain-map.org/data",
        # It changes over time, so that no digest can be published.
        base=ALLEN_SITE,
        tables=(KnownFile(place=ALLEN_TABLE),),
    ),
    PublicSource(
        name="allen",
        what="Cell Types recordings of mouse cells (NWB 1), one file a specimen",
        about_files=1_920,
        about_bytes=None,
        terms=ALLEN_TERMS,
        credit=f"{GOUWENS_2019}; Allen Institute for Brain Science",
        home="https://celltypes.brain-map.org",
        folder="allen",
    ),
    PublicSource(
        name="dandi",
        what="patch-seq recordings of DANDI 000020 (NWB 2), one file a cell",
        about_files=4_435,
        about_bytes=141_900_000_000,
        terms="CC-BY-4.0",
        credit=f"{GOUWENS_2020}; DANDI 000020 (10.48324/dandi.000020/0.210913.1639)",
        home="https://dandiarchive.org/dandiset/000020/0.210913.1639",
        folder="dandi",
    ),
    PublicSource(
        name="kaggle",
        what="the published scalograms and models",
        about_files=5_600,
        about_bytes=77_000_000_000,
        terms="as its page says; the cells: " + ALLEN_TERMS,
        credit=f"{AMPRIMO}; {GOUWENS_2019}; {GOUWENS_2020}",
        home="https://www.kaggle.com/datasets/smiliesatpolito/STS-data",
    ),
    PublicSource(
        name="weights",
        what="ImageNet weights of the four networks, into torch's cache",
        about_files=4,
        about_bytes=202_000_000,
        terms="BSD-3-Clause (torchvision); trained on ImageNet: research use",
        credit="torchvision; the papers of the four networks",
        home="https://docs.pytorch.org/vision/stable/models.html",
        # The digits in a name are the first of its sha256; torchvision publishes no more.
        base=TORCH,
        tables=(
            KnownFile(place="resnet18-f37072fd.pth", sha256="f37072fd"),
            KnownFile(place="inception_v3_google-0cc3c7bd.pth", sha256="0cc3c7bd"),
            KnownFile(place="densenet121-a639ec97.pth", sha256="a639ec97"),
            KnownFile(place="mobilenet_v2-b0353104.pth", sha256="b0353104"),
        ),
    ),
)
SOURCES: Final = {source.name: source for source in _SOURCES}


def find_source(name: str) -> PublicSource:
    """Return an archive by its name."""
    return SOURCES[one_of(name, SOURCES, "source")]


def table_items(source: PublicSource, *, api_url: str = "") -> list[ArchiveFile]:
    """Return the files of an archive whose addresses are known; `api_url` is a mirror."""
    return [
        ArchiveFile(
            place=table.place,
            address=mirror_address(api_url, f"{source.base}/{table.path or table.place}"),
            sha256=table.sha256,
            size=table.size,
            begins=table.begins,
        )
        for table in source.tables
    ]


def format_size(count: int | None) -> str:
    """Return a size as text, such as "141.9 GB"."""
    if count is None:
        return "not known"
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return f"{count} bytes"
