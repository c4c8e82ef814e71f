"""The instance head: upstream's and ours on equal weights and boxes."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from detectron2.projects.point_rend import mask_head as upstream_mask_head
from torch import Tensor, nn

from benchmarks.case import Case, Forms
from benchmarks.command import main
from benchmarks.heads import build_heads, random_detections, random_map

__all__ = ["CASES", "build", "compare_masks"]

TOLERANCE = 1e-5


def build(
    device: str, *, num_regions: int, num_classes: int, steps: int = 5, with_upstream: bool = True
) -> Forms:
    """Build both heads, and the masks of some regions of one image."""
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
        steps = _chosen_by_ours(forms["ours"]), _chosen(upstream_mask_head, forms["upstream"])
        return compare_masks(results["ours"], results["upstream"], *steps)

    return Forms(forms, check)


def _chosen_by_ours(run: Callable[[], Any]) -> list[tuple[Tensor, Tensor]]:
    """Run in one chunk, whose regions come in their own order: see ``_chosen``."""
    # Here, because another checkout may have them elsewhere.
    from pointrend_ext.layers import subdivision
    from pointrend_ext.modeling.point_head import predictors
    from pointrend_ext.modeling.point_head.fast import fine_tables

    with (
        mock.patch.dict(predictors.POINTS_PER_CHUNK, cpu=10**9, cuda=10**9),
        mock.patch.object(fine_tables, "CHUNK_CELLS", 10**9),
    ):
        return _chosen(subdivision, run)


def _chosen(module: ModuleType, run: Callable[[], Any]) -> list[tuple[Tensor, Tensor]]:
    """Run once more and record each step's scores (R, H * W) and chosen cells (R, H * W)."""
    original, steps = module.get_uncertain_point_coords_on_grid, []

    def record(uncertainty_map: Tensor, num_points: int) -> tuple[Tensor, Tensor]:
        cells, coords = original(uncertainty_map, num_points)
        scores = uncertainty_map.flatten(1)
        chosen = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, cells, True)
        steps.append((scores.clone(), chosen))
        return cells, coords

    with mock.patch.object(module, "get_uncertain_point_coords_on_grid", record):
        run()
    return steps


def compare_masks(
    ours: Tensor,
    theirs: Tensor,
    steps_ours: Sequence[tuple[Tensor, Tensor]],
    steps_theirs: Sequence[tuple[Tensor, Tensor]],
) -> str:
    """Compare probabilities (R, 1, S, S).

    Where the same points were chosen they must agree to 1e-5. Points may be swapped at the cut-off
    alone: their logits differ by less than 1e-5. Steps are what ``_chosen`` returns.
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
    make = partial(build, num_regions=regions, num_classes=classes, steps=steps)
    return Case("Instance head", f"R={regions}, C={classes}, {side}x{side}", make, **demands)


CASES = [
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
        partial(build, num_regions=300, num_classes=1203, with_upstream=False),
        max_mib=400,
    ),
]


if __name__ == "__main__":
    main("benchmarks.instances")
