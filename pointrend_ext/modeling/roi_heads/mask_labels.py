"""Ground truth at points."""

import logging
from collections.abc import Sequence

import torch
from detectron2.structures import BitMasks, Instances, PolygonMasks
from detectron2.utils.logger import log_first_n
from torch import Tensor

from pointrend_ext.layers import px_to_map
from pointrend_ext.layers.fast import bilinear_taps, tap_cells
from pointrend_ext.structures import CroppedMasks

__all__ = ["sample_mask_labels"]


@torch.no_grad()
def sample_mask_labels(proposals: Sequence[Instances], coords_px: Tensor) -> Tensor:
    """Read the matched ground-truth masks at points of the proposals.

    A mask is read bilinearly as a 0/1 map continued by zeros, so a point less than half a pixel
    from an outline gets a label between 0 and 1.

    Args:
        proposals: per image R_n proposals with the field ``gt_masks``, which may be missing where
            R_n is 0.
        coords_px: (R, P, 2), (x, y) in pixels of the image that each mask covers, R = R_1 + ... +
            R_N.

    Returns:
        (R, P) labels in [0, 1], in the type of ``coords_px``.

    Raises:
        TypeError: masks that are neither ``BitMasks`` (such as ``CroppedMasks``) nor
            ``PolygonMasks``.
    """
    labels = [coords_px.new_zeros(0, coords_px.shape[1])]
    per_image = coords_px.split([len(x) for x in proposals])
    for proposals_of_image, points_px in zip(proposals, per_image, strict=True):
        if len(proposals_of_image):
            masks = _bitmasks(proposals_of_image)
            labels.append(_read(masks, px_to_map(points_px, masks.image_size)))
    return torch.cat(labels)


def _read(masks: BitMasks, coords_map: Tensor) -> Tensor:
    """``point_sample`` of R masks at (R, P, 2), without floating-point copies of the masks."""
    columns, rows, weights = bilinear_taps(coords_map, masks.image_size)
    if isinstance(masks, CroppedMasks):
        inside = masks.read(columns.unsqueeze(-2), rows.unsqueeze(-1)).flatten(-2)  # (R, P, 4)
    else:
        cells = tap_cells(columns, rows, masks.image_size[1]).flatten(1)  # (R, P * 4)
        inside = masks.tensor.flatten(1).gather(1, cells.long()).view_as(weights)
    return (inside * weights).sum(-1)


def _bitmasks(proposals: Instances) -> BitMasks:
    masks = proposals.gt_masks
    if isinstance(masks, BitMasks):
        return masks
    if isinstance(masks, PolygonMasks):
        log_first_n(
            logging.WARNING,
            "Ground-truth masks are polygons and are rasterised in every iteration. Pass "
            "mask_format='bitmask' to annotations_to_instances, or use pointrend_ext's mapper, "
            "to do that once in the data loader.",
            name=__name__,
        )
        bitmasks = BitMasks.from_polygon_masks(masks, *proposals.image_size)
        return bitmasks.to(proposals.gt_classes.device)
    raise TypeError(
        f"gt_masks is of type {type(masks).__name__}; PointRendROIMaskHead needs BitMasks, "
        "CroppedMasks or PolygonMasks."
    )
