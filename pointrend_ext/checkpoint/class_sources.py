"""Where the class names of weights come from, and when classes are mapped."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from pointrend_ext.checkpoint.class_axes import count_classes
from pointrend_ext.checkpoint.class_names import (
    INSTANCE,
    SEMANTIC,
    ClassMap,
    known_class_names,
    map_by_name,
    normalized,
)

__all__ = ["find_class_maps"]

logger = logging.getLogger(__name__)


def find_class_maps(
    state: Mapping[str, Tensor],
    stored: Any,
    model_state: Mapping[str, Tensor],
    model_names: Mapping[str, Sequence[str]],
    *,
    by_name: bool,
) -> dict[str, ClassMap]:
    """Find, for each class of a model, the class of a checkpoint that it starts from.

    Args:
        state: the checkpoint's, under Detectron2's names.
        stored: what the checkpoint's file holds as class names, if anything.
        model_state: the model's.
        model_names: the model's classes by ``INSTANCE`` and ``SEMANTIC``, where known.
        by_name: whether to map by name. If not, the result is empty.

    Raises:
        ValueError: names that are needed are not known, or their number is wrong.
    """
    maps: dict[str, ClassMap] = {}
    for kind in (INSTANCE, SEMANTIC):
        old_count, new_count = count_classes(state, kind), count_classes(model_state, kind)
        if old_count is None or new_count is None:
            continue
        old, new = _old_names(stored, kind, old_count), model_names.get(kind)
        # A class-agnostic model has one class and many names, and a binary one two names.
        if new and new_count > 1 and len(new) != new_count:
            raise ValueError(
                f"The model has {new_count} {kind} classes, but {len(new)} names are given for "
                f"them: {_shown(new)}. Correct the names or the number of classes."
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
            shown = _shown(absent) or "none"
            logger.info(text, len(new) - len(absent), len(new), kind, shown)
        elif old and new and old_count == new_count and not _are_equal(old, new):
            logger.warning(
                "The weights' %s classes are %s, the model's %s: they are taken in this order. To "
                "find them by name, map classes (--map-classes).",
                *(kind, _shown(old), _shown(new)),
            )
    return maps


def _old_names(stored: Any, kind: str, count: int) -> Sequence[str] | None:
    names = stored.get(kind) if isinstance(stored, Mapping) else None
    if isinstance(names, list) and len(names) == count and {*map(type, names)} == {str}:
        return names
    return known_class_names(kind, count)


def _are_equal(old: Sequence[str], new: Sequence[str]) -> bool:
    return [*map(normalized, old)] == [*map(normalized, new)]


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
