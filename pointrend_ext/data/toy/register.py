"""Register the toy data sets in Detectron2's catalogs; files are read when a set is loaded."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_sem_seg

from pointrend_ext.data.catalog import is_registered
from pointrend_ext.data.coco_dataset import CocoLoader

from .classes import (
    IGNORE_LABEL,
    STUFF_COLORS,
    STUFF_IDS,
    THING_COLORS,
    THING_IDS,
    TOY_SEM_SEG_CLASSES,
    TOY_STUFF_CLASSES,
    TOY_THING_CLASSES,
)
from .layout import SPLITS

DatasetDicts = list[dict[str, Any]]


def register_toy_datasets(root: str | os.PathLike[str]) -> list[str]:
    """Register every ``toy_*`` data set below a data root.

    A second call with the same root does nothing; another root replaces the first. No file is
    read before a data set is loaded, so this may come before ``ensure_toy_data``.

    Returns:
        The registered names: ``toy_SPLIT`` (COCO instances), ``toy_sem_seg_SPLIT`` and
        ``toy_panoptic_SPLIT`` (instances and panoptic-FPN semantics in each record).

    Raises:
        ValueError: another program registered one of these names.
    """
    base = Path(os.path.abspath(os.path.expanduser(root))) / "toy"
    names = []
    for split in SPLITS:
        for name, metadata in _metadata(base, split).items():
            known = MetadataCatalog.get(name).get("toy_dir") if name in DatasetCatalog else None
            if known not in (None, str(base)):
                DatasetCatalog.remove(name)
                MetadataCatalog.remove(name)
            if not is_registered(name, {"toy_dir": str(base)}):
                DatasetCatalog.register(name, _loader(name, metadata, base))
                MetadataCatalog.get(name).set(toy_dir=str(base), **metadata)
            names.append(name)
    return names


def _loader(name: str, metadata: dict[str, Any], base: Path) -> Callable[[], DatasetDicts]:
    """Return the function of a data set, with a clear error where it was not generated."""

    def check() -> None:
        if not (base / "toy.json").is_file():
            raise FileNotFoundError(
                f"The toy data set is not in {base} (no toy.json). Generate it with `python "
                f"tools/make_toy_data.py --data-root {base.parent}`, or point DETECTRON2_DATASETS "
                "to the folder that holds `toy`."
            )

    def load_labels() -> DatasetDicts:
        check()
        return load_sem_seg(metadata["sem_seg_root"], metadata["image_root"])

    return CocoLoader(name, check) if "json_file" in metadata else load_labels


def _metadata(base: Path, split: str) -> dict[str, dict[str, Any]]:
    """Return the metadata of each data set by its name."""
    images, instances = str(base / split), str(base / "annotations" / f"instances_{split}.json")
    semantic, stuff = str(base / f"sem_seg_{split}"), str(base / f"panoptic_stuff_{split}")
    coco = {
        "evaluator_type": "coco",
        "image_root": images,
        "json_file": instances,
        "thing_classes": list(TOY_THING_CLASSES),
        "thing_colors": [list(color) for color in THING_COLORS],
        "thing_dataset_id_to_contiguous_id": {
            id_: index for index, id_ in enumerate(THING_IDS.values())
        },
    }
    sem_seg = {
        "evaluator_type": "sem_seg",
        "image_root": images,
        "sem_seg_root": semantic,
        "stuff_classes": list(TOY_SEM_SEG_CLASSES),
        "stuff_colors": [list(color) for color in STUFF_COLORS + THING_COLORS],
        "ignore_label": IGNORE_LABEL,
    }
    stuff_ids = {id_: label for label, id_ in enumerate(STUFF_IDS.values(), start=1)}
    panoptic = {
        **coco,
        "evaluator_type": "coco_panoptic_seg",
        "panoptic_root": str(base / f"panoptic_{split}"),
        "panoptic_json": str(base / "annotations" / f"panoptic_{split}.json"),
        "sem_seg_root": stuff,
        # Stuff of Panoptic FPN: class 0 is everything that is a thing.
        "stuff_classes": ["things", *TOY_STUFF_CLASSES],
        "stuff_colors": [[82, 18, 128], *(list(color) for color in STUFF_COLORS)],
        "stuff_dataset_id_to_contiguous_id": {0: 0, **stuff_ids},
        "ignore_label": IGNORE_LABEL,
    }
    return {
        f"toy_{split}": coco,
        f"toy_sem_seg_{split}": sem_seg,
        f"toy_panoptic_{split}": panoptic,
    }
