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
    with pytest.raises(ValueError, match="none of the classes"):
        type_label("Glia")


def test_types_of_few_cells_are_their_subclass() -> None:
    often, rare = (type_label("Sst", "Sst", name) for name in ("Sst Chodl", "Sst Rare"))
    labels = np.array([often] * 6 + [rare] * 5 + ["Inhibitory > Sst", ""])
    merged = merge_rare_types(labels)
    expected = [often] * 6 + ["Inhibitory > Sst > Sst"] * 5 + ["Inhibitory > Sst", ""]
    assert merged.tolist() == expected
