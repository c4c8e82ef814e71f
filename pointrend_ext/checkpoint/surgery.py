"""Loads weights of one set of classes into a model with another.

What belongs to a class moves with it or is new; all else stays. Detectron2 drops a whole tensor
when its shape differs, and so all that a point head has learned about fine features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pointrend_ext.checkpoint.class_axes import ClassTensor, find_class_tensor
from pointrend_ext.checkpoint.class_names import ClassMap
from pointrend_ext.checkpoint.report import MAPPED, PARTLY_NEW, Entry

__all__ = ["adapt_classes"]

State = Mapping[str, Tensor]
Pairs = list[tuple[int, int]]  # (index in the model's tensor, index in the checkpoint's)


def adapt_classes(
    state_dict: State, model_state: State, *, class_map: Mapping[str, ClassMap] | None = None
) -> tuple[dict[str, Tensor], list[Entry]]:
    """Fit class-specific tensors to the model's classes.

    Rows and columns of a class take the checkpoint's values if the class is mapped, else the values
    that the freshly built model has there. All others keep the checkpoint's.

    Args:
        state_dict: the checkpoint's, under Detectron2's names; not changed.
        model_state: the freshly built model's; not changed.
        class_map: by ``INSTANCE`` and ``SEMANTIC``. Without an entry, or with one for other numbers
            of classes than a head has, classes stay where they are if their number is the same, and
            all are new if it is not.

    Returns:
        A new state dict, and one report entry for each tensor that was changed. Tensors that differ
        from the model's in more than the number of classes are left as they are.
    """
    result, entries = dict(state_dict), []
    for name in state_dict:
        tensor = find_class_tensor(name)
        if tensor is None or name not in model_state:
            continue
        change = _Change.of(tensor, state_dict, model_state, (class_map or {}).get(tensor.kind))
        if change is None or list(change.sources) == list(range(change.old_count)):
            continue
        adapted = change.apply(state_dict, model_state)
        if adapted is not None:
            result[name] = adapted
            entries.append(change.entry())
    return result, entries


@dataclass(frozen=True)
class _Change:
    """What happens to one tensor: for each new class the old one, or None."""

    tensor: ClassTensor
    old_count: int
    sources: Sequence[int | None]

    @classmethod
    def of(
        cls, tensor: ClassTensor, old: State, new: State, class_map: ClassMap | None
    ) -> _Change | None:
        old_count, new_count = tensor.count(old), tensor.count(new)
        if old_count is None or new_count is None:
            return None
        if tensor.rows is None and not tensor.reads_coarse(new):
            return None  # a hidden layer that reads hidden features alone
        if class_map and (class_map.old_count, len(class_map.sources)) == (old_count, new_count):
            return cls(tensor, old_count, class_map.sources)
        if old_count == new_count:
            return cls(tensor, old_count, range(new_count))
        return cls(tensor, old_count, [None] * new_count)

    def apply(self, old_state: State, new_state: State) -> Tensor | None:
        """Build the model's tensor; None where more than the number of classes differs."""
        old, new = old_state[self.tensor.name], new_state[self.tensor.name].detach().clone()
        pairs = [self._rows(old.shape[0], new.shape[0])]
        if old.dim() > 1:
            pairs.append(self._columns(old_state, new_state))
        if old.dim() != new.dim() or old.shape[2:] != new.shape[2:] or None in pairs:
            return None
        indices = [torch.tensor(p, dtype=torch.int64).reshape(-1, 2).unbind(1) for p in pairs]
        new_index, old_index = (
            torch.meshgrid(*per_axis, indexing="ij") for per_axis in zip(*indices, strict=True)
        )
        new[new_index] = old[old_index].to(new)
        return new

    def _rows(self, old_size: int, new_size: int) -> Pairs | None:
        rule = self.tensor.rows
        if rule is None:
            return [(i, i) for i in range(new_size)] if old_size == new_size else None
        per_class = rule.per_class or (new_size - rule.tail) // len(self.sources)
        old_rows, new_rows = self.old_count * per_class, len(self.sources) * per_class
        if (old_size, new_size) != (old_rows + rule.tail, new_rows + rule.tail):
            return None
        return self._by_class(per_class) + [(new_rows + i, old_rows + i) for i in range(rule.tail)]

    def _columns(self, old_state: State, new_state: State) -> Pairs | None:
        old_size, new_size = (s[self.tensor.name].shape[1] for s in (old_state, new_state))
        if not self.tensor.reads_coarse(new_state):
            return [(i, i) for i in range(new_size)] if old_size == new_size else None
        others = new_size - len(self.sources)
        if not self.tensor.reads_coarse(old_state) or old_size - self.old_count != others:
            return None
        classes = [(others + new, others + old) for new, old in self._by_class(1)]
        return [(i, i) for i in range(others)] + classes

    def _by_class(self, size: int) -> Pairs:
        return [
            (new * size + i, old * size + i)
            for new, old in enumerate(self.sources)
            if old is not None
            for i in range(size)
        ]

    def entry(self) -> Entry:
        count = len(self.sources)
        mapped = sum(source is not None for source in self.sources)
        if mapped == count:
            return Entry(self.tensor.name, MAPPED, f"{count} of {self.old_count} classes")
        text = f"{mapped} of {count} classes taken from {self.old_count}, {count - mapped} new"
        if self.tensor.rows is None:
            text += "; all other columns kept"
        return Entry(self.tensor.name, PARTLY_NEW, text)
