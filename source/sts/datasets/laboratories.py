"""Published data sets of several laboratories: features with our names, and the known types.

`read_laboratory` reads one of them, `read_laboratories` several as one table. Neither has cells of
the published test split, unless a caller asks for them to score a model.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal

import numpy as np

from sts.base.errors import StsError, one_of
from sts.base.files import read_csv
from sts.base.types import Texts
from sts.datasets.allen import TABLES, AllenCell, assign, mapping, read_allen
from sts.datasets.column_maps import COLUMN_MAPS, read_column_map
from sts.datasets.ep_tables import EpTable, read_ep_table
from sts.datasets.labels import LABEL_FILES, LabelFile, read_label_file
from sts.datasets.splits import PUBLISHED_SPLIT, TEST_IDS, held_out_specimens

logger = logging.getLogger("sts")

_Side = Literal["train", "test"]
# Data set -> the Allen Institute's table of its cells.
ALLEN_FILES: Final = {table.dataset: name for name, table in TABLES.items()}
# A list of the human cells only, read instead of that table if it is there.
HUMAN_CELLS: Final = "allen_human_cells.csv"
# A layer, perhaps with the projection: intra- or extratelencephalic, corticothalamic, near.
LAYER: Final = re.compile(r"(L\d(?:/L?\d)?b?)(?: (IT|ET|CT|NP))?")
# Files are looked for in a folder and in the two levels below it.
PLACES: Final = ("", "*/", "*/*/")


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledTable(EpTable):
    """Cells with features and types; row i of every array is cell i, "" means unknown.

    `label` is one of the four classes, `donor_id` the animal or the patient. There is a column for
    every feature of FEATURES, with NaN for data sets without the feature.
    """

    subclass: Texts
    """Such as Pvalb, Sst, Vip, Lamp5, Sncg; for excitatory cells, layer and projection."""
    t_type: Texts
    """The transcriptomic type, as its data set calls it."""
    met_type: Texts
    """The type by morphology, electrophysiology and transcriptome, measured or inferred."""
    species: Texts
    """`mouse` or `human`."""
    preparation: Texts
    """`acute` or `cultured`."""
    dendrite: Texts
    """`spiny`, `sparsely spiny` or `aspiny`."""

    def features_of(self, dataset: str) -> tuple[str, ...]:
        """Return the features that any cell of a data set has."""
        there = np.isfinite(self.X[self.dataset == dataset]).any(axis=0)
        return tuple(np.array(self.names)[there].tolist())


@dataclass(frozen=True, kw_only=True)
class CellFacts:
    """Facts about one cell from the files of its data set; fields as in LabelledTable."""

    donor_id: str = ""
    label: str = ""
    subclass: str = ""
    t_type: str = ""
    met_type: str = ""
    species: str = "mouse"
    preparation: str = "acute"
    dendrite: str = ""


@dataclass(frozen=True, kw_only=True)
class Laboratory:
    """A published data set of cells with features."""

    what: str
    table: str
    """The file of the features."""
    sources: tuple[str, ...]
    """Sources that `fetch` downloads its files from."""
    read_facts: Callable[[Path], Mapping[str, CellFacts]]
    """Return the facts about its cells by specimen id; other cells do not belong to it."""
    is_mapped: bool = True
    """Whether `columns.csv` maps its columns to features; else they have our names."""
    may_be_held_out: bool = False
    """Whether cells of the published test split may be among them."""


def read_laboratory(name: str, folder: Path, *, side: _Side = "train") -> LabelledTable:
    """Return the cells of a data set, without a class or a type where none is known.

    Parameters
    ----------
    name
        One of LABORATORIES.
    folder
        The folder of its files, as `fetch` leaves them or in subfolders.
    side
        "train" leaves out the cells of the published test split; "test" returns those alone, to
        score a model.
    """
    laboratory = LABORATORIES[one_of(name, LABORATORIES, "data set")]
    path = _require_file(folder, laboratory.table, laboratory.sources[0])
    columns = read_column_map(COLUMN_MAPS, dataset=name) if laboratory.is_mapped else None
    table = read_ep_table(path, columns=columns)
    facts = laboratory.read_facts(folder)
    table = table.rows(np.isin(table.specimen_id, sorted(facts)))
    held = np.isin(table.specimen_id, sorted(_find_held_out(folder, name)))
    if held.any() and side == "train":
        logger.info("%d cells of the published test split are left out of %s", held.sum(), name)
    kept = table.rows(held if side == "test" else ~held)
    return _with_facts(kept, facts, name)


def read_laboratories(
    names: Sequence[str], folder: Path, *, side: _Side = "train"
) -> LabelledTable:
    """Return the cells of several data sets; a cell in two of them is taken from the first."""
    if not names:
        raise ValueError("no data set is named")
    tables: list[LabelledTable] = []
    known: set[str] = set()
    for name in names:
        table = read_laboratory(name, folder, side=side)
        again = np.isin(table.specimen_id, sorted(known))
        if again.any():
            logger.warning(
                "%d cells of %s are left out: an earlier data set contains them, such as %s",
                *(int(again.sum()), name, table.specimen_id[np.argmax(again)]),
            )
        known |= set(table.specimen_id.tolist())
        tables.append(table.rows(~again))
    return join_tables(tables)


def join_tables(tables: Sequence[LabelledTable]) -> LabelledTable:
    """Return the cells of all tables, which have the same features, in their order."""
    arrays = {
        field.name: np.concatenate([getattr(table, field.name) for table in tables])
        for field in fields(LabelledTable)
        if field.name != "names"
    }
    return LabelledTable(**arrays, names=tables[0].names)


def find_laboratories(folder: Path) -> tuple[str, ...]:
    """Return the data sets whose tables of features are in a folder."""
    return tuple(name for name, one in LABORATORIES.items() if _find_files(folder, one.table))


def subclass_of(type_name: str) -> str:
    """Return the subclass of a type: Sst of "Sst Calb2", L5 ET of "L5 ET-1 Chrna6"."""
    if layer := LAYER.match(type_name):
        return " ".join(part for part in layer.groups() if part).replace("/L", "/")
    return type_name.split()[0] if type_name else ""


def _with_facts(table: EpTable, facts: Mapping[str, CellFacts], name: str) -> LabelledTable:
    known = [facts[specimen] for specimen in table.specimen_id.tolist()]
    columns = {
        field.name: np.array([getattr(cell, field.name) for cell in known], dtype=np.str_)
        for field in fields(CellFacts)
    }
    return LabelledTable(
        specimen_id=table.specimen_id,
        dataset=np.full(len(table), name),
        claimed_id=table.claimed_id,
        X=table.X,
        names=table.names,
        **columns,
    )


def _find_files(folder: Path, name: str) -> list[Path]:
    paths = (path for place in PLACES for path in sorted(folder.glob(place + name)))
    return [path for path in paths if path.is_file()]


def _require_file(folder: Path, name: str, source: str) -> Path:
    if paths := _find_files(folder, name):
        return paths[0]
    raise StsError(f"no {name} in {folder}: fetch it with `data_pipeline.py fetch {source}`")


def _find_held_out(folder: Path, name: str) -> frozenset[str]:
    """Return the published test specimens; raise an error if the data may contain unknown ones."""
    splits = [path.parent.parent for path in _find_files(folder, PUBLISHED_SPLIT["test"])]
    lists = [path.parent for path in _find_files(folder, TEST_IDS)]
    held = frozenset[str]().union(*map(held_out_specimens, [folder, *splits, *lists]))
    if not held and LABORATORIES[name].may_be_held_out:
        raise StsError(
            f"{name} may contain cells of the published test split, and no file in {folder} lists "
            "them: fetch the lists with `data_pipeline.py fetch sts-tables`"
        )
    return held


def _study_facts(folder: Path, dataset: str) -> dict[str, CellFacts]:
    """Return the facts in the label file and the Allen Institute's tables, by specimen id."""
    labels = read_label_file(_require_file(folder, LABEL_FILES[0], "sts-tables"))
    file = ALLEN_FILES[dataset]
    tables = [read_allen(path) for path in _find_files(folder, file)[:1]]
    if not tables:
        logger.info("no %s in %s: types and donors of %s are not known", file, folder, dataset)
    allen = tables[0] if tables else {}
    ids = {*labels.labels, *labels.unsure, *allen}
    return {specimen: _study_cell(specimen, labels, allen.get(specimen)) for specimen in ids}


