"""Region heads with the mask branch alone, for boxes that are given."""

from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import StandardROIHeads
from detectron2.structures import ImageList, Instances
from torch import Tensor


@ROI_HEADS_REGISTRY.register()
class MaskOnlyROIHeads(StandardROIHeads):
    """Detectron2's region heads without their box branch.

    Parameters are called as in the full model (``mask_head.*``), so weights go both ways.
    """

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Read what ``StandardROIHeads`` reads of its mask branch.

        Raises:
            ValueError: no mask branch, keypoints, or proposals of another generator.
        """
        generator = cfg.MODEL.PROPOSAL_GENERATOR.NAME
        if not cfg.MODEL.MASK_ON or cfg.MODEL.KEYPOINT_ON or generator != "GivenBoxes":
            raise ValueError(
                "MODEL.ROI_HEADS.NAME 'MaskOnlyROIHeads' predicts masks of given boxes. It needs "
                "MODEL.MASK_ON True, MODEL.KEYPOINT_ON False and MODEL.PROPOSAL_GENERATOR.NAME "
                f"'GivenBoxes' (found {cfg.MODEL.MASK_ON}, {cfg.MODEL.KEYPOINT_ON} and "
                f"{generator!r})."
            )
        return super().from_config(cfg, input_shape)

    @classmethod
    def _init_box_head(cls, _cfg: CfgNode, _input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Override the box branch's part of ``from_config``."""
        return dict.fromkeys(("box_in_features", "box_pooler", "box_head", "box_predictor"))

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        """Return the proposals and the losses of their masks; inference has boxes given.

        Args:
            images: not read.
            features: maps by name, each (N, C, H, W).
            proposals: per image ``proposal_boxes``, ``gt_classes`` and ``gt_masks``.
            targets: not read: each proposal carries the truth of its object.
        """
        del images, targets
        return proposals, self._forward_mask(features, proposals)
