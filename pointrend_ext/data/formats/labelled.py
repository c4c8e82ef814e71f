"""What an export with outlines or masks holds, whatever tool wrote it, and COCO's form of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from pointrend_ext.data.findings import Cause, Findings, Kind

GONE = Cause(Kind.LEFT_OUT, "labelled pictures that are not there", of="pictures")
UNLABELLED = Cause(
    Kind.LEFT_OUT, "pictures without a label file, taken as not yet labelled", of="pictures"
)
NOT_AN_AREA = Cause(Kind.LEFT_OUT, "shapes that have no area: points, lines, boxes of YOLO")
WITHOUT_CLASS = Cause(Kind.LEFT_OUT, "shapes without a class")


@dataclass(frozen=True)
class Object:
    """One object: the name of its class, and its mask in COCO's format (polygons, run lengths)."""

    name: str
    segmentation: list[list[float]] | dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """A picture: its path, (H, W) of the upright picture, its split ("" without one)."""

    path: Path
    size_hw: tuple[int, int]
    split: str
    objects: list[Object]


@dataclass
class Labelled:
    """The content of an export; class names in the order of their ids, if it has them."""

    classes: list[str]
    pictures: list[Picture] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    def check(self, what: str) -> None:
        """Count what was looked at; number classes without ids by name.

        Raises:
            ValueError: there is no picture, or no object, or a picture is labelled twice.
        """
        names = {found.name for picture in self.pictures for found in picture.objects}
        self.classes = self.classes or sorted(names)
        counts = Counter((picture.path, picture.split) for picture in self.pictures)
        twice = [str(path) for (path, _), number in counts.items() if number > 1]
        if twice:
            raise ValueError(
                f"{what} labels {len(twice)} pictures twice, such as {twice[0]!r}. Take one of the "
                "files with the labels out, or one of the entries."
            )
        number = sum(len(picture.objects) for picture in self.pictures)
        left_out = [c for c in self.findings.counts if c.kind is Kind.LEFT_OUT and not c.of]
        self.findings.num_checked = number + sum(self.findings.counts[c] for c in left_out)
        gone = sum(self.findings.counts.get(cause, 0) for cause in (GONE, UNLABELLED))
        self.findings.others["pictures"] = len(self.pictures) + gone
        if not number:
            said = " ".join(f"{line}." for line in self.findings.lines())
            raise ValueError(
                f"{what} has no object with an outline or a mask in a picture that is there. "
                f"{said or 'Its label files are empty.'} Export outlines (polygons) or masks, with "
                "the pictures."
            )


def class_name(value: Any) -> str:
    """Return the name that an attribute gives, also as a number; "" where there is none."""
    return "" if value is None else str(value).strip()


def coco_content(labelled: Labelled, pictures: Sequence[Picture], root: Path) -> dict[str, Any]:
    """Return pictures in COCO's format, file names below ``root``; ids begin at 1."""
    ids = {name: number for number, name in enumerate(labelled.classes, start=1)}
    annotations: list[dict[str, Any]] = []
    for image_id, picture in enumerate(pictures, start=1):
        for found in picture.objects:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": ids[found.name],
                    "iscrowd": 0,
                    "segmentation": found.segmentation,
                    **_extent(found.segmentation, picture.size_hw),
                }
            )
    images = [
        {
            "id": image_id,
            "file_name": picture.path.relative_to(root).as_posix(),
            "height": picture.size_hw[0],
            "width": picture.size_hw[1],
        }
        for image_id, picture in enumerate(pictures, start=1)
    ]
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def _extent(segmentation: Any, size_hw: tuple[int, int]) -> dict[str, Any]:
    """Return ``bbox`` and ``area``: the box is that of the corners, or of the pixels."""
    if isinstance(segmentation, dict):
        box, rle = mask_util.toBbox(segmentation).tolist(), segmentation
    else:
        corners = np.concatenate([np.reshape(part, (-1, 2)) for part in segmentation])
        low, high = corners.min(axis=0), corners.max(axis=0)
        box = [*low.tolist(), *(high - low).tolist()]
        rle = mask_util.merge(mask_util.frPyObjects(segmentation, *size_hw))
    return {"bbox": box, "area": float(mask_util.area(rle))}