def _study_cell(specimen: str, labels: LabelFile, cell: AllenCell | None) -> CellFacts:
    named = labels.labels.get(specimen)
    label = named.label if named else ""
    # The label file has priority; a cell that it marks as Unsure has no class.
    if not label and cell and cell.t_type and specimen not in labels.unsure:
        label = assign(cell).label
    t_type = cell.t_type if cell else ""
    return CellFacts(
        donor_id=cell.donor_id if cell else "",
        label=label,
        # Two of the four classes are subclasses.
        subclass=subclass_of(t_type) or (label if label in ("Pvalb", "Sst") else ""),
        t_type=t_type,
        dendrite=cell.dendrite if cell else "",
    )


def _excitatory_facts(folder: Path) -> dict[str, CellFacts]:
    path = _require_file(folder, "inferred_met_types.csv", "excitatory")
    rows = read_csv(path, ["specimen_id", "t_type", "met_type", "inferred_met_type"])
    return {row["specimen_id"]: _excitatory_cell(row) for row in rows}


def _excitatory_cell(row: Mapping[str, str]) -> CellFacts:
    met_type = row["met_type"] or row["inferred_met_type"]
    return CellFacts(
        label="Excitatory",
        subclass=subclass_of(met_type or row["t_type"]),
        t_type=row["t_type"],
        met_type=met_type,
    )


