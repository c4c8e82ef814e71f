"""Boxes that are given rather than found: what a box-to-mask model trains on."""

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import PROPOSAL_GENERATOR_REGISTRY, ROI_HEADS_REGISTRY
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn

from pointrend_ext.modeling.checks import check_values
from pointrend_ext.modeling.config_keys import reads_own_keys
from pointrend_ext.modeling.roi_heads.mask_only import MaskOnlyROIHeads


@PROPOSAL_GENERATOR_REGISTRY.register()
class GivenBoxes(nn.Module):
    """Proposes the boxes of the ground truth, moved a little; it has no parameters.

    The boxes of a detector or an annotator are not those of the masks, so a mask head must not
    learn that objects touch all four sides. Each side is therefore moved by a uniform draw, which
    leaves boxes an IoU of at least (1 - 2 jitter)^2 with the truth, and each proposal keeps the
    class and mask of its object. In inference boxes come from the caller (``GivenBoxesModel``), and
    this module is not asked.
    """

    @configurable
    def __init__(self, *, jitter: float, copies: int, max_boxes: int) -> None:
        """Set the law of the draw.

        Args:
            jitter: largest move of a side, as a share of the box's width or height, in [0, 0.5).
            copies: proposals per object, each with its own draw.
            max_boxes: proposals per image; where an image has more objects, a random choice.
        """
        super().__init__()
        self.jitter, self.copies, self.max_boxes = jitter, copies, max_boxes

    @classmethod
    @reads_own_keys
    def from_config(cls, cfg: CfgNode, _input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Read ``MODEL.PROPOSAL_GENERATOR`` and the number of boxes per image.

        Raises:
            ValueError: a value out of its range, or region heads that look for objects.
        """
        heads = cfg.MODEL.ROI_HEADS.NAME
        if not issubclass(ROI_HEADS_REGISTRY.get(heads), MaskOnlyROIHeads):
            raise ValueError(
                "MODEL.PROPOSAL_GENERATOR.NAME 'GivenBoxes' gives boxes of true objects alone, of "
                "which a box head would learn nothing. It needs MODEL.ROI_HEADS.NAME "
                f"'MaskOnlyROIHeads' (found {heads!r})."
            )
        node, limit = cfg.MODEL.PROPOSAL_GENERATOR, cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE
        jitter, copies = node.BOX_JITTER, node.BOX_COPIES
        check_values(
            "MODEL.PROPOSAL_GENERATOR",
            ("BOX_JITTER", jitter, 0 <= jitter < 0.5, "at least 0 and below 0.5"),
            ("BOX_COPIES", copies, copies >= 1, "at least 1"),
        )
        check_values("MODEL.ROI_HEADS", ("BATCH_SIZE_PER_IMAGE", limit, limit >= 1, "at least 1"))
        return {"jitter": jitter, "copies": copies, "max_boxes": limit}

    def forward(
        self,
        _images: ImageList,
        _features: dict[str, Tensor],
        gt_instances: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        """Return proposals of each image, and no losses.

        Args:
            gt_instances: per image ``gt_boxes`` (R, 4) in pixels of the network's input, and more
                fields; R may be 0.

        Returns:
            The same instances, chosen and repeated, with ``proposal_boxes``; and ``{}``.

        Raises:
            ValueError: in inference, where boxes have to be given.
        """
        if gt_instances is None:
            raise ValueError(
                "This model (MODEL.PROPOSAL_GENERATOR.NAME 'GivenBoxes') finds no objects by "
                "itself: give it boxes, by Predictor(image, boxes=...), tools/demo.py --boxes, or "
                "TEST.GIVEN_BOXES in an evaluation."
            )
        return [self._propose(objects) for objects in gt_instances], {}

    def _propose(self, objects: Instances) -> Instances:
        number = len(objects)
        if number:
            copies = max(min(self.copies, self.max_boxes // number), 1)
            order = torch.randperm(number, device=objects.gt_boxes.device)[: self.max_boxes]
            objects = objects[order.repeat(copies)]
        boxes = Boxes(jittered(objects.gt_boxes.tensor, self.jitter))
        boxes.clip(objects.image_size)
        proposals = Instances(objects.image_size, **objects.get_fields())
        proposals.proposal_boxes = boxes
        return proposals


def jittered(boxes_px: Tensor, jitter: float) -> Tensor:
    """Move every side of boxes (R, 4) by a uniform share in [-jitter, jitter] of their extent.

    With a jitter below 0.5 no box turns over.
    """
    extents = (boxes_px[:, 2:] - boxes_px[:, :2]).repeat(1, 2)
    return boxes_px + (2 * torch.rand_like(boxes_px) - 1) * jitter * extents
