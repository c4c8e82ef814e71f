"""Which class of a checkpoint becomes which class of the model, by their names."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.data.datasets.builtin_meta import (
    CITYSCAPES_CATEGORIES,
    COCO_CATEGORIES,
    _get_coco_panoptic_separated_meta,
)
from torch import Tensor

from pointrend_ext.checkpoint.class_axes import INSTANCE, SEMANTIC, count_classes
from pointrend_ext.checkpoint.errors import shown

logger = logging.getLogger(__name__)


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


def _normalized(name: str) -> str:
    """Lower case, hyphens and underscores as spaces."""
    return re.sub(r"[\s_-]+", " ", name).strip().lower()


def _by_name(names: Sequence[str], owner: str) -> Mapping[str, int]:
    indices: dict[str, int] = {}
    for index, name in enumerate(names):
        first = indices.setdefault(_normalized(name), index)
        if first != index:
            raise ValueError(
                f"Classes {names[first]!r} and {name!r} of the {owner} have the same name, so "
                "classes cannot be mapped by name. Rename one, or do not map classes."
            )
    return indices


def names_by_kind(stored: Any, state: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Return the class names of a file by ``INSTANCE`` and ``SEMANTIC``.

    ``stored`` is what the file holds as class names, if anything: lists by kind, or one list (or
    names by number) of the heads with as many classes. What is neither is left out, with a warning.
    """
    by_kind = stored
    if not isinstance(stored, Mapping) or not stored.keys() & {INSTANCE, SEMANTIC}:
        if isinstance(stored, Mapping) and stored.keys() == {*range(len(stored))}:
            stored = [stored[number] for number in range(len(stored))]
        is_list = isinstance(stored, list | tuple)
        kinds = [
            k for k in (INSTANCE, SEMANTIC) if is_list and count_classes(state, k) == len(stored)
        ]
        by_kind = dict.fromkeys(kinds, stored)
    names = {
        kind: [*by_kind[kind]]
        for kind in (INSTANCE, SEMANTIC)
        if isinstance(by_kind.get(kind), list | tuple) and {*map(type, by_kind[kind])} == {str}
    }
    if stored and not names:
        logger.warning("The file's class names fit none of its heads, and are not used.")
    return names


def find_class_maps(
    state: Mapping[str, Tensor],
    stored: Mapping[str, Sequence[str]],
    model_state: Mapping[str, Tensor],
    model_names: Mapping[str, Sequence[str]],
    *,
    by_name: bool,
) -> dict[str, ClassMap]:
    """Find, for each class of a model, the class of a checkpoint that it starts from.

    Both states have Detectron2's names; class names are by ``INSTANCE`` and ``SEMANTIC``, where
    known. Without ``by_name`` the result is empty: names are compared, and a difference is said.

    Raises:
        ValueError: names that are needed are not known, or their number is wrong.
    """
    maps: dict[str, ClassMap] = {}
    for kind in (INSTANCE, SEMANTIC):
        old_count, new_count = count_classes(state, kind), count_classes(model_state, kind)
        if old_count is None or new_count is None:
            continue
        old, new = stored.get(kind), model_names.get(kind)
        if old is None or len(old) != old_count:
            old = known_class_names(kind, old_count)
        # A class-agnostic model has one class and many names, and a binary one two names.
        if new is not None and new_count > 1 and len(new) != new_count:
            raise ValueError(
                f"The model has {new_count} {kind} classes, but {len(new)} names are given for "
                f"them: {shown(new)}. Correct the names or the number of classes."
            )
        if by_name:
            if not (old and new):
                raise ValueError(
                    f"Classes cannot be mapped by name: the {kind} class names of the "
                    f"{'model' if old else 'weights'} are not known. Give them, or load without "
                    "--map-classes."
                )
            maps[kind] = map_by_name(old, new)
            absent = [
                n for n, source in zip(new, maps[kind].sources, strict=True) if source is None
            ]
            text = "%d of %d %s classes are found by name in the weights; new: %s."
            listed = shown(absent) or "none"
            logger.info(text, len(new) - len(absent), len(new), kind, listed)
        elif old and new and old_count == new_count and list(old) != list(new):
            if [*map(_normalized, old)] == [*map(_normalized, new)]:
                map_by_name(old, new)  # refuses names that differ in case alone: "A" is not "a"
                continue
            logger.warning(
                "The weights' %s classes are %s, the model's %s: they are taken in this order. To "
                "find them by name, map classes (--map-classes).",
                *(kind, shown(old), shown(new)),
            )
    return maps
