"""Reading maps at points: the only place of the package that samples a map at given coordinates."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.layers.coordinates import box_to_px, px_to_map
from pointrend_ext.layers.device_rule import runs_cpu_form
from pointrend_ext.layers.precision import at_least_float32

_GROUP = 16
"""Channels sampled at a time on a CPU. ``grid_sample`` walks through all channels of a point before
the next point, and shares out nothing but images among threads: with 16 groups of 16 channels as
16 images 8192 points take 9 ms instead of 29 ms on two threads, and 18 ms on one."""

_LARGE_MAP = 2**18
"""Values from which a map, 1 MiB then, does not stay in the cache of a core."""


def point_sample(
    features: Tensor,
    coords_map: Tensor,
    *,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
) -> Tensor:
    """Read a map at points given in [0, 1]^2 of its extent.

    A point at a cell centre returns the cell. With ``padding_mode="zeros"`` the map is continued by
    zeros, so that a point on its edge keeps half of the edge cell: published weights were trained
    with that (reference: Detectron2's ``point_sample``, whose positional signature this function
    keeps).

    The interpolation runs in at least 32 bits, since a 16-bit coordinate cannot address a wide map.

    Args:
        features: (N, C, H, W), any floating-point type.
        coords_map: (N, P, 2) or (N, A, B, 2), (x, y) in [0, 1] of the map.
        mode: "bilinear" or "nearest".
        padding_mode: "zeros" or "border".
        align_corners: keep False; the pixel conventions of the package rest on it.

    Returns:
        (N, C, P) or (N, C, A, B), in the type of ``features``.

    Example:
        >>> point_sample(torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[0.5, 0.5]]]))
        tensor([[[2.]]])
    """
    is_flat = coords_map.dim() == 3
    grid = 2 * (coords_map.unsqueeze(2) if is_flat else coords_map) - 1
    sampled = _sample(features, grid, mode, padding_mode, align_corners)
    return sampled.squeeze(3) if is_flat else sampled


def point_sample_each(maps: Sequence[Tensor], coords_map: Tensor) -> Iterator[Tensor]:
    """Read several maps at the same points, one after the other.

    Args:
        maps: each (N, C_m, H_m, W_m).
        coords_map: (N, P, 2), (x, y) in [0, 1] of all of them.

    Yields:
        What ``point_sample`` returns for each, (N, C_m, P).
    """
    grid = 2 * coords_map.unsqueeze(2) - 1
    for features in maps:
        yield _sample(features, grid, "bilinear", "zeros", False).squeeze(3)


def _sample(
    features: Tensor, grid: Tensor, mode: str, padding_mode: str, align_corners: bool
) -> Tensor:
    wide = at_least_float32(features)
    sample = _sample_by_groups if _has_groups(wide) else F.grid_sample
    sampled = sample(wide, grid.to(wide.dtype), mode, padding_mode, align_corners)
    return sampled.to(features.dtype)


def _has_groups(features: Tensor) -> bool:
    _, channels, height, width = features.shape
    return (
        runs_cpu_form(features.device)
        and channels % _GROUP == 0
        and channels * height * width >= _LARGE_MAP
        and features.is_contiguous()
    )


def _sample_by_groups(
    features: Tensor, grid: Tensor, mode: str, padding_mode: str, align_corners: bool
) -> Tensor:
    """Call ``grid_sample`` with groups of channels in the place of images."""
    num_images, channels, height, width = features.shape
    num_groups = channels // _GROUP
    grids = grid.unsqueeze(1).expand(-1, num_groups, -1, -1, -1).flatten(0, 1)
    groups = features.view(num_images * num_groups, _GROUP, height, width)
    sampled = F.grid_sample(groups, grids, mode, padding_mode, align_corners)
    return sampled.view(num_images, channels, *grid.shape[1:3])


def sample_region_features(
    features: Sequence[Tensor],
    strides: Sequence[float],
    boxes_px: Sequence[Tensor],
    coords_box: Tensor,
) -> Tensor:
    """Read feature maps of a batch at points of regions, concatenating the maps along the channels.

    Args:
        features: maps of one batch, each (N, C_m, H_m, W_m).
        strides: pixels per cell of each map.
        boxes_px: for each of the N images the boxes (R_n, 4) of its regions, in pixels. Any R_n may
            be 0.
        coords_box: (R, P, 2) in [0, 1] of the boxes, R = R_1 + ... + R_N.

    Returns:
        (R, C_1 + ... + C_M, P).
    """
    coords_px = box_to_px(coords_box, torch.cat(list(boxes_px)))
    coords_px_per_image = coords_px.split([boxes.shape[0] for boxes in boxes_px])
    per_map = []
    for feature, stride in zip(features, strides, strict=True):
        per_image = []
        # One image is not split: a graph would copy it.
        image_maps = [feature] if len(boxes_px) == 1 else feature.split(1)
        for image_map, points_px in zip(image_maps, coords_px_per_image, strict=True):
            # all regions of an image in one call: (1, C, H, W) at (1, R_n, P, 2) -> (R_n, C, P)
            coords_map = px_to_map(points_px, image_map.shape[-2:], stride)
            sampled = point_sample(image_map, coords_map[None])  # (1, C, R_n, P)
            per_image.append(sampled.squeeze(0).transpose(0, 1))
        per_map.append(_cat(per_image, dim=0))
    return _cat(per_map, dim=1)


def _cat(tensors: list[Tensor], dim: int) -> Tensor:
    """Concatenate without a copy of a single tensor."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=dim)
