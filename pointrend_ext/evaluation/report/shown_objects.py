"""The objects that a report shows, with their masks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

__all__ = ["RefinedPoints", "ShownObject", "shown_objects"]


@dataclass(frozen=True)
class ShownObject:
    """One example of an evaluation of instances.

    Attributes:
        example: its entry in ``evaluation.json``.
        true: (H, W) bool, the ground truth.
        masks: (H, W) bool by model, None where the model did not find it.
    """

    example: dict[str, Any]
    true: np.ndarray
    masks: dict[str, np.ndarray | None]


@dataclass(frozen=True)
class RefinedPoints:
    """The points at which a model refined the mask of one object.

    Attributes:
        points_px: (P, 2) float64, (x, y) in pixels of the image, frame as in
            ``visualization.contours``.
        sides: (P,) int64, cells along an edge of the map to which each point belongs.
    """

    points_px: np.ndarray
    sides: np.ndarray


def shown_objects(evaluation: Mapping[str, Any], count: int) -> Iterator[ShownObject]:
    """Read the first examples: those that all models found, then a quarter as many others.

    Args:
        evaluation: content of ``evaluation.json``; the files that it names are read.
        count: how many examples; 0 for none.

    Raises:
        FileNotFoundError: A file of the evaluation is not there.
    """
    examples = [e for e in evaluation["examples"] if e["found_by_all"]][:count]
    missed = [e for e in evaluation["examples"] if not e["found_by_all"]]
    examples += missed[: max(1, count // 4) if count else 0]
    if not examples:
        return
    truth = json.loads(Path(evaluation["data_set"]["source"]).read_text(encoding="utf-8"))
    annotations = {a["id"]: a for a in truth["annotations"]}
    sizes = {i["id"]: (i["height"], i["width"]) for i in truth["images"]}
    results = {
        model["name"]: json.loads(Path(model["predictions"]).read_text(encoding="utf-8"))
        for model in evaluation["models"]
    }
    for example in examples:
        size_hw = sizes[example["image_id"]]
        masks = {}
        for name, found in example["models"].items():
            masks[name] = None
            if found is not None:
                masks[name] = _mask(results[name][found["prediction"]]["segmentation"], size_hw)
        true = _mask(annotations[example["annotation_id"]]["segmentation"], size_hw)
        yield ShownObject(example, true, masks)


def _mask(segmentation: Any, size_hw: tuple[int, int]) -> np.ndarray:
    """Decode polygons or run lengths, (H, W) bool."""
    if isinstance(segmentation, list):
        segmentation = mask_util.merge(mask_util.frPyObjects(segmentation, *size_hw))
    elif isinstance(segmentation["counts"], list):
        segmentation = mask_util.frPyObjects(segmentation, *size_hw)
    return mask_util.decode(segmentation) > 0
