"""The semantic head: upstream's and ours on equal weights and coarse logits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from detectron2.projects.point_rend.semantic_seg import PointRendSemSegHead
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarking.case import Case, Forms
from pointrend_ext.modeling.feature_levels import FeatureLevels
from pointrend_ext.modeling.point_head import StandardPointHead
from pointrend_ext.modeling.point_head.plans import MapSubdivisionPlan, TrainPointPlan
from pointrend_ext.modeling.sem_seg import PointRendSemanticHead

__all__ = ["SEMANTIC_CASES", "head_forms"]

NUM_POINTS, STEPS = 8192, 2
SIZES = {19: (1024, 2048), 54: (800, 1344), 150: (512, 704)}


class _GivenLogits(nn.Module):
    """A coarse head that has its answer already."""

    common_stride, ignore_value = 4, 255

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def layers(self, _features: Mapping[str, Tensor]) -> Tensor:
        return self.logits


class _UpstreamHead(PointRendSemSegHead):
    """Upstream's head around given modules, which its constructor cannot take."""

    def __init__(self, coarse: nn.Module, point_head: nn.Module, plan: MapSubdivisionPlan) -> None:
        nn.Module.__init__(self)
        self.coarse_sem_seg_head, self.point_head = coarse, point_head
        self.in_features = ["p2"]
        self.subdivision_steps, self.subdivision_num_points = plan.steps, plan.num_points


def _noise(num_classes: int, size_hw: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(1, num_classes, *size_hw, generator=generator)


def _smooth(num_classes: int, size_hw: tuple[int, int]) -> Tensor:
    """Logits as a trained model has them: large inside objects, small along their outlines.

    Sixty random objects (Voronoi cells), one-hot, blurred by 5 x 5 cells, times 8, and some noise.
    """
    generator = torch.Generator().manual_seed(0)
    sites = torch.rand(60, 2, generator=generator) * torch.tensor(size_hw)
    classes = torch.randint(0, num_classes, (60,), generator=generator)
    rows, columns = torch.meshgrid(*map(torch.arange, size_hw), indexing="ij")
    nearest = torch.cdist(torch.stack((rows, columns), -1).flatten(0, 1).float(), sites).argmin(1)
    one_hot = F.one_hot(classes[nearest], num_classes).T.reshape(1, num_classes, *size_hw).float()
    blurred = F.avg_pool2d(one_hot, 5, stride=1, padding=2, count_include_pad=False)
    return 8 * blurred + 0.3 * torch.randn(blurred.shape, generator=generator)


def _build(device: str, *, num_classes: int, make_logits: Any, as_labels: bool) -> Forms:
    height, width = SIZES[num_classes]
    torch.manual_seed(0)
    point_head = StandardPointHead(
        fine_channels=256,
        coarse_channels=num_classes,
        out_channels=num_classes,
        coarse_pred_each_layer=False,
    )
    with torch.no_grad():
        point_head.predictor.weight.mul_(100)  # logits of a few units
    logits = make_logits(num_classes, (height // 4, width // 4)).to(device)
    feature = torch.randn(1, 256, height // 4, width // 4).to(device)
    plan = MapSubdivisionPlan(STEPS, NUM_POINTS)
    return head_forms(logits, feature, point_head, plan, as_labels=as_labels)


def head_forms(
    logits: Tensor,
    feature: Tensor,
    point_head: nn.Module,
    plan: MapSubdivisionPlan,
    *,
    as_labels: bool,
) -> Forms:
    """Refine given coarse logits by given weights, both ways.

    Args:
        logits: (1, C, H, W), of stride 4.
        feature: (1, 256, H, W), of stride 4.
        point_head: with weights.
        plan: steps and points.
        as_labels: compare label maps, the original's by an arg max over its logits.
    """
    coarse = _GivenLogits(logits)
    ours = PointRendSemanticHead(
        coarse_sem_seg_head=coarse,
        point_head=point_head,
        point_levels=FeatureLevels(("p2",), (4,), 256),
        train_points=TrainPointPlan(1024, 3, 0.75),
        subdivision=plan,
    )
    ours = ours.to(logits.device).eval()
    theirs = _UpstreamHead(coarse, point_head, plan).to(logits.device).eval()
    features = {"p2": feature}

    @torch.inference_mode()
    def run_theirs() -> Tensor:
        logits, _ = theirs(features)
        return logits.argmax(dim=1) if as_labels else logits

    @torch.inference_mode()
    def run_ours() -> Tensor:
        return ours.labels(features) if as_labels else ours(features)[0]

    check = partial(_check_labels, theirs, features) if as_labels else _check_logits
    return Forms({"ours": run_ours, "upstream": run_theirs}, check)


def _check_logits(results: Mapping[str, Any]) -> str:
    ours, theirs = results["ours"], results["upstream"]
    difference = (ours - theirs).abs().amax(dim=1)
    labels_differ = (ours.argmax(1) != theirs.argmax(1)).sum().item()
    assert difference.max() <= 1e-4, f"logits differ by {difference.max():.1e}"
    assert labels_differ == 0, f"{labels_differ} labels differ"
    return f"logits differ by at most {difference.max():.1e}, labels are equal"


def _check_labels(theirs: nn.Module, features: Mapping[str, Tensor], results: Any) -> str:
    differs = results["ours"].long() != results["upstream"]
    count = int(differs.sum())
    if count:
        with torch.inference_mode():
            first, second = theirs(features)[0].topk(2, dim=1).values.unbind(1)
        gap = (first - second)[differs].max().item()
        assert gap < 1e-5, f"{count} labels differ, by up to {gap:.1e} logits"
    return f"{count} of {differs.numel()} labels differ"


def _case(num_classes: int, kind: str, as_labels: bool, **demands: Any) -> Case:
    height, width = SIZES[num_classes]
    make_logits = {"noise": _noise, "smooth": _smooth}[kind]
    group = "Semantic head, label map" if as_labels else "Semantic head, full logits"
    return Case(
        group,
        f"{num_classes} x {height}x{width}, {kind}",
        partial(_build, num_classes=num_classes, make_logits=make_logits, as_labels=as_labels),
        **demands,
    )


SEMANTIC_CASES = [
    _case(19, "noise", False, min_ratio=1.6),
    _case(54, "noise", False, min_ratio=1.9),
    _case(150, "noise", False, min_ratio=1.37),
    *(_case(c, "noise", True, min_ratio=2.5, max_mib=80) for c in SIZES),
    _case(19, "smooth", True, min_ratio=4, max_mib=80),
    _case(54, "smooth", True, min_ratio=4, max_mib=80),
    _case(150, "smooth", True, min_ratio=6, max_mib=80),
]
