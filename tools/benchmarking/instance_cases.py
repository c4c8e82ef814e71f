"""The instance head: upstream's and ours on equal weights and boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads.mask_head import build_mask_head
from detectron2.projects import point_rend
from detectron2.projects.point_rend import mask_head as upstream_mask_head
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from benchmarking.case import Case, Forms
from pointrend_ext.config import add_pointrend_config
from pointrend_ext.layers import subdivision
from pointrend_ext.modeling.point_head import predictors
from pointrend_ext.modeling.point_head.fast import fine_tables

__all__ = ["IMAGE_HW", "INSTANCE_CASES", "build_heads", "random_boxes", "random_map"]

IMAGE_HW = (800, 1344)
SHAPES = {"p2": ShapeSpec(channels=256, stride=4)}
TOLERANCE = 1e-5


def build_heads(num_classes: int, device: str, steps: int = 5) -> tuple[nn.Module, nn.Module]:
    """Build our mask head and upstream's with equal weights, and logits of a few units."""
    torch.manual_seed(0)
    theirs = build_mask_head(_upstream_cfg(num_classes, steps), SHAPES).to(device).eval()
    _scale_logits(theirs, num_classes, device)
    ours = build_mask_head(_ours_cfg(num_classes, steps), SHAPES).to(device).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def _ours_cfg(num_classes: int, steps: int) -> CfgNode:
    cfg = get_cfg()
    add_pointrend_config(cfg)
    cfg.MODEL.ROI_MASK_HEAD.NAME = "PointRendROIMaskHead"
    cfg.MODEL.MASK_POINT_HEAD.SUBDIVISION_STEPS = steps
    return _with_classes(cfg, num_classes)


def _upstream_cfg(num_classes: int, steps: int) -> CfgNode:
    cfg = get_cfg()
    point_rend.add_pointrend_config(cfg)
    cfg.MODEL.ROI_MASK_HEAD.NAME = "PointRendMaskHead"
    cfg.MODEL.ROI_MASK_HEAD.POINT_HEAD_ON = True
    cfg.MODEL.POINT_HEAD.NUM_CLASSES = num_classes
    cfg.MODEL.POINT_HEAD.SUBDIVISION_STEPS = steps
    return _with_classes(cfg, num_classes)


def _with_classes(cfg: CfgNode, num_classes: int) -> CfgNode:
    cfg.MODEL.ROI_MASK_HEAD.POOLER_TYPE = ""
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = num_classes
    return cfg


@torch.no_grad()
def _scale_logits(head: nn.Module, num_classes: int, device: str) -> None:
    """Scale the last layers to logits of standard deviation 3, as a trained model has.

    No unit reads the mean of its inputs: it is far larger than their variation in a random network,
    and would turn rounding into errors that no trained model shows.
    """
    features, detections = random_map(device), [random_detections(8, num_classes, device)]
    for layer in (head.coarse_head.prediction, head.point_head.predictor):
        calls: list[Tensor] = []
        handle = layer.register_forward_hook(lambda _m, i, _o, seen=calls: seen.append(i[0]))
        head(features, detections)
        handle.remove()
        inputs = calls[0].transpose(0, 1).flatten(1)  # (channels, regions x points)
        weight, mean = layer.weight.flatten(1), inputs.mean(1)
        weight = weight - torch.outer(weight @ mean, mean) / (mean @ mean)
        weight = weight * (3 / (weight @ inputs).std(1))[:, None]
        layer.weight.copy_(weight.view_as(layer.weight))
        layer.bias.zero_()


