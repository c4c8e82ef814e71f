"""From a model's raw output to a prediction in the size of the image, in bounded memory."""

from dataclasses import replace

import numpy as np
import torch
from detectron2.modeling import PanopticFPN
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Instances
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.inference.panoptic_segments import PanopticRules
from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.layers.two_classes import two_class_logits
from pointrend_ext.modeling.sem_seg.label_map import label_map


def with_instances(base: Prediction, raw: Instances, min_score: float) -> Prediction:
    """Add a model's raw instances, ``pred_masks`` (R, 1, S, S), by descending scores.

    They are above ``min_score``, which the model has compared with scores before ``MASK_SCORE``.
    """
    size_hw = base.size_hw
    fields = dict(raw.get_fields())
    # Under another name Detectron2 does not paste them.
    fields["probabilities"] = fields.pop("pred_masks")[:, 0]
    x = detector_postprocess(Instances(raw.image_size, **fields), *size_hw).to(torch.device("cpu"))
    x = x[x.scores > min_score]
    x = x[x.scores.argsort(descending=True, stable=True)]
    return _with(base, x, x.probabilities)


def with_given_instances(base: Prediction, regions: Instances) -> Prediction:
    """Add the regions of ``GivenBoxesModel``, all of them in their order."""
    x = regions.to(torch.device("cpu"))
    return _with(base, x, x.pred_masks[:, 0])


def _with(base: Prediction, x: Instances, probabilities: Tensor) -> Prediction:
    boxes = x.pred_boxes.tensor
    return replace(
        base,
        boxes=boxes.numpy(),
        scores=x.scores.numpy(),
        classes=x.pred_classes.numpy(),
        masks=PastedMasks(probabilities, boxes, base.size_hw),
    )


def with_labels(
    base: Prediction, output: Tensor, *, num_classes: int, probabilities: bool = False
) -> Prediction:
    """Add a label map, of ``resized_labels``; more than 255 classes need 16 bits.

    Args:
        base: what it is added to.
        output: as of ``resized_labels``; logits, where ``probabilities`` are wanted.
        num_classes: of the model.
        probabilities: whether ``label_probabilities`` are added, too.
    """
    labels = resized_labels(output, base.size_hw).cpu().numpy()
    labels = labels.astype(np.uint8 if num_classes <= 255 else np.uint16)
    shares = _probabilities(output, base.size_hw).cpu().numpy() if probabilities else None
    return replace(base, label_map=labels, label_probabilities=shares)


def _probabilities(logits: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Return (C, H, W) float32, a sigmoid of one class and a soft-max of more."""
    logits = logits[None].float()
    if logits.shape[-2:] != size_hw:
        logits = F.interpolate(logits, size_hw, mode="bilinear", align_corners=False)
    return two_class_logits(logits, dim=1)[0].softmax(dim=0)


def panoptic_rules(model: PanopticFPN) -> PanopticRules:
    """Return how a model combines its instances and its label map."""
    return PanopticRules(
        model.combine_overlap_thresh,
        model.combine_stuff_area_thresh,
        model.combine_instances_score_thresh,
    )


def resized_labels(output: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Return the ``label_map`` (H, W) of resized logits, made one class at a time.

    Args:
        output: (C, h, w) logits; or labels (H, W) that have the size already.
        size_hw: the wanted size.
    """
    if output.dim() == 2:
        return output
    if output.shape[-2:] == size_hw:
        return label_map(output[None])[0]
    labels = torch.zeros(size_hw, dtype=torch.int64, device=output.device)
    best = torch.full(size_hw, -torch.inf, dtype=output.dtype, device=output.device)
    for number, logits in enumerate(two_class_logits(output, dim=0)):
        plane = F.interpolate(logits[None, None], size_hw, mode="bilinear", align_corners=False)
        plane = plane[0, 0]
        labels.masked_fill_(plane > best, number)
        best = torch.maximum(best, plane)
    return labels
