"""What a forward pass asks of an accelerator, counted on a CPU.

Operators stand for launches of kernels; what would make the host wait for a GPU is counted at two
levels, since ``tolist`` of a CPU's tensor reaches no operator.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Counts", "count"]

_VIEWS = {
    *("view", "_unsafe_view", "_reshape_alias", "reshape", "alias", "expand", "permute", "t"),
    *(
        "transpose",
        "unsqueeze",
        "squeeze",
        "slice",
        "select",
        "split",
        "split_with_sizes",
        "unbind",
    ),
    *(
        "split_with_sizes",
        "detach",
        "detach_",
        "lift_fresh",
        "unfold",
        "empty",
        "new_empty",
        "empty_like",
        "as_strided",
    ),
}
"""Operators that launch nothing."""
_COMPOSITE = "CompositeImplicitAutograd"
_KEYS = torch._C.DispatchKey.__members__
_WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_consecutive"}
_INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}
_COPIES = {"copy_", "_to_copy", "clone"}


@dataclass
class Counts:
    """Of one call.

    Attributes:
        operators: that compute or copy something.
        copies: those of them that only copy.
        waits: by name, what would make the host wait; the length of the result of ``nonzero`` and
            of an index by truth values has to be known, and so has a number that Python reads.
        uploads: tensors made from numbers of Python, a blocking copy each unless pinned.
    """

    operators: int = 0
    copies: int = 0
    waits: Counter[str] = field(default_factory=Counter)
    uploads: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        waits = {"total": self.waits.total(), **dict(sorted(self.waits.items()))}
        return {
            "operators": self.operators,
            "copies": self.copies,
            "waits": waits,
            "uploads": self.uploads,
        }


class _Operators(TorchDispatchMode):
    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE):
            with self:  # count what it calls; ``to`` of the same type calls nothing
                return func._op_dk(_KEYS[_COMPOSITE], *args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.counts.operators += name not in _VIEWS
        self.counts.copies += name in _COPIES
        self.counts.uploads += name == "lift_fresh"
        if name in _WAITS or (name in _INDEXED and _has_truth_values(args[1])):
            self.counts.waits[name] += 1
        return func(*args, **(kwargs or {}))


class _Lists(TorchFunctionMode):
    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self.counts = counts

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is Tensor.tolist:
            self.counts.waits["tolist"] += 1
        return func(*args, **(kwargs or {}))


def _has_truth_values(indices: Any) -> bool:
    return any(x is not None and x.dtype in (torch.bool, torch.uint8) for x in indices)


def count(run: Callable[[], Any]) -> Counts:
    """Run once and count; what runs inside a compiled or scripted function counts as well."""
    counts = Counts()
    with _Lists(counts), _Operators(counts):
        run()
    return counts