def random_map(device: str) -> dict[str, Tensor]:
    """Draw p2 of one image."""
    generator = torch.Generator().manual_seed(2)
    size_hw = [side // 4 for side in IMAGE_HW]
    return {"p2": torch.randn(1, 256, *size_hw, generator=generator).to(device)}


def random_boxes(num_regions: int) -> Tensor:
    """Draw boxes (R, 4) with sides from 16 to 640 pixels, evenly on a logarithmic scale."""
    rng = np.random.default_rng(0)
    height, width = IMAGE_HW
    w, h = np.exp(rng.uniform(np.log(16), np.log(640), (2, num_regions)))
    x, y = rng.uniform(0, 1, (2, num_regions)) * np.maximum([width - w, height - h], 0)
    corners = [x, y, np.minimum(x + w, width), np.minimum(y + h, height)]
    return torch.tensor(np.stack(corners, axis=1), dtype=torch.float32)


def random_detections(num_regions: int, num_classes: int, device: str) -> Instances:
    """Draw detections of one image."""
    detections = Instances(IMAGE_HW)
    detections.pred_boxes = Boxes(random_boxes(num_regions).to(device))
    generator = torch.Generator().manual_seed(1)
    classes = torch.randint(0, num_classes, (num_regions,), generator=generator)
    detections.pred_classes = classes.to(device)
    return detections


def _build(
    device: str, *, num_regions: int, num_classes: int, steps: int = 5, with_upstream: bool = True
) -> Forms:
    ours, theirs = build_heads(num_classes, device, steps)
    features = random_map(device)

    def run(head: nn.Module) -> Tensor:
        detections = random_detections(num_regions, num_classes, device)
        with torch.inference_mode():
            (out,) = head(features, [detections])
        return out.pred_masks

    forms = {"ours": partial(run, ours)}
    if not with_upstream:
        return Forms(forms, lambda results: f"masks {tuple(results['ours'].shape)}, finite")
    forms["upstream"] = partial(run, theirs)

    def check(results: Mapping[str, Any]) -> str:
        steps_ours = _chosen(subdivision, forms["ours"])
        steps_theirs = _chosen(upstream_mask_head, forms["upstream"])
        return compare_masks(results["ours"], results["upstream"], steps_ours, steps_theirs)

    return Forms(forms, check)


def _chosen(module: Any, run: Callable[[], Any]) -> list[tuple[Tensor, Tensor]]:
    """Run once more and record each step's scores (R, H * W) and chosen cells (R, H * W)."""
    original, steps = module.get_uncertain_point_coords_on_grid, []

    def record(uncertainty_map: Tensor, num_points: int) -> tuple[Tensor, Tensor]:
        cells, coords = original(uncertainty_map, num_points)
        scores = uncertainty_map.flatten(1)
        chosen = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, cells, True)
        steps.append((scores.clone(), chosen))
        return cells, coords

    # one chunk, whose regions come in their own order
    with (
        mock.patch.object(module, "get_uncertain_point_coords_on_grid", record),
        mock.patch.dict(predictors.POINTS_PER_CHUNK, cpu=10**9, cuda=10**9),
        mock.patch.object(fine_tables, "CHUNK_CELLS", 10**9),
    ):
        run()
    return steps


def compare_masks(
    ours: Tensor,
    theirs: Tensor,
    steps_ours: list[tuple[Tensor, Tensor]],
    steps_theirs: list[tuple[Tensor, Tensor]],
) -> str:
    """Compare probabilities (R, 1, S, S); see performance.md, section 7.

    Where the same points were chosen they must agree to 1e-5. Points may be swapped at the cut-off
    alone: their logits differ by less than 1e-5.
    """
    swapped = torch.zeros(len(ours), dtype=torch.bool, device=ours.device)
    for (_, chosen_ours), (scores, chosen_theirs) in zip(steps_ours, steps_theirs, strict=True):
        differs = chosen_ours != chosen_theirs
        for region in (differs.any(1) & ~swapped).nonzero().flatten().tolist():
            at_cut_off = scores[region][differs[region]]
            spread = (at_cut_off.max() - at_cut_off.min()).item()
            assert spread < TOLERANCE, f"swapped points differ by {spread:.1e} logits"
        swapped |= differs.any(1)
    same = (ours - theirs).abs()[~swapped]
    largest = same.max().item() if same.numel() else 0.0
    assert largest <= TOLERANCE, f"probabilities differ by {largest:.1e}"
    flips = ((ours > 0.5) != (theirs > 0.5))[~swapped]
    near_zero = torch.logit(theirs[~swapped].double(), eps=1e-12).abs() < 1e-4
    assert not (flips & ~near_zero).any(), "binary masks differ"
    return (
        f"largest difference {largest:.1e} in {int((~swapped).sum())} masks, "
        f"{int(swapped.sum())} with a point swapped at the cut-off, {int(flips.sum())} pixels flip"
    )


def _case(regions: int, classes: int, steps: int = 5, **demands: Any) -> Case:
    side = 7 * 2**steps
    build = partial(_build, num_regions=regions, num_classes=classes, steps=steps)
    return Case("Instance head", f"R={regions}, C={classes}, {side}x{side}", build, **demands)


INSTANCE_CASES = [
    _case(100, 80, min_ratio=5, max_mib=70),
    _case(10, 80, min_ratio=1.8),
    _case(1, 80, min_ratio=1),
    _case(100, 1, min_ratio=2.8),
    _case(100, 8, min_ratio=2.8),
    _case(100, 80, steps=4),
    _case(100, 80, steps=3),
    _case(20, 1203, min_ratio=35, max_mib=150),
    Case(
        "Instance head",
        "R=300, C=1203, 224x224 (upstream needs 90 GB)",
        partial(_build, num_regions=300, num_classes=1203, with_upstream=False),
        max_mib=400,
    ),
]
