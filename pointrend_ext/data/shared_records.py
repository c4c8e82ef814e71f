"""Records of data sets, of which the processes of a machine, and their workers, have one copy."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import torch
from detectron2.data import DatasetCatalog, DatasetFromList, MetadataCatalog
from torch import Tensor

from pointrend_ext.processes import once_per_machine

_T = TypeVar("_T")
_LIBRARIES = ("detectron2", "pointrend_ext")


class SharedRecords(DatasetFromList):
    """Records as one block of memory, which forked processes and ``load_once`` do not copy.

    Attributes:
        sizes: (N, 2) width and height of each in pixels; None where one does not state them.
    """

    def __init__(self, records: Sequence[dict[str, Any]]) -> None:
        super().__init__(list(records), copy=False)
        has_sizes = all("width" in record and "height" in record for record in records)
        sizes = [(record["width"], record["height"]) for record in records] if has_sizes else None
        self.sizes: Tensor | None = None if sizes is None else torch.tensor(sizes).reshape(-1, 2)


def load_once(names: Iterable[str], load: Callable[[], _T]) -> _T:
    """Return what ``load`` does, by one process of each machine for all of them.

    But for data sets of the user's own functions, which may do more than return records.

    Args:
        names: of registered data sets, whose metadata ``load`` may complete.
        load: its value can be pickled; what its tensors hold is in memory once.
    """
    functions = [
        DatasetCatalog[name] if name in DatasetCatalog else None  # noqa: SIM401 - `get` loads
        for name in names
    ]
    modules = [getattr(function, "__module__", None) or "" for function in functions]
    if not all(module.partition(".")[0] in _LIBRARIES for module in modules):
        return load()

    def load_with_metadata() -> tuple[_T, dict[str, dict[str, Any]]]:
        return load(), {name: MetadataCatalog.get(name).as_dict() for name in names}

    loaded, metadata = once_per_machine(load_with_metadata)
    for name, values in metadata.items():
        own = MetadataCatalog.get(name)
        own.set(**{key: value for key, value in values.items() if own.get(key, None) is None})
    return loaded
