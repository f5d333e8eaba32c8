"""Tables in the layout of the Allen Institute's, of made-up cells."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from sts.base.files import write_csv

PATCHSEQ = "20200711_patchseq_metadata_mouse.csv"
CELL_TYPES = "cell_types_specimen_details.csv"


def write_patchseq(path: Path, cells: Iterable[Sequence[str]]) -> Path:
    """Write cells: specimen, session, donor's name, T-type, dendrite."""
    columns = (
        *("project", "cell_specimen_id", "ephys_session_id", "donor_id", "donor_name"),
        *("t_type", "dendrite_type", "full_genotype"),
    )
    rows = [
        dict(zip(columns, ("mIVSCC-MET", specimen, session, "9000", *rest, "Ai14/wt"), strict=True))
        for specimen, session, *rest in cells
    ]
    write_csv(path, columns, rows)
    return path


def write_cell_types(path: Path, cells: Iterable[Sequence[str]]) -> Path:
    """Write cells: specimen, line, donor's name, dendrite, species."""
    columns = (
        *("specimen__id", "line_name", "donor__name", "tag__dendrite_type", "donor__species"),
        *("donor__id", "structure__name"),
    )
    rows = [
        dict(zip(columns, (*said, "9000", '"Primary visual area, layer 5"'), strict=True))
        for said in cells
    ]
    write_csv(path, columns, rows)
    return path
