"""Boxes against masks: a file in which one of them has another layout is refused with its name."""

import contextlib
from typing import Any

import numpy as np

from pointrend_ext.data.box_layout import likely_mistake
from pointrend_ext.data.coco.masks import check_mask
from pointrend_ext.data.findings import Findings

_MANY = 0.05  # of the annotations


def check_layout(
    suspects: list[dict[str, Any]], sizes_hw: dict[Any, tuple[int, int]], findings: Findings
) -> None:
    """Find out why boxes of many ``suspects`` are not, or cannot be, those of their masks.

    Raises:
        ValueError: they are 5 % or more, and another layout explains them.
    """
    if len(suspects) < max(1, _MANY * findings.num_checked):
        return
    named, bounds, masks = [], [], []
    for annotation in suspects:
        size_hw = sizes_hw[annotation["image_id"]]
        with contextlib.suppress(ValueError):  # the mask of a box that was refused before it
            mask, of_mask = check_mask(annotation["segmentation"], size_hw, lambda cause: None)
            if of_mask is not None:
                named.append(annotation)
                bounds.append(of_mask)
                masks.append(mask)
    if not named:
        return
    boxes = np.array([annotation["bbox"] for annotation in named], float)
    sizes = np.array([sizes_hw[annotation["image_id"]] for annotation in named], float)
    mistake = likely_mistake(boxes, np.array(bounds, float), sizes, masks)
    if mistake is not None:
        x0, y0, x1, y1 = bounds[0]
        raise ValueError(
            f"the bbox {named[0]['bbox']} of annotation {named[0]['id']!r} is not that of its "
            f"mask, which reaches from x {x0:g} to {x1:g} and from y {y0:g} to {y1:g}; so "
            f"it is with {len(named)} of {findings.num_checked} annotations: {mistake}"
        )
