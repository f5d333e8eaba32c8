"""The identity of the cells of a data set: an id in several different files belongs to none.

The rule is applied once, to all files, before any product is written, so that the sweep store and
the table of features have the same identities.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final

from sts.datasets.cell_files import CellFiles
from sts.datasets.cell_results import CellResult
from sts.datasets.labels import CellLabel
from sts.recordings.recording import MAX_ID

# All notes of this module start with one of these; notes on sweeps do not.
NOTES: Final = ("named by its file", "also claimed", "same bytes as", "its own donor is")
# Possible origins of the id of a cell, the most reliable last: no recording, the file's name, the
# file, the user.
UNREAD, FILE_NAME, IN_FILE, USER = range(4)


@dataclass(frozen=True, kw_only=True)
class NamedCell:
    """The identity of a cell."""

    specimen_id: str
    donor_id: str = ""
    """Equal for all cells that must be on the same side of a split."""
    label: str = ""
    dataset: str = ""
    label_id: str = ""
    """The specimen under which the label was found."""
    double_of: str = ""
    """The first file with the same bytes."""
    claimed_id: str = ""
    """The id in its file if other files have it too; the cell is then named by its file."""
    notes: tuple[str, ...] = ()


@dataclass(kw_only=True)
class _Claim:
    """The known facts about the identity of a cell, completed step by step."""

    file: str
    names: list[str]
    """Possible names: first the id, then longer and longer parts of the file's path."""
    sureness: int
    digests: frozenset[str]
    donor_id: str
    label: CellLabel | None
    at: int = 0
    """Index of the name in use."""
    double_of: str = ""
    claimed_id: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.names[self.at]


def name_cells(
    results: Iterable[CellResult],
    labels: Mapping[str, CellLabel],
    cells: Mapping[str, CellFiles] | None = None,
) -> list[NamedCell]:
    """Return the identities of the cells, in their order.

    Parameters
    ----------
    results
        The result of each cell.
    labels
        By any id that a file can contain.
    cells
        By the names of their files; those with a specimen id were declared by the user.
    """
    claims = [_make_claim(result, labels, (cells or {}).get(result.file)) for result in results]
    read = [claim for claim in claims if claim.sureness > UNREAD]
    links = _find_doubles(read)
    first = [claim for claim in read if not claim.double_of]
    links += _find_rivals(first)
    _choose_names(first)
    _share_donors(read, links)
    named = {claim.file: claim for claim in first}
    return [_settle(claim, named.get(claim.double_of, claim), labels) for claim in claims]


def _make_claim(
    result: CellResult, labels: Mapping[str, CellLabel], cell: CellFiles | None
) -> _Claim:
    declared = cell if cell and cell.specimen_id else None
    stated = declared.specimen_id if declared else result.specimen_id
    # A file of the DANDI archive contains the id of its session; the label has the specimen id.
    label = labels.get(stated)
    path = PurePath(result.file)
    by_file = [] if declared else [path.stem, path.with_suffix("").as_posix(), result.file]
    sureness = USER if declared else IN_FILE if result.claims_id else FILE_NAME
    claim = _Claim(
        file=result.file,
        names=[_shorten(name) for name in (label.specimen_id if label else stated, *by_file)],
        sureness=sureness if result.was_read else UNREAD,
        digests=frozenset(stamp.sha256 for stamp in result.files if stamp.sha256),
        donor_id=(declared.donor_id if declared else "")
        or (label.donor_id if label else "")
        or result.donor_id,
        label=label,
    )
    if result.ignored_id and not declared:
        length = f"of {len(result.ignored_id)} characters or more"
        what = length if len(result.ignored_id) >= MAX_ID else f"{result.ignored_id!r}"
        claim.notes.append(f"named by its file: the id {what} in it says nothing".replace(";", ","))
    return claim


def _shorten(name: str) -> str:
    """Return a name that is short enough for tables; different names stay different."""
    if len(name) <= MAX_ID:
        return name
    end = hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{name[: MAX_ID - len(end) - 1]}-{end}"


def _find_doubles(read: Sequence[_Claim]) -> list[list[_Claim]]:
    """Mark copies of files with the same id; return groups of cells with equal bytes, other ids."""
    first: dict[tuple[str, frozenset[str]], _Claim] = {}
    by_digest: dict[str, list[_Claim]] = defaultdict(list)
    for claim in read:
        known = first.setdefault((claim.name, claim.digests or frozenset([claim.file])), claim)
        if known is not claim:
            claim.double_of = known.file
            continue
        for digest in claim.digests:
            by_digest[digest].append(claim)
    links = [claims for claims in by_digest.values() if len(claims) > 1]
    for same in links:
        for claim in same[1:]:
            claim.notes.append(f"same bytes as {same[0].file}: shares a side of a split with it")
    return links


