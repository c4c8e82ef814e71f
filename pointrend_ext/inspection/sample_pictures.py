"""Pictures of what a training reads: after augmentation, in the model's own resolution."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.structures import BitMasks, Instances, PolygonMasks
from torch import Tensor

from pointrend_ext.data.pixels import from_format
from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.layers import box_to_px
from pointrend_ext.modeling.roi_heads.mask_labels import sample_mask_labels
from pointrend_ext.structures import CroppedMasks
from pointrend_ext.visualization import draw_instances, draw_points, stack_rows, titled_columns

_INSIDE, _OUTSIDE = np.array([60, 220, 90]), np.array([235, 60, 50])


def draw_sample(
    sample: dict[str, Any],
    cfg: CfgNode,
    classes: Classes,
    *,
    generator: torch.Generator | None = None,
) -> np.ndarray:
    """Draw one model input.

    Columns: the image; its objects with boxes and classes; points in their boxes with the labels
    that the loss at points gets, green inside the mask, red outside, mixed on the outline; the
    label map. Points are the annotated ones, or drawn uniformly: a training on masks takes most of
    them where its model is uncertain.

    Args:
        sample: from the training loader.
        cfg: ``INPUT.FORMAT`` and the number of points are read.
        classes: names.
        generator: source of randomness of the points.

    Returns:
        (h, w, 3) uint8, RGB.
    """
    image = seen_image(sample, cfg)
    shown = Prediction(image, "", classes)
    columns = {"{} x {}".format(*shown.size_hw): image}
    if "instances" in sample:
        instances = _with_bit_masks(sample["instances"])
        columns[f"{len(instances)} objects"] = draw_instances(
            image,
            masks=instances.gt_masks,
            boxes_px=instances.gt_boxes.tensor.numpy(),
            labels=[classes.thing(int(c)) for c in instances.gt_classes],
        )
        if instances.has("gt_point_coords"):
            known = instances.gt_point_labels >= 0
            points = instances.gt_point_coords[known], instances.gt_point_labels[known]
        else:
            number = cfg.MODEL.MASK_POINT_HEAD.TRAIN_NUM_POINTS
            points = _uniform_points(instances, number, generator)
        columns[f"{len(points[1])} points"] = _draw_labelled_points(image, *points)
    if "sem_seg" in sample:
        labels, ignored = sample["sem_seg"].numpy(), cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE
        void = np.uint16(np.iinfo(np.uint16).max)
        labels = np.where(labels == ignored, void, labels.astype(np.uint16))
        columns["label map"] = replace(shown, label_map=labels).draw()
    panel = titled_columns(list(columns), list(columns.values()), bar_px=None, gap_px=6)
    return stack_rows([panel])


def seen_image(model_input: Mapping[str, Any], cfg: CfgNode) -> np.ndarray:
    """Return the image that a model is given, ``image`` (3, H, W), as (H, W, 3) uint8 RGB."""
    pixels = model_input["image"].numpy().transpose(1, 2, 0)
    return from_format(pixels, cfg.INPUT.FORMAT)


def _with_bit_masks(instances: Instances) -> Instances:
    """Return instances whose masks are bitmaps, as the loss at points reads them."""
    fields, size_hw = dict(instances.get_fields()), instances.image_size
    masks = fields.get("gt_masks")
    if isinstance(masks, PolygonMasks):
        masks = BitMasks.from_polygon_masks(masks, *size_hw)
    if masks is None:
        masks = BitMasks(torch.zeros(len(instances), *size_hw, dtype=torch.bool))
    fields["gt_masks"] = CroppedMasks.cat([masks])
    return Instances(size_hw, **fields)


def _uniform_points(
    instances: Instances, number: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Draw points (P, 2) in pixels, as many in each box, and read their labels (P,)."""
    coords_box = torch.rand(len(instances), number, 2, generator=generator)
    coords_px = box_to_px(coords_box, instances.gt_boxes.tensor)  # (R, P, 2)
    return coords_px.reshape(-1, 2), sample_mask_labels([instances], coords_px).flatten()


def _draw_labelled_points(image: np.ndarray, coords_px: Tensor, labels: Tensor) -> np.ndarray:
    shares = labels.numpy()[:, None]
    colors = np.rint(shares * _INSIDE + (1 - shares) * _OUTSIDE).astype(np.uint8)
    height, width = image.shape[:2]
    points = coords_px.numpy() / (width, height)
    radius = float(np.clip(0.004 * (height * width) ** 0.5, 1.0, 5.0))
    return draw_points(image, points, colors, radius_px=radius, rim_px=0.4)
