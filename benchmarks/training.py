"""One training step of the instance mask head: forward and backward."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from detectron2.projects.point_rend.point_head import roi_mask_point_loss
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import Tensor, nn

from benchmarks.case import Case, Forms
from benchmarks.command import main
from benchmarks.heads import IMAGE_HW, build_heads, random_boxes, random_map

__all__ = ["CASES", "build"]


def _proposals(num_regions: int, num_classes: int, device: str) -> Instances:
    """Draw proposals whose masks are ellipses."""
    boxes = random_boxes(num_regions)
    rows, columns = torch.meshgrid(*(torch.arange(side) + 0.5 for side in IMAGE_HW), indexing="ij")
    x0, y0, x1, y1 = boxes.view(-1, 4, 1, 1).unbind(1)
    masks = ((2 * columns - x0 - x1) / (x1 - x0)) ** 2 + ((2 * rows - y0 - y1) / (y1 - y0)) ** 2 < 1
    generator = torch.Generator().manual_seed(1)
    proposals = Instances(IMAGE_HW)
    proposals.proposal_boxes = Boxes(boxes.to(device))
    proposals.gt_classes = torch.randint(0, num_classes, (num_regions,), generator=generator)
    proposals.gt_classes = proposals.gt_classes.to(device)
    proposals.gt_masks = BitMasks(masks.to(device))
    return proposals


def build(device: str, *, num_regions: int, num_classes: int) -> Forms:
    """Build the whole step: coarse head, point head, both losses."""
    ours, theirs = build_heads(num_classes, device)
    proposals = _proposals(num_regions, num_classes, device)
    features = _trainable_map(device)

    def run(head: nn.Module) -> dict[str, Tensor]:
        return _step(head, features["p2"], lambda: head(features, [proposals]))

    return Forms({"ours": partial(run, ours), "upstream": partial(run, theirs)}, _check)


def _build_points(device: str, *, num_regions: int, num_classes: int) -> Forms:
    """Build what the two differ in: sampling, point head and point loss on given coarse logits."""
    ours, theirs = build_heads(num_classes, device)
    proposals = _proposals(num_regions, num_classes, device)
    boxes = [proposals.proposal_boxes]
    features = _trainable_map(device)
    with torch.no_grad():
        coarse = theirs.coarse_head(theirs._roi_pooler(features, boxes))
    coarse.requires_grad_()

    def our_loss() -> dict[str, Tensor]:  # as in PointRendROIMaskHead._losses
        classes = proposals.gt_classes
        inputs = ours.region_inputs(features, [boxes[0].tensor], coarse, classes)
        points = ours._training_points(
            [proposals], lambda: ours._uncertain_coords(coarse.detach(), classes)
        )
        return {"loss_mask_point": ours._point_loss(inputs, *points)}

    def their_loss() -> dict[str, Tensor]:  # as in PointRendMaskHead.forward
        coords, labels = theirs._sample_train_points(coarse, [proposals])
        fine = theirs._point_pooler(features, boxes, coords)
        logits = theirs._get_point_logits(fine, coords, coarse)
        return {"loss_mask_point": roi_mask_point_loss(logits, [proposals], labels)}

    losses = {"ours": (ours, our_loss), "upstream": (theirs, their_loss)}
    steps = {
        name: partial(_step, head, features["p2"], loss, coarse)
        for name, (head, loss) in losses.items()
    }
    return Forms(steps, _check)


def _trainable_map(device: str) -> dict[str, Tensor]:
    return {name: feature.requires_grad_() for name, feature in random_map(device).items()}


def _step(
    head: nn.Module,
    feature: Tensor,
    compute: Callable[[], Mapping[str, Tensor]],
    coarse: Tensor | None = None,
) -> dict[str, Tensor]:
    """Compute losses and all gradients, from one random state."""
    head.train().zero_grad()
    for leaf in (feature, coarse):
        if leaf is not None:
            leaf.grad = None
    torch.manual_seed(0)
    with EventStorage():
        losses = compute()
    torch.stack([*losses.values()]).sum().backward()
    return {name: loss.detach() for name, loss in losses.items()}


def _check(results: Mapping[str, Any]) -> str:
    ours, theirs = results["ours"], results["upstream"]
    errors = {name: abs(ours[name] / theirs[name] - 1).item() for name in theirs}
    assert max(errors.values()) < 1e-5, f"losses differ: {errors}"
    return f"losses differ by at most {max(errors.values()):.0e}, relative"


def _case(group: str, build: Any, regions: int, classes: int, **demands: Any) -> Case:
    name = f"R={regions}, C={classes}"
    return Case(group, name, partial(build, num_regions=regions, num_classes=classes), **demands)


_POINTS = "Training, point loss forward and backward"
_WHOLE = "Training, whole mask head forward and backward"

CASES = [
    _case(_POINTS, _build_points, 64, 80, min_ratio=0.97),
    _case(_POINTS, _build_points, 32, 1203, min_ratio=3),
    _case(_WHOLE, build, 64, 80, min_ratio=0.97),
    _case(_WHOLE, build, 32, 1203),
]


if __name__ == "__main__":
    main("benchmarks.training")