def _find_rivals(first: Sequence[_Claim]) -> list[list[_Claim]]:
    """Mark the cells of different files with the same id, and return each group of them."""
    by_id: dict[str, list[_Claim]] = defaultdict(list)
    for claim in first:
        if claim.sureness >= IN_FILE:
            by_id[claim.name].append(claim)
    groups = [rivals for rivals in by_id.values() if len(rivals) > 1]
    for rivals in groups:
        for claim in rivals:
            claim.claimed_id = claim.name
            claim.notes.append(
                f"also claimed by {len(rivals) - 1} files that are not declared: it shares a side "
                "of a split with them"
                if claim.sureness == USER
                else f"named by its file: {len(rivals)} different files claim the id {claim.name}, "
                "so they share a side of a split, declare with --cells what is one cell"
            )
    return groups


def _choose_names(first: Sequence[_Claim]) -> None:
    """Give every cell its own name: the most reliable keeps a name, the others get a longer one."""
    while True:
        by_name: dict[str, list[_Claim]] = defaultdict(list)
        for claim in first:
            by_name[claim.name].append(claim)
        contested = [rivals for rivals in by_name.values() if len(rivals) > 1]
        losers = [claim for rivals in contested for claim in _find_losers(rivals)]
        if not losers:
            return
        for claim in losers:
            claim.at += 1


def _find_losers(rivals: Sequence[_Claim]) -> list[_Claim]:
    # A name by the file is the least reliable.
    ranks = [0 if claim.at else claim.sureness for claim in rivals]
    best = max(ranks)
    keeper = rivals[ranks.index(best)] if best and ranks.count(best) == 1 else None
    movable = [claim for claim in rivals if claim.at + 1 < len(claim.names)]
    # A cell without a longer name keeps this one, even if another cell has it.
    return [claim for claim in movable if claim is not keeper] or movable


def _share_donors(read: Sequence[_Claim], links: Sequence[Sequence[_Claim]]) -> None:
    """Give one donor to cells that must be on the same side, and to all cells of their donors."""
    own = [{f"file {claim.file}", f"donor {claim.donor_id}"} for claim in read if claim.donor_id]
    linked = [{f"file {claim.file}" for claim in claims} for claims in links]
    together = _merge([*own, *linked])
    named: dict[str, str] = {}
    for claim in (claim for claims in links for claim in claims):
        whole = together[f"file {claim.file}"]
        donors = sorted(each.removeprefix("donor ") for each in whole if each.startswith("donor "))
        claimed = f"files that claim {claim.claimed_id}" if claim.claimed_id else ""
        name = " + ".join(donors) or claimed or f"files like {claim.file}"
        for each in whole:
            named.setdefault(each, _shorten(name))
    for claim in read:
        donor = named.get(f"file {claim.file}", claim.donor_id)
        if claim.donor_id not in ("", donor):
            claim.notes.append(
                f"its own donor is {claim.donor_id}: shares a side of a split with other donors"
            )
        claim.donor_id = donor


def _merge(groups: Iterable[set[str]]) -> dict[str, set[str]]:
    """Return, for every member, all members that are connected to it by groups, also indirectly."""
    together: dict[str, set[str]] = {}
    for group in groups:
        whole = group.union(*(together.get(each, set()) for each in group))
        together |= dict.fromkeys(whole, whole)
    return together


def _settle(claim: _Claim, first: _Claim, labels: Mapping[str, CellLabel]) -> NamedCell:
    # A label may also be under the name that the cell has here, by its file.
    label = labels.get(first.name)
    # A file name that several cells have says nothing about the class of one of them.
    if label is None and (claim.sureness != FILE_NAME or not claim.at):
        label = claim.label
    return NamedCell(
        specimen_id=first.name,
        donor_id=claim.donor_id,
        label=label.label if label else "",
        dataset=label.dataset if label else "",
        label_id=label.specimen_id if label else "",
        double_of=claim.double_of,
        claimed_id=first.claimed_id if first.claimed_id != first.name else "",
        notes=tuple(claim.notes),
    )
