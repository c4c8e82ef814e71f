"""What Detectron2's catalogs hold already."""

from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog


def is_registered(name: str, metadata: dict[str, Any]) -> bool:
    """Tell whether a data set with these metadata, which tell it from others, is registered.

    Raises:
        ValueError: the name is taken by something else.
    """
    if name not in DatasetCatalog:
        return False
    known = MetadataCatalog.get(name)
    for key, value in metadata.items():
        if known.get(key, None) != value:
            raise ValueError(
                f"The data set {name!r} is registered already with {key} "
                f"{known.get(key, None)!r}, not {value!r}. Choose another name for this one."
            )
    return True