def _motor_cortex_facts(folder: Path) -> dict[str, CellFacts]:
    path = _require_file(folder, "m1_patchseq_meta_data.csv", "motor-cortex")
    needed = ["Cell", "Mouse", "RNA family", "RNA type", "Exclusion reasons"]
    return {row["Cell"]: _motor_cortex_cell(row) for row in read_csv(path, needed)}


def _motor_cortex_cell(row: Mapping[str, str]) -> CellFacts:
    family = mapping()["RNA family"].get(row["RNA family"])
    if family is None or not family.label or row["Exclusion reasons"]:
        return CellFacts(donor_id=row["Mouse"])
    is_excitatory = family.label == "Excitatory"
    return CellFacts(
        donor_id=row["Mouse"],
        label=family.label,
        subclass=subclass_of(row["RNA type"]) if is_excitatory else row["RNA family"],
        t_type=row["RNA type"],
    )


def _human_facts(folder: Path) -> dict[str, CellFacts]:
    path = _require_file(folder, "LeeDalley_manuscript_metadata_v2.csv", "human-interneurons")
    needed = [
        "specimen_id_x",
        "Donor",
        "Transcriptomic_type",
        "condition",
        "Revised_subclass_label",
    ]
    return {row["specimen_id_x"]: _human_cell(row) for row in read_csv(path, needed)}


def _human_cell(row: Mapping[str, str]) -> CellFacts:
    subclass, t_type = row["Revised_subclass_label"], row["Transcriptomic_type"]
    mapped = mapping()["human subclass"].get(subclass)
    # One label stands for several subclasses; for most cells the T-type says which one.
    if "/" in subclass:
        subclass = next((part for part in subclass.split("/") if part in t_type.split()), "")
    return CellFacts(
        donor_id=row["Donor"],
        label=mapped.label if mapped else "",
        subclass=subclass.capitalize(),
        t_type=t_type,
        species="human",
        preparation={"acute": "acute", "culture": "cultured"}.get(row["condition"], ""),
    )


def _allen_human_facts(folder: Path) -> dict[str, CellFacts]:
    """Return the human cells of the Allen Cell Types Database; aspiny ones have no class."""
    if paths := _find_files(folder, HUMAN_CELLS):
        rows = read_csv(paths[0], ["specimen_id", "dendrite_type", "species"])
        cells = [(row["specimen_id"], row["dendrite_type"], "", row["species"]) for row in rows]
    else:
        path = _require_file(folder, ALLEN_FILES["PatchClamp"], "allen-table")
        names = ["specimen__id", "tag__dendrite_type", "donor__id", "donor__species"]
        cells = [
            (row[names[0]], row[names[1]], row[names[2]], row[names[3]])
            for row in read_csv(path, names)
        ]
    classes = mapping()["dendrite"]
    return {
        specimen: CellFacts(
            donor_id=donor,
            label=classes[dendrite].label if dendrite in classes else "",
            species="human",
            dendrite=dendrite,
        )
        for specimen, dendrite, donor, species in cells
        if species == "Homo Sapiens"
    }


LABORATORIES: Final = {
    "PatchClamp": Laboratory(
        what="mouse visual cortex, Allen Cell Types Database (Gouwens et al., 2019)",
        table="Split/PatchClamp_EP_features.csv",
        sources=("sts-tables", "allen-table"),
        read_facts=lambda folder: _study_facts(folder, "PatchClamp"),
        is_mapped=False,
        may_be_held_out=True,
    ),
    "PatchSeq": Laboratory(
        what="interneurons of mouse visual cortex with T-types (Gouwens et al., 2020)",
        table="Split/PatchSeq_EP_features.csv",
        sources=("sts-tables", "patchseq-metadata"),
        read_facts=lambda folder: _study_facts(folder, "PatchSeq"),
        is_mapped=False,
        may_be_held_out=True,
    ),
    "ExcitatoryV1": Laboratory(
        what="excitatory cells of mouse visual cortex with MET types (Sorensen et al.)",
        table="exc_mMET_ephys_features.csv",
        sources=("excitatory",),
        read_facts=_excitatory_facts,
        may_be_held_out=True,
    ),
    "MotorCortex": Laboratory(
        what="mouse motor cortex, of another laboratory, at 25 C (Scala et al., 2020)",
        table="m1_patchseq_ephys_features.csv",
        sources=("motor-cortex",),
        read_facts=_motor_cortex_facts,
    ),
    "HumanInterneurons": Laboratory(
        what="human cortical interneurons, acute and cultured slices (Lee, Dalley et al.)",
        table="LeeDalley_ephys_fx.csv",
        sources=("human-interneurons",),
        read_facts=_human_facts,
    ),
    "AllenHuman": Laboratory(
        what="human cells of the Allen Cell Types Database, with dendrite types",
        table="Split/PatchClamp_EP_features.csv",
        sources=("sts-tables", "allen-table"),
        read_facts=_allen_human_facts,
        is_mapped=False,
    ),
}
"""Data set -> where its files are and how they are read, in the order in which they are joined."""
