"""A few made-up cells in the files of every published data set, as `fetch` leaves them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sts.base.files import write_csv
from sts.datasets.column_maps import COLUMN_MAPS, read_column_map
from sts.datasets.laboratories import LABORATORIES
from tests.datasets.allen import write_patchseq
from tests.datasets.ep_worlds import make_table, write_published

# Of the 24 cells of the study every fifth is a published test cell: 1000, 1005, ...
STUDY_CELLS = 24
HELD = ("1000", "1005", "1010", "1015", "1020")
# The last two are cells of the study; 1005 is a published test cell, 1006 is not.
EXCITATORY = {
    "5001": ("L4 IT VISp Rspo1", "", "L4/L5 IT"),
    "5002": ("L5 ET VISp Krt80", "L5 ET-1 Chrna6", "L5 ET-1 Chrna6"),
    "5003": ("L6b VISp Crh", "", ""),
    "1005": ("L6 CT VISp Ctxn3 Sla", "", "L6 CT-1"),
    "1006": ("L6 IT VISp Car3", "", "L5/L6 IT Car3"),
}
MOTOR_CORTEX = {
    "c1": ("Pvalb", "Pvalb Reln", ""),
    "c2": ("IT", "L2/3 IT_3", ""),
    "c3": ("Sncg", "Sncg Npy2r", ""),
    "c4": ("low quality", "", ""),
    "c5": ("ET", "L5 ET_1", "mismatch (FS firing but excitatory RNA)"),
}
HUMAN = {
    "7001": ("PVALB", "Inh L2-4 PVALB WFDC2", "acute"),
    "7002": ("LAMP5/PAX6/Other", "Inh L1-2 PAX6 CDH12", "culture"),
    "7003": ("LAMP5/PAX6/Other", "Inh L1 SST NMBR", "culture"),
    "7004": ("VIP", "Inh L1-3 VIP GGH", "acute"),
}
T_TYPES = {"Sst": "Sst Nts", "Pvalb": "Pvalb Reln", "Vip/Lamp5": "Sncg Vip", "Excitatory": ""}


def write_features_of(folder: Path, name: str, ids: Sequence[str]) -> Path:
    """Write the table of features of a data set, with 1, 2, ... in all columns of a cell."""
    columns = read_column_map(COLUMN_MAPS, dataset=name)
    key = columns.names["specimen_id"]
    path = folder / LABORATORIES[name].table
    rows = [
        dict.fromkeys(columns.columns, at) | {key: specimen}
        for at, specimen in enumerate(ids, start=1)
    ]
    write_csv(path, columns.columns, rows)
    return path


def write_study(data: Path) -> None:
    """Write the published tables, labels and split, and the T-types of the patch-seq cells."""
    table = make_table(STUDY_CELLS)
    write_published(data, table)
    cells = zip(table.specimen_id, table.label, table.dataset, strict=True)
    write_patchseq(
        data / "20200711_patchseq_metadata_mouse.csv",
        [
            (str(specimen), f"9{specimen}", "a-331294", T_TYPES[str(label)], "aspiny")
            for specimen, label, dataset in cells
            if dataset == "PatchSeq"
        ],
    )


def write_laboratories(data: Path) -> None:
    """Write all published data sets."""
    write_study(data)
    write_features_of(data / "excitatory", "ExcitatoryV1", list(EXCITATORY))
    names = ("t_type", "met_type", "inferred_met_type")
    _write(data / "excitatory" / "inferred_met_types.csv", "specimen_id", names, EXCITATORY)
    write_features_of(data / "m1", "MotorCortex", list(MOTOR_CORTEX))
    names = ("RNA family", "RNA type", "Exclusion reasons")
    path = data / "m1" / "m1_patchseq_meta_data.csv"
    _write(path, "Cell", names, MOTOR_CORTEX, more={"Mouse": "mouse_A"})
    write_features_of(data / "human", "HumanInterneurons", list(HUMAN))
    names = ("Revised_subclass_label", "Transcriptomic_type", "condition")
    path = data / "human" / "LeeDalley_manuscript_metadata_v2.csv"
    _write(path, "specimen_id_x", names, HUMAN, more={"Donor": "H17"})


def _write(
    path: Path,
    key: str,
    names: Sequence[str],
    cells: Mapping[str, Sequence[str]],
    *,
    more: Mapping[str, str] | None = None,
) -> None:
    more = more or {}
    rows = [
        {key: cell} | dict(zip(names, values, strict=True)) | dict(more)
        for cell, values in cells.items()
    ]
    write_csv(path, (key, *names, *more), rows)
