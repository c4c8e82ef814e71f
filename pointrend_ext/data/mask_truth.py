"""What masks are learnt from: bits, polygons, or points, from annotations to tensors."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from torch import Tensor

from pointrend_ext.data.coco.points import NOT_KNOWN
from pointrend_ext.modeling.checks import check_values

logger = logging.getLogger(__name__)

POINTREND_MASK_HEADS = ("PointRendROIMaskHead", "ImplicitPointRendROIMaskHead")


def mask_format(cfg: CfgNode, *, is_train: bool) -> str:
    """Return the format of ground-truth masks: bits for the heads that read them at points."""
    head = cfg.MODEL.ROI_MASK_HEAD.NAME
    if not cfg.MODEL.MASK_ON or head not in POINTREND_MASK_HEADS:
        return cfg.INPUT.MASK_FORMAT
    if is_train and cfg.INPUT.MASK_FORMAT != "bitmask":
        text = "%s is trained on bitmasks: INPUT.MASK_FORMAT %r is read as 'bitmask'."
        logger.info(text, head, cfg.INPUT.MASK_FORMAT)
    return "bitmask"


def check_points(cfg: CfgNode) -> None:
    """Refuse ``INPUT.POINT_SUP`` where no mask head learns from points.

    Raises:
        ValueError: the model has another mask head, or none, or the number of points is negative.
    """
    number = cfg.INPUT.SAMPLE_POINTS
    check_values("INPUT", ("SAMPLE_POINTS", number, number >= 0, "at least 0, which takes all"))
    head = cfg.MODEL.ROI_MASK_HEAD.NAME if cfg.MODEL.MASK_ON else ""
    fits = not cfg.INPUT.POINT_SUP or head in POINTREND_MASK_HEADS
    heads = " or ".join(POINTREND_MASK_HEADS)
    needed = f"False, but for MODEL.MASK_ON True and MODEL.ROI_MASK_HEAD.NAME {heads}"
    check_values("INPUT", ("POINT_SUP", True, fits, needed))


def drop_unread(annotation: dict[str, Any], *, masks: bool, points: bool) -> None:
    """Take out of an annotation what is not read, so that it is not checked either."""
    unread = () if masks else ("segmentation",)
    for key in unread if points else (*unread, "point_coords", "point_labels"):
        annotation.pop(key, None)


def take_points(
    annotation: dict[str, Any], number: int, transforms: T.TransformList, size_hw: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Take the points out of an annotation and move them with the image.

    Args:
        annotation: checked; its points are removed.
        number: of points to draw, with NumPy's global state; 0 for all of them.
        transforms: what was done to the image.
        size_hw: of the transformed image.

    Returns:
        (P, 2) coordinates, (x, y) in pixels of the transformed image, and (P,) labels, of what has
        left the image ``NOT_KNOWN``; P may be 0.
    """
    coords = np.array(annotation.pop("point_coords", []), dtype=np.float64).reshape(-1, 2)
    labels = np.array(annotation.pop("point_labels", []), dtype=np.int64)
    if 0 < number < len(labels):
        chosen = np.random.permutation(len(labels))[:number]  # noqa: NPY002
        coords, labels = coords[chosen], labels[chosen]
    if not len(labels):
        return coords, labels
    moved = transforms.apply_coords(coords)
    inside = ((moved >= 0) & (moved <= size_hw[::-1])).all(axis=1)
    return moved, np.where(inside, labels, NOT_KNOWN)


def stack_points(points: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor]:
    """Return the points of R objects in two tensors, P that of the object with most.

    Args:
        points: of each object (P_n, 2) coordinates and (P_n,) labels.

    Returns:
        (R, P, 2) float32, (x, y) in pixels, and (R, P) float32: 1, 0 or -1 for what is not known,
        has left the image, or fills up.
    """
    most = max((len(labels) for _, labels in points), default=0)
    coords = torch.zeros(len(points), most, 2)
    all_labels = torch.full((len(points), most), float(NOT_KNOWN))
    for row, (own, labels) in enumerate(points):
        coords[row, : len(labels)] = torch.from_numpy(own)
        all_labels[row, : len(labels)] = torch.from_numpy(labels)
    return coords, all_labels
