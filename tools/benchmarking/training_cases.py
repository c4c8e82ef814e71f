"""One training step of the instance mask head: forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn

from benchmarking.case import Case, Forms
from benchmarking.instance_cases import IMAGE_HW, build_heads, random_boxes, random_map

__all__ = ["TRAINING_CASES"]


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


def _build(device: str, *, num_regions: int, num_classes: int, points_only: bool) -> Forms:
    ours, theirs = build_heads(num_classes, device)
    proposals = _proposals(num_regions, num_classes, device)
    features = random_map(device)
    features["p2"].requires_grad_()

    def run(head: nn.Module) -> dict[str, torch.Tensor]:
        head.train().zero_grad()
        features["p2"].grad = None
        torch.manual_seed(0)
        with EventStorage():
            losses = head(features, [proposals])
        chosen = losses["loss_mask_point"] if points_only else sum(losses.values())
        chosen.backward()
        return {name: loss.detach() for name, loss in losses.items()}

    return Forms({"ours": partial(run, ours), "upstream": partial(run, theirs)}, _check)


def _check(results: Mapping[str, Any]) -> str:
    ours, theirs = results["ours"], results["upstream"]
    errors = {name: abs(ours[name] / theirs[name] - 1).item() for name in theirs}
    assert max(errors.values()) < 1e-5, f"losses differ: {errors}"
    return f"losses differ by at most {max(errors.values()):.0e}, relative"


def _case(regions: int, classes: int, **demands: Any) -> Case:
    name = f"R={regions}, C={classes}"
    build = partial(_build, num_regions=regions, num_classes=classes, points_only=False)
    return Case("Training step of the mask head", name, build, **demands)


TRAINING_CASES = [_case(64, 80, min_ratio=0.95), _case(32, 1203, min_ratio=3)]
