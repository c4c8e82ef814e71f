"""Boxes against masks: a file whose boxes have another layout is refused with its name."""

import contextlib
from typing import Any

import numpy as np

from pointrend_ext.data.box_layout import are_runs_row_major, likely_layout
from pointrend_ext.data.coco.masks import check_mask
from pointrend_ext.data.findings import Findings

__all__ = ["check_layout"]

_MANY = 0.05  # of the annotations


def check_layout(
    suspects: list[dict[str, Any]], sizes_hw: dict[Any, tuple[int, int]], findings: Findings
) -> None:
    """Find out why many boxes are not those of their masks.

    Args:
        suspects: annotations whose box is not that of the mask, or cannot be one.
        sizes_hw: (H, W) by image id.
        findings: of the file; ``num_checked`` is its number of annotations.

    Raises:
        ValueError: they are 5 % or more, and another layout explains them.
    """
    if len(suspects) < max(1, _MANY * findings.num_checked):
        return
    boxes, bounds, sizes, masks = [], [], [], []
    named: list[dict[str, Any]] = []
    for annotation in suspects:
        size_hw = sizes_hw[annotation["image_id"]]
        with contextlib.suppress(ValueError):  # the mask of a box that was refused before it
            mask, of_mask = check_mask(annotation["segmentation"], size_hw, lambda cause: None)
            if of_mask is not None:
                named.append(annotation)
                boxes.append(annotation["bbox"])
                bounds.append(of_mask)
                sizes.append(size_hw)
                masks.append(mask)
    if not named:
        return
    layout = likely_layout(np.array(boxes, float), np.array(bounds, float), np.array(sizes, float))
    runs = [(box, mask) for box, mask in zip(boxes, masks, strict=True) if isinstance(mask, dict)]
    if layout is None and len(runs) > len(named) / 2:
        if are_runs_row_major([box for box, _ in runs], [mask for _, mask in runs]):
            raise ValueError(
                f"{_difference(named[0], bounds[0], len(named), findings)}. The run lengths seem "
                "to go along the rows; COCO's go down the columns: encode the masks anew, such as "
                "with pycocotools.mask.encode(numpy.asfortranarray(mask))"
            )
        return
    if layout is not None:
        raise ValueError(
            f"{_difference(named[0], bounds[0], len(named), findings)}. The boxes look like "
            f"{layout}; COCO's bbox is [x, y, width, height] in pixels"
        )


def _difference(
    annotation: dict[str, Any], bounds: tuple[float, ...], number: int, findings: Findings
) -> str:
    x0, y0, x1, y1 = bounds
    return (
        f"the bbox {annotation['bbox']} of annotation {annotation['id']!r} is not that of its "
        f"mask, which reaches from x {x0:g} to {x1:g} and from y {y0:g} to {y1:g}; so it is with "
        f"{number} of {findings.num_checked} annotations"
    )
