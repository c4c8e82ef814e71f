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
)

__all__ = ["ClassSources"]

logger = logging.getLogger(__name__)


class ClassSources:
    """Finds, for each class of a model, the class of a checkpoint that it starts from."""

    def __init__(
        self,
        model_names: Mapping[str, Sequence[str]],
        source_names: Mapping[str, Sequence[str]] | None,
        by_name: bool,
    ) -> None:
        """Set the names that are known.

        Args:
            model_names: the model's classes by ``INSTANCE`` and ``SEMANTIC``, where known.
            source_names: those of the weights, where the user says so.
            by_name: whether to map by name.
        """
        self.model_names = model_names
        self.source_names = source_names or {}
        self.by_name = by_name

    def class_maps(
        self, state: Mapping[str, Tensor], model_state: Mapping[str, Tensor], stored: Any
    ) -> dict[str, ClassMap]:
        """Map the classes of a checkpoint.

        Args:
            state: the checkpoint's, under Detectron2's names.
            model_state: the model's.
            stored: the class names that the checkpoint's file holds, if any.

        Returns:
            By kind; empty unless classes are mapped by name.

        Raises:
            ValueError: names that are needed are not known, or their number is wrong.
        """
        maps = {}
        for kind in (INSTANCE, SEMANTIC):
            old_count, new_count = count_classes(state, kind), count_classes(model_state, kind)
            if old_count is None or new_count is None:
                continue
            old = self._source_names(kind, old_count, stored)
            new = self._checked(kind, self.model_names.get(kind), new_count, "model")
            if not self.by_name:
                if old and new and old_count == new_count and not _are_equal(old, new):
                    logger.warning(
                        "The weights' %s classes are %s, the model's %s: they are taken in this "
                        "order. To find them by name, map classes (--map-classes).",
                        *(kind, _shown(old), _shown(new)),
                    )
                continue
            if not old or not new:
                owner = "model" if old else "weights"
                raise ValueError(
                    f"Classes cannot be mapped by name: the {kind} class names of the {owner} are "
                    "not known. Give them, or load without --map-classes."
                )
            maps[kind] = _logged_map(kind, old, new)
        return maps

    def _source_names(self, kind: str, count: int, stored: Any) -> Sequence[str] | None:
        names = self._checked(kind, self.source_names.get(kind), count, "weights")
        if names is None and isinstance(stored, Mapping):
            names = stored.get(kind)
            if not isinstance(names, list) or len(names) != count:
                names = None
        return names or known_class_names(kind, count)

    @staticmethod
    def _checked(
        kind: str, names: Sequence[str] | None, count: int, owner: str
    ) -> Sequence[str] | None:
        # A class-agnostic model has one class and many names, and a binary one two names.
        if names is not None and count > 1 and len(names) != count:
            raise ValueError(
                f"The {owner} has {count} {kind} classes, but {len(names)} names are given for "
                f"them: {_shown(names)}. Correct the names or the number of classes."
            )
        return names


def _are_equal(old: Sequence[str], new: Sequence[str]) -> bool:
    return map_by_name(old, new).sources == tuple(range(len(new)))


def _logged_map(kind: str, old: Sequence[str], new: Sequence[str]) -> ClassMap:
    class_map = map_by_name(old, new)
    absent = [name for name, source in zip(new, class_map.sources, strict=True) if source is None]
    logger.info(
        "%d of %d %s classes are found by name in the weights%s.",
        *(len(new) - len(absent), len(new), kind),
        f"; new: {_shown(absent)}" if absent else "",
    )
    return class_map


def _shown(names: Sequence[str]) -> str:
    return ", ".join(list(names)[:8]) + (", ..." if len(names) > 8 else "")
