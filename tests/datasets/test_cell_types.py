"""Classes, subclasses and T-types become labels on one tree."""

import numpy as np
import pytest

from sts.datasets.cell_types import merge_rare_types, type_label


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (("Pvalb",), "Inhibitory > Pvalb"),
        (("", "Sst", "Sst Hpse"), ""),
        (("Sst", "Sst", "Sst Hpse"), "Inhibitory > Sst > Sst > Sst Hpse"),
        (("Vip/Lamp5", "Sncg", "Sncg Gpr50"), "Inhibitory > Vip/Lamp5 > Sncg > Sncg Gpr50"),
        (("Excitatory", "L5 ET", "L5 ET-3"), "Excitatory > Excitatory > L5 ET > L5 ET-3"),
        (("Excitatory", "L5 ET"), "Excitatory > Excitatory > L5 ET"),
        # A type without a subclass has no place.
        (("Sst", "", "Sst Hpse"), "Inhibitory > Sst"),
        # One of both is wrong: the label is kept, as in the study.
        (("Pvalb", "Sst", "Sst Hpse"), "Inhibitory > Pvalb"),
    ],
)
def test_a_cell_has_one_place_on_the_tree(known: tuple[str, ...], expected: str) -> None:
    assert type_label(*known) == expected


def test_a_class_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not one of the classes"):
        type_label("Glia")


def test_types_of_few_cells_are_their_subclass_and_such_subclasses_their_class() -> None:
    often, rare = (type_label("Sst", "Sst", name) for name in ("Sst Chodl", "Sst Rare"))
    alone = type_label("Vip/Lamp5", "Sncg", "Sncg Gpr50")
    few = ["Inhibitory > Pvalb", ""]
    merged = merge_rare_types(np.array([often] * 6 + [rare] * 5 + [alone] * 2 + few))
    expected = [often] * 6 + ["Inhibitory > Sst > Sst"] * 5 + ["Inhibitory > Vip/Lamp5"] * 2 + few
    assert merged.tolist() == expected


def test_a_subclass_has_the_cells_of_all_its_types() -> None:
    labels = [type_label("Sst", "Sst", f"Sst {at // 3}") for at in range(6)]
    assert set(merge_rare_types(np.array(labels)).tolist()) == {"Inhibitory > Sst > Sst"}
