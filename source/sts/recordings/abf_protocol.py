"""What an ABF file's protocol commanded: its epoch table becomes the injected current again."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sts.base.types import Floats
from sts.recordings.abf_head import Head
from sts.recordings.traces import MILLIVOLTS, PICOAMPERES, Unusable

FROM_TABLE: Final = 1
FROM_FILE: Final = 2
# Epoch types that are rebuilt; trains of pulses and waves are none of the stimuli measured.
REBUILT: Final = {1: "step", 2: "ramp"}
OTHER_EPOCHS: Final = {3: "pulse train", 4: "triangles", 5: "cosine", 7: "biphasic train"}


@dataclass(frozen=True, kw_only=True)
class Output:
    """One output channel of the amplifier's command."""

    index: int
    unit: str
    source: int
    """0 nothing, 1 the epoch table, 2 another file."""

    @property
    def is_current(self) -> bool:
        """Tell whether it commands a current."""
        return bool(self.unit) and self.unit.casefold() in PICOAMPERES

    @property
    def is_voltage(self) -> bool:
        """Tell whether it commands a voltage."""
        return bool(self.unit) and self.unit.casefold() in MILLIVOLTS


def outputs_of(abf: Any, head: Head) -> list[Output]:
    """Return the outputs of an open ABF file; none where its head is too short to tell."""
    if not head.is_long:
        return []
    if head.version == 1:
        own = abf._headerV1
        units = own.sDACChannelUnit
    else:
        own = abf._dacSection
        units = [abf._stringsSection._indexedStrings[place] for place in own.lDACChannelUnitsIndex]
    channels = zip(units, own.nWaveformEnable, own.nWaveformSource, strict=False)
    return [
        Output(index=index, unit=str(unit).strip(), source=int(source) if enabled else 0)
        for index, (unit, enabled, source) in enumerate(channels)
    ]


def find_command(outputs: list[Output], abf: Any, head: Head) -> Output:
    """Return the one output that injected the stimulus, or say why it cannot be rebuilt."""
    active = [each for each in outputs if each.source and each.is_current]
    if not active:
        why = "its protocol commands none" if head.is_long else "its old version kept no protocol"
        raise Unusable(f"no stimulus trace belongs to it, and {why}")
    if len(active) > 1:
        raise Unusable(f"{len(active)} outputs inject current at once")
    (output,) = active
    if output.source == FROM_FILE:
        # pyabf would open whatever path stands in the file.
        raise Unusable(
            "its stimulus came from another file, which is not opened: record the current too"
        )
    if output.source != FROM_TABLE:
        raise Unusable(f"its stimulus came from a source of unknown kind {output.source}")
    if _varies(abf, head):
        raise Unusable("its protocol was varied by a list or by turns, which is not rebuilt")
    return output


def _varies(abf: Any, head: Head) -> bool:
    if head.version == 1:
        return head.user_list
    return any(abf._userListSection.nULEnable) or bool(
        abf._protocolSection.nAlternateDACOutputState
    )


def commands_of(abf: Any, output: Output, head: Head) -> list[Any]:
    """Return pyabf's waveform of every sweep, once its epochs are known to fit the sweeps."""
    from pyabf.waveform import EpochTable

    if head.version == 1:
        # pyabf takes the levels of the first epochs for the holding levels, and small ones for 0.
        abf.holdingCommand = list(head.holding)
        abf._headerV1.fEpochInitLevel = list(head.levels)
    if not math.isfinite(abf.holdingCommand[output.index]):
        raise Unusable("its protocol has no finite holding current")
    table = EpochTable(abf, output.index)
    for epoch in table.epochs:
        _check_epoch(epoch, sweeps=abf.sweepCount, samples=abf.sweepPointCount)
    return list(table.epochWaveformsBySweep)


def _check_epoch(epoch: Any, *, sweeps: int, samples: int) -> None:
    if epoch.epochType not in REBUILT:
        kind = OTHER_EPOCHS.get(epoch.epochType, f"an epoch of type {epoch.epochType}")
        raise Unusable(f"its protocol has a {kind}: steps and ramps are rebuilt")
    last = epoch.duration + epoch.durationDelta * (sweeps - 1)
    longest, shortest = max(epoch.duration, last), min(epoch.duration, last)
    if shortest < 0 or longest > samples:
        raise Unusable(f"its protocol has an epoch of {longest} samples, its sweeps have {samples}")
    if not (math.isfinite(epoch.level) and math.isfinite(epoch.levelDelta)):
        raise Unusable("its protocol has an epoch without a finite level")


def rebuild_pa(waveform: Any, unit: str) -> Floats:
    """Return the current that a waveform commands."""
    bounds = [place for epoch in zip(waveform.p1s, waveform.p2s, strict=True) for place in epoch]
    if bounds != sorted(bounds):
        raise Unusable("its protocol lasts longer than its sweep")
    per_unit = np.float32(PICOAMPERES[unit.casefold()])
    return np.asarray(waveform.getWaveform(), dtype=np.float32) * per_unit


def stated_pa(current_pa: Floats) -> float | None:
    """Return the amplitude of a command that leaves its holding level once, None of another."""
    edges = np.flatnonzero(np.diff(current_pa)) + 1
    if len(edges) != 2 or current_pa[edges[1]] != current_pa[0]:
        return None
    return float(current_pa[edges[0]] - current_pa[0])
