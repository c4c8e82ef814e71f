"""Choosing points: where to train (section 3.3 of the paper), where to refine (section 3.1)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pointrend_ext.layers.coordinates import cells_to_coords
from pointrend_ext.layers.exporting import is_exported
from pointrend_ext.layers.fast.selection import top_indices
from pointrend_ext.layers.point_sample import point_sample
from pointrend_ext.layers.precision import wide_dtype


def get_uncertain_point_coords_with_randomness(
    coarse_logits: Tensor,
    uncertainty_func: Callable[[Tensor], Tensor],
    num_points: int,
    oversample_ratio: float,
    importance_sample_ratio: float,
    *,
    extents: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw training points, biased towards uncertain places.

    Over-generation: ``oversample_ratio * num_points`` uniform candidates. Importance: the most
    uncertain of them make up ``int(importance_sample_ratio * num_points)`` points. Coverage: the
    others are fresh uniform points. The uncertainty is taken from logits sampled at the candidates,
    never sampled from an uncertainty map: midway between cells of -1 and +1 the logit is 0, most
    uncertain, though both cells score -1.

    The positional signature is that of Detectron2's PointRend, whose random draws (candidates, then
    coverage) are made in the same order.

    Args:
        coarse_logits: (N, C, H, W); pass it detached.
        uncertainty_func: (N, C, P) logits -> (N, 1, P) scores, larger is more uncertain.
        num_points: P, points per map.
        oversample_ratio: k in the paper, at least 1.
        importance_sample_ratio: beta in the paper, in [0, 1].
        extents: (N, 2), the shares of width and height of each map, from its top left corner, that
            points are drawn from; None for whole maps.
        generator: source of randomness; the default generator of the device otherwise.

    Returns:
        (N, P, 2), (x, y) in [0, 1] of the map, in at least 32 bits.
    """
    num_maps, device = len(coarse_logits), coarse_logits.device
    dtype = wide_dtype(coarse_logits)
    num_candidates = int(num_points * oversample_ratio)
    num_important = int(importance_sample_ratio * num_points)

    def draw(count: int) -> Tensor:
        drawn = torch.rand(num_maps, count, 2, dtype=dtype, device=device, generator=generator)
        return drawn if extents is None else drawn * extents[:, None]

    candidates = draw(num_candidates)
    scores = uncertainty_func(point_sample(coarse_logits, candidates))[:, 0]  # (N, k * P)
    chosen = scores.topk(num_important, dim=1).indices
    important = candidates.gather(1, chosen.unsqueeze(2).expand(-1, -1, 2))
    if num_important == num_points:
        return important
    return torch.cat((important, draw(num_points - num_important)), dim=1)


def get_uncertain_point_coords_on_grid(
    uncertainty_map: Tensor, num_points: int
) -> tuple[Tensor, Tensor]:
    """Choose the most uncertain cells of a map.

    Args:
        uncertainty_map: (N, 1, H, W) scores in at least 32 bits, larger is more uncertain.
        num_points: cells to choose per map; all cells when the map has fewer.

    Returns:
        cells: (N, P) flat cell numbers in [0, H * W), P = min(num_points, H * W), in no particular
            order.
        coords_map: (N, P, 2) centres of these cells, (x, y) in (0, 1) of the map.
    """
    scores = uncertainty_map.flatten(1)  # (N, H * W)
    count: Any = torch.sym_min(num_points, scores.shape[1])  # min() would fix an exported size
    cells = top_indices(scores, count)
    if is_exported():  # ONNX Runtime reads maps about twice as fast along their rows
        cells = cells.sort(dim=1).values
    return cells, cells_to_coords(cells, uncertainty_map.shape[-2:], scores.dtype)
