"""Entering a data set into Detectron2's catalogs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog


def register_once(
    name: str, loader: Callable[[], list[dict[str, Any]]], metadata: dict[str, Any]
) -> None:
    """Register a data set unless the same one is registered already.

    Args:
        name: name of the data set.
        loader: returns its records.
        metadata: everything that tells it from another one; compared with what is registered.

    Raises:
        ValueError: If the name is taken by something else.
    """
    if name not in DatasetCatalog:
        DatasetCatalog.register(name, loader)
        MetadataCatalog.get(name).set(**metadata)
        return
    known = MetadataCatalog.get(name)
    for key, value in metadata.items():
        if known.get(key, None) != value:
            raise ValueError(
                f"The data set {name!r} is registered already with {key} "
                f"{known.get(key, None)!r}, not {value!r}. Choose another name for this one."
            )
