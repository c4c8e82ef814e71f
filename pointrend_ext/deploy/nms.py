"""Non-maximum suppression as one operator: a recorded graph need not know how many it keeps.

Importing this file registers ``torch.ops.pointrend_ext.nms``.
"""

import torch
from torch import Tensor
from torchvision.ops import nms as nms_of_one

LOWEST_SCORE = torch.finfo(torch.float32).min
"""A threshold that every score but minus infinity is above."""


@torch.library.custom_op("pointrend_ext::nms", mutates_args=())
def nms(boxes: Tensor, scores: Tensor, iou: float, min_score: float, limit: int) -> Tensor:
    """Keep boxes that no better one of their group overlaps too much.

    Args:
        boxes: (G, N, 4), x0, y0, x1, y1; groups, such as classes, do not suppress one another.
        scores: (G, N).
        iou: intersection over union above which the worse of two goes.
        min_score: boxes of at most this score are left out; so are those of minus infinity.
        limit: of all groups together, the best so many are kept.

    Returns:
        (M, 2) int64, group and number of each box that is kept, by descending scores.
    """
    kept = []
    for group, (own_boxes, own_scores) in enumerate(zip(boxes, scores, strict=True)):
        candidates = (own_scores > min_score).nonzero()[:, 0]
        numbers = candidates[nms_of_one(own_boxes[candidates], own_scores[candidates], iou)]
        kept.append(torch.stack((torch.full_like(numbers, group), numbers), dim=1))
    rows = torch.cat(kept)
    best = scores[rows[:, 0], rows[:, 1]].sort(descending=True, stable=True).indices
    return rows[best[:limit]]


@nms.register_fake
def _nms_of_any_size(
    boxes: Tensor, _scores: Tensor, _iou: float, _min_score: float, _limit: int
) -> Tensor:
    number = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty(number, 2, dtype=torch.int64)
