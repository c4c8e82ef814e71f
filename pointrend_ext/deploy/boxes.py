"""The box branch of Detectron2's models, for one image of any size, without a look at any value.

The modules, and so all weights and numbers, are the model's own. What is written anew is what
branches on data there: proposals (``find_top_rpn_proposals``), pooling by levels (``ROIPooler``),
and the choice of detections (``fast_rcnn_inference``).
"""

from collections.abc import Mapping, Sequence

import torch
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import RPN
from detectron2.modeling.roi_heads import CascadeROIHeads, StandardROIHeads
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.deploy.nms import LOWEST_SCORE, nms
from pointrend_ext.modeling.roi_heads.suppression import ClassAgnosticOutputLayers

_NO_LIMIT = 2**31 - 1

Size = Sequence[int]
Features = Mapping[str, Tensor]
Detections = tuple[Tensor, Tensor, Tensor]
"""Boxes (R, 4) in pixels, scores (R,), classes (R,) int64."""


def propose(rpn: RPN, features: Features, size_hw: Size) -> Tensor:
    """Return proposals (P, 4) of one image, best first.

    Args:
        rpn: in evaluation mode.
        features: maps by name, (1, C, H, W) each.
        size_hw: rows and columns of the image, without padding.
    """
    maps = [features[name] for name in rpn.in_features]
    limit, most = rpn.pre_nms_topk[False], rpn.post_nms_topk[False]
    all_boxes, all_scores = [], []
    levels = zip(rpn.anchor_generator(maps), *rpn.rpn_head(maps), strict=True)
    for anchors, logits, deltas in levels:
        _, _, rows, columns = logits.shape
        scores = logits[0].permute(1, 2, 0).flatten()  # (H * W * A,)
        of_anchors = deltas[0].view(-1, 4, rows, columns).permute(2, 3, 0, 1).reshape(-1, 4)
        number = torch.sym_min(limit, scores.shape[0])
        scores, chosen = scores.topk(number)
        decoded = rpn.box2box_transform.apply_deltas(of_anchors[chosen], anchors.tensor[chosen])
        is_good = decoded.isfinite().all(1) & scores.isfinite()
        decoded = _clipped(decoded, size_hw)
        is_good &= ((decoded[:, 2:] - decoded[:, :2]) > rpn.min_box_size).all(1)
        # Levels of one length: what is added has no score.
        all_boxes.append(F.pad(decoded, (0, 0, 0, limit - number)))
        scores = torch.where(is_good, scores, -torch.inf)
        all_scores.append(F.pad(scores, (0, limit - number), value=-torch.inf))
    boxes, scores = torch.stack(all_boxes), torch.stack(all_scores)
    kept = nms(boxes, scores, rpn.nms_thresh, LOWEST_SCORE, most)
    return boxes[kept[:, 0], kept[:, 1]]


def detect(
    heads: StandardROIHeads | CascadeROIHeads, features: Features, proposals: Tensor, size_hw: Size
) -> Detections:
    """Return the detections of one image, best first.

    Args:
        heads: in evaluation mode.
        features: maps by name, (1, C, H, W) each.
        proposals: (P, 4).
        size_hw: rows and columns of the image, without padding.
    """
    maps = [features[name] for name in heads.box_in_features]
    modules = heads.box_head, heads.box_predictor
    is_cascade = isinstance(heads, CascadeROIHeads)
    stages = zip(*modules, strict=True) if is_cascade else [modules]
    scores, boxes = [], proposals
    for number, (box_head, predictor) in enumerate(stages):
        proposals = boxes if number == 0 else _clipped(boxes, size_hw)
        logits, deltas = predictor(box_head(pool(heads.box_pooler, maps, proposals)))
        boxes = predictor.box2box_transform.apply_deltas(deltas, proposals)
        scores.append(logits.sigmoid() if predictor.use_sigmoid_ce else logits.softmax(1))
    mean = sum(scores[1:], scores[0]) * (1.0 / len(scores))
    return _choose(predictor, boxes, mean, size_hw)


def _choose(
    predictor: FastRCNNOutputLayers, boxes: Tensor, scores: Tensor, size_hw: Size
) -> Detections:
    """Choose from boxes (P, 4 K), K of 1 or C, and scores (P, C + 1), the background last."""
    is_good = boxes.isfinite().all(1) & scores.isfinite().all(1)
    scores = torch.where(is_good[:, None], scores[:, :-1], -torch.inf)
    num_classes = scores.shape[1]
    boxes = _clipped(boxes.view(boxes.shape[0], -1, 4), size_hw).expand(-1, num_classes, -1)
    limit = predictor.test_topk_per_image
    limits = (
        predictor.test_nms_thresh,
        predictor.test_score_thresh,
        limit if limit >= 0 else _NO_LIMIT,
    )
    if isinstance(predictor, ClassAgnosticOutputLayers):
        numbers = nms(boxes.flatten(0, 1)[None], scores.flatten()[None], *limits)[:, 1]
        rows = torch.div(numbers, num_classes, rounding_mode="floor")
        classes = numbers - rows * num_classes
    else:
        kept = nms(boxes.transpose(0, 1).contiguous(), scores.t().contiguous(), *limits)
        classes, rows = kept.unbind(1)
    return boxes[rows, classes], scores[rows, classes], classes


def pool(pooler: ROIPooler, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """Pool regions of one image, each from the map that its size tells: (R, C, side, side).

    The rule of ``assign_boxes_to_levels``, said by comparisons: a logarithm rounds in its own way
    in every runtime.
    """
    image = torch.zeros_like(boxes[:, :1])
    rois = torch.cat((image, boxes), dim=1)
    if len(maps) == 1:
        return pooler.level_poolers[0](maps[0], rois)
    sides = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    share = sides / pooler.canonical_box_size + 1e-8
    bounds = range(pooler.min_level + 1, pooler.max_level + 1)
    level = sum((share >= 2.0 ** (bound - pooler.canonical_level)).long() for bound in bounds)
    pooled = boxes.new_zeros(boxes.shape[0], maps[0].shape[1], *pooler.output_size)
    for number, (map_, level_pooler) in enumerate(zip(maps, pooler.level_poolers, strict=True)):
        own = (level == number).nonzero()[:, 0]
        pooled = pooled.index_put((own,), level_pooler(map_, rois[own]))
    return pooled


def _clipped(boxes: Tensor, size_hw: Size) -> Tensor:
    """Return boxes (..., 4 n) cut off at the edges of the image."""
    height, width = size_hw
    pairs = boxes.unflatten(-1, (-1, 2))
    x, y = pairs[..., 0].clamp(0, width), pairs[..., 1].clamp(0, height)
    return torch.stack((x, y), dim=-1).flatten(-2)
