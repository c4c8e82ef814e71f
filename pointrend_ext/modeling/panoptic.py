"""Detectron2's Panoptic FPN with PointRend in both branches."""

from typing import Any

from detectron2.modeling import META_ARCH_REGISTRY, PanopticFPN
from detectron2.modeling.meta_arch.panoptic_fpn import combine_semantic_and_instance_outputs
from detectron2.modeling.postprocessing import detector_postprocess, sem_seg_postprocess
from detectron2.structures import Instances
from torch import Tensor

from pointrend_ext.modeling.sem_seg.label_map import label_map
from pointrend_ext.modeling.sem_seg.segmentor import check_knows_padding


@META_ARCH_REGISTRY.register()
class PointRendPanopticFPN(PanopticFPN):
    """``PanopticFPN`` (Kirillov et al., CVPR 2019) that tells its semantic head the image sizes.

    ``PointRendSemanticHead`` then spends no refinement point on the padding of a batch. The mask
    head may be PointRend's or not. Parameters, training and the combination of both branches are
    those of ``PanopticFPN``, which works with the same heads, too.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Build the model, of a configuration or of the arguments of ``PanopticFPN``.

        Raises:
            ValueError: a semantic head that does not know of padding.
        """
        super().__init__(*args, **kwargs)
        check_knows_padding(type(self).__name__, self.sem_seg_head, "PanopticFPN")

    def inference(
        self, batched_inputs: list[dict[str, Any]], do_postprocess: bool = True
    ) -> list[dict[str, Any]] | tuple[list[Instances], Tensor]:
        """Predict images; see ``PanopticFPN``.

        Args:
            batched_inputs: of each image ``image`` (3, H, W), and optionally ``height`` and
                ``width`` of the wanted result.
            do_postprocess: whether results have that size, and are combined.

        Returns:
            For each image ``sem_seg``, logits (C, height, width), ``instances`` and
            ``panoptic_seg``, segment ids (height, width) with Detectron2's ``segments_info``; or,
            without ``do_postprocess``, raw instances and the logits of the padded batch.
        """
        images = self.preprocess_image(batched_inputs)
        sizes_hw = [tuple(size) for size in images.image_sizes]
        features = self.backbone(images.tensor)
        logits, _ = self.sem_seg_head(features, image_sizes=sizes_hw)
        proposals, _ = self.proposal_generator(images, features, None)
        detections, _ = self.roi_heads(images, features, proposals, None)
        if not do_postprocess:
            return detections, logits
        rows = zip(batched_inputs, sizes_hw, detections, logits, strict=True)
        return [self._combine(*row) for row in rows]

    def _combine(
        self, x: dict[str, Any], size_hw: tuple[int, int], detected: Instances, logits: Tensor
    ) -> dict[str, Any]:
        height, width = x.get("height", size_hw[0]), x.get("width", size_hw[1])
        sem_seg = sem_seg_postprocess(logits, size_hw, height, width)
        instances = detector_postprocess(detected, height, width)
        panoptic = combine_semantic_and_instance_outputs(
            instances,
            label_map(sem_seg[None])[0].long(),
            self.combine_overlap_thresh,
            self.combine_stuff_area_thresh,
            self.combine_instances_score_thresh,
        )
        return {"sem_seg": sem_seg, "instances": instances, "panoptic_seg": panoptic}
