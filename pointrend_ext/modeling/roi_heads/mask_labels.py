"""Ground truth at points."""

import logging
from collections.abc import Sequence

import torch
from detectron2.structures import BitMasks, Instances, PolygonMasks
from detectron2.utils.logger import log_first_n
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.layers import px_to_box, px_to_map
from pointrend_ext.layers.fast import bilinear_taps, tap_cells
from pointrend_ext.modeling.point_head import IGNORED_LABEL
from pointrend_ext.structures import CroppedMasks


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


@torch.no_grad()
def annotated_points(proposals: Sequence[Instances], boxes_px: Tensor) -> tuple[Tensor, Tensor]:
    """Return the annotated points of the matched objects, in the frame of the proposals.

    Args:
        proposals: per image R_n proposals with ``gt_point_coords`` (R_n, P_n, 2), (x, y) in pixels,
            and ``gt_point_labels`` (R_n, P_n): 1 inside, 0 outside, ``IGNORED_LABEL`` for not
            known; both may be missing where R_n is 0.
        boxes_px: (R, 4), R = R_1 + ... + R_N.

    Returns:
        (R, P, 2) points in [0, 1] of the boxes and (R, P) labels, P the largest P_n, and 1 at
        least. What lies outside its box is ignored, as no mask reaches there, and so is what fills
        up to P points.
    """
    coords, labels = [boxes_px.new_zeros(0, 0, 2)], [boxes_px.new_zeros(0, 0)]
    for x in proposals:
        if len(x):
            coords.append(x.gt_point_coords.to(boxes_px))
            labels.append(x.gt_point_labels.to(boxes_px))
    most = max(1, *(x.shape[1] for x in labels))
    coords_px = torch.cat([F.pad(x, (0, 0, 0, most - x.shape[1])) for x in coords])
    all_labels = torch.cat([F.pad(x, (0, most - x.shape[1]), value=IGNORED_LABEL) for x in labels])
    coords_box = px_to_box(coords_px, boxes_px)
    inside = ((coords_box >= 0) & (coords_box <= 1)).all(-1)
    # A number in any case: of a box without extent there is none.
    coords_box = coords_box.where(inside.unsqueeze(-1), 0.5)
    return coords_box, all_labels.where(inside, IGNORED_LABEL)


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
        f"gt_masks is of type {type(masks).__name__}; the mask heads of PointRend need "
        "BitMasks, CroppedMasks or PolygonMasks."
    )
