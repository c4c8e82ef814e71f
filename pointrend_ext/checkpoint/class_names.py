"""Which class of a checkpoint becomes which class of the model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detectron2.data.datasets.builtin_meta import (
    CITYSCAPES_CATEGORIES,
    COCO_CATEGORIES,
    _get_coco_panoptic_separated_meta,
)

__all__ = ["INSTANCE", "SEMANTIC", "ClassMap", "known_class_names", "map_by_name", "normalized"]

# The two lists of classes that a model can have.
INSTANCE = "instance"
SEMANTIC = "semantic"


@dataclass(frozen=True)
class ClassMap:
    """Which class of a checkpoint becomes which class of the model.

    Attributes:
        sources: for each class of the model the index of the checkpoint's class, None where there
            is none.
        old_count: number of the checkpoint's classes.
    """

    sources: tuple[int | None, ...]
    old_count: int


def known_class_names(kind: str, count: int) -> list[str] | None:
    """Class names of the model zoo's data sets, told apart by their number of classes.

    Returns:
        COCO's 80 or Cityscapes' 8 things (``INSTANCE``); COCO panoptic's 54 or Cityscapes' 19
        ``SEMANTIC`` classes; else None.
    """
    known: dict[tuple[str, int], list[str]] = {
        (INSTANCE, 80): [c["name"] for c in COCO_CATEGORIES if c["isthing"]],
        (INSTANCE, 8): [c["name"] for c in CITYSCAPES_CATEGORIES if c["isthing"]],
        (SEMANTIC, 54): list(_get_coco_panoptic_separated_meta()["stuff_classes"]),
        (SEMANTIC, 19): [c["name"] for c in CITYSCAPES_CATEGORIES],
    }
    return known.get((kind, count))


def map_by_name(old_names: Sequence[str], new_names: Sequence[str]) -> ClassMap:
    """Find each of the model's classes among the checkpoint's, both in their order.

    Names are equal but for case, hyphens and underscores.

    Raises:
        ValueError: two classes of one list have the same name.
    """
    old, new = _by_name(old_names, "checkpoint"), _by_name(new_names, "model")
    return ClassMap(tuple(old.get(name) for name in new), len(old_names))


def normalized(name: str) -> str:
    """Return a name as it is compared: lower case, hyphens and underscores as spaces."""
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def _by_name(names: Sequence[str], owner: str) -> Mapping[str, int]:
    indices: dict[str, int] = {}
    for index, name in enumerate(names):
        first = indices.setdefault(normalized(name), index)
        if first != index:
            raise ValueError(
                f"Classes {names[first]!r} and {name!r} of the {owner} have the same name, so "
                "classes cannot be mapped by name. Rename one, or do not map classes."
            )
    return indices
