"""A loader's work on images with masks: Detectron2's mapper against ours, in one process.

Results hold the masks alone, so that the memory is theirs and that of one image.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper
from detectron2.data.datasets import load_coco_json
from detectron2.structures import BitMasks, BoxMode
from PIL import Image

from benchmarks.case import Case, Forms
from benchmarks.command import main
from pointrend_ext.data import build_mapper
from pointrend_ext.engine import load_cfg

__all__ = ["add_arguments", "cases"]

_CONFIG = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_coco.yaml"
_LESS_MEMORY = 5  # times, at least, that of bit masks
_OBJECTS, _SIDE = 1500, 800


def _build(_device: str, *, records: Any) -> Forms:
    keep = tempfile.TemporaryDirectory()
    found = records(Path(keep.name))
    cfg, with_polygons = _cfg("bitmask"), _cfg("polygon")
    mappers = {
        "upstream": DatasetMapper(cfg, True),
        "ours": build_mapper(cfg, is_train=True),
        "upstream, polygons": DatasetMapper(with_polygons, True),
    }
    run = {name: partial(_load, mapper, found) for name, mapper in mappers.items()}
    return Forms(run, _check, keep=keep)


def _cfg(mask_format: str) -> CfgNode:
    return load_cfg(_CONFIG, ["INPUT.MIN_SIZE_TRAIN", (800,), "INPUT.MASK_FORMAT", mask_format])


def _load(mapper: Any, records: Sequence[dict[str, Any]]) -> list[Any]:
    """Return the masks of each image that has any."""
    np.random.seed(0)  # noqa: NPY002  (the flips of Detectron2)
    instances = [mapper(record)["instances"] for record in records]
    return [x.gt_masks for x in instances if len(x)]


def _check(results: Mapping[str, Any]) -> str:
    ours, theirs = results["ours"], results["upstream"]
    for got, expected in zip(ours, theirs, strict=True):
        assert len(got) == len(expected), "the number of masks differs"
        assert all(map(torch.equal, got, expected)), "masks differ"
    kib = [sum(map(_mask_bytes, masks)) / 2**10 / len(ours) for masks in (theirs, ours)]
    assert kib[0] >= _LESS_MEMORY * kib[1], f"masks of {kib[1]:.0f} KiB, bit masks {kib[0]:.0f}"
    return (
        f"{sum(map(len, ours))} masks of {len(ours)} images with objects are equal; "
        f"{kib[0]:.0f} / {kib[1]:.0f} KiB of masks per image"
    )


def _mask_bytes(masks: BitMasks) -> int:
    kept = [value for value in vars(masks).values() if isinstance(value, torch.Tensor)]
    return sum(value.nbytes for value in kept)


def _many_objects(folder: Path) -> list[dict[str, Any]]:
    """Write a picture; return its record with 1500 objects of 10 x 8 pixels."""
    file = folder / "many.png"
    Image.new("RGB", (_SIDE, _SIDE), (120, 90, 60)).save(file)
    corners = np.random.default_rng(0).uniform(0, (_SIDE - 10, _SIDE - 8), (_OBJECTS, 2))
    annotations = [
        {
            "bbox": [x, y, 10.0, 8.0],
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": 0,
            "segmentation": [[x, y, x + 10, y, x + 10, y + 8, x, y + 8]],
        }
        for x, y in corners.tolist()
    ]
    size = {"height": _SIDE, "width": _SIDE}
    return [{"file_name": str(file), "image_id": 1, "annotations": annotations, **size}]


def _listed_images(_folder: Path, *, annotations: Path, pictures: Path, images: int) -> list[Any]:
    return load_coco_json(str(annotations), str(pictures))[:images]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for real images."""
    parser.add_argument("--annotations", type=Path, help="a file in COCO's format")
    parser.add_argument("--pictures", type=Path, help="the folder of its pictures")
    parser.add_argument("--images", type=int, default=40, help="so many of them (%(default)s)")


def cases(arguments: argparse.Namespace) -> list[Case]:
    """Return many small objects, and images of a file where one is given."""
    build = partial(_build, records=_many_objects)
    name = f"{_OBJECTS} objects in {_SIDE} x {_SIDE}"
    found = [Case("Loading", name, build, min_ratio=1.3, max_mib=100)]
    if arguments.annotations:
        options = {key: getattr(arguments, key) for key in ("annotations", "pictures", "images")}
        records = partial(_listed_images, **options)
        build = partial(_build, records=records)
        name = f"{arguments.images} images, short edge 800"
        found.append(Case("Loading", name, build, min_ratio=1.3))
    return found


if __name__ == "__main__":
    main("benchmarks.loading")
