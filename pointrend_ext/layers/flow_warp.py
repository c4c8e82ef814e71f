"""Reading a whole map at displaced pixel centres: the one dense warp of the package.

A flow says, for each pixel of the output, how far from that pixel's centre the map is read. The
pixels are those of the output: (dx, dy) = (1, 0) reads what lies one output pixel to the right,
whatever the size of the map. Both maps cover the same extent of the image.

Published feature alignment uses two other grids, kept for weights that were trained with them:
"sfnet" (SFNet, Li et al., ECCV 2020; lxtGH/SFSegNets) and "alignseg" (AlignSeg, Huang et al., TPAMI
2021; speedinghzl/AlignSeg). Both spread the output over the corners of [-1, 1]. At zero flow
"sfnet" resizes with the corners held, and "alignseg" is no resizing at all: it darkens the border.
A unit of "sfnet" is about half a pixel of the output, of "alignseg" half a cell of the map that is
read.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pointrend_ext.layers.precision import at_least_float32

FLOW_COORDS = ("pixel", "sfnet", "alignseg")


def check_flow_coords(coords: str, who: str) -> None:
    """Refuse an unknown grid.

    Args:
        coords: its name.
        who: for the message, what asks for it.

    Raises:
        ValueError: it is not one of ``FLOW_COORDS``.
    """
    if coords not in FLOW_COORDS:
        raise ValueError(
            f"{who}: COORDS is {coords!r}. Choose from {FLOW_COORDS}; 'pixel' is right, the others "
            "are for published weights."
        )


def flow_warp(features: Tensor, flow_px: Tensor, *, coords: str = "pixel") -> Tensor:
    """Sample a map bilinearly at every output pixel's centre moved by ``flow_px``.

    Zero flow equals bilinear resizing to the size of the flow (``align_corners=False``): in float32
    its positions are off by up to 1e-7 of the side of the map. Outside the map its border repeats.

    The interpolation runs in at least 32 bits, since a 16-bit coordinate cannot address a wide map.

    Args:
        features: (N, C, h, w), any floating-point type.
        flow_px: (N, 2, H, W), (dx, dy) in output pixels; in the units of the grid for another
            ``coords``.
        coords: "pixel"; "sfnet" or "alignseg" reproduce a published grid, which is zero outside the
            map.

    Returns:
        (N, C, H, W), in the type of ``features``.

    Raises:
        ValueError: unknown ``coords``.

    Example:
        >>> ramp = torch.arange(4.0).view(1, 1, 1, 4)
        >>> flow_warp(ramp, torch.ones(1, 2, 1, 4))
        tensor([[[[1., 2., 3., 3.]]]])
    """
    check_flow_coords(coords, "flow_warp")
    wide = at_least_float32(features)
    flow = flow_px.to(wide.dtype).permute(0, 2, 3, 1)  # (N, H, W, 2)
    warped = F.grid_sample(
        wide,
        _grid(flow, features.shape[-2:], coords),
        mode="bilinear",
        padding_mode="border" if coords == "pixel" else "zeros",
        align_corners=coords == "sfnet",
    )
    return warped.to(features.dtype)


def flow_in_px(flow: Tensor, source_hw: Sequence[int], *, coords: str) -> Tensor:
    """Convert a flow to pixels of its output.

    Args:
        flow: (N, 2, H, W), as ``flow_warp`` takes it with these ``coords``.
        source_hw: h and w of the map that it reads.
        coords: see ``flow_warp``.

    Returns:
        (N, 2, H, W), (dx, dy): one pixel is the distance at which neighbours of the output read.
    """
    if coords == "pixel":
        return flow
    height, width = flow.shape[-2:]
    rows, columns = _divisor_hw((height, width), source_hw, coords)
    # Neighbours are 2 / (W - 1) apart on the corner grid.
    unit_px = flow.new_tensor([(width - 1) / (2 * columns), (height - 1) / (2 * rows)])
    return flow * unit_px[:, None, None]


def resize_bilinear(features: Tensor, size_hw: Sequence[int], *, coords: str = "pixel") -> Tensor:
    """Resize a map as the networks around a warp do.

    Args:
        features: (N, C, h, w).
        size_hw: H and W.
        coords: "pixel" keeps pixel centres at half-integers; the published networks hold the
            corners instead.

    Returns:
        (N, C, H, W).
    """
    return F.interpolate(features, tuple(size_hw), mode="bilinear", align_corners=coords != "pixel")


def _divisor_hw(out_hw: Sequence[int], source_hw: Sequence[int], coords: str) -> Sequence[int]:
    """Return what a published grid divides flows by: the size of its output or of its source."""
    return out_hw if coords == "sfnet" else source_hw


def _grid(flow: Tensor, source_hw: Sequence[int], coords: str) -> Tensor:
    """(N, H, W, 2): where in [-1, 1] of its source a flow (N, H, W, 2) reads."""
    height, width = flow.shape[1:3]
    columns = torch.arange(width, dtype=flow.dtype, device=flow.device)
    rows = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None]
    dx, dy = flow.unbind(-1)
    if coords == "pixel":
        # One division at the end: it rounds once, so that zero flow is close to the identity.
        x, y = (2 * (columns + dx) + 1) / width - 1, (2 * (rows + dy) + 1) / height - 1
    else:
        unit_y, unit_x = _divisor_hw((height, width), source_hw, coords)
        steps_x: Any = torch.sym_max(width - 1, 1)  # max() would fix an exported size
        steps_y: Any = torch.sym_max(height - 1, 1)
        x = 2 * columns / steps_x - 1 + dx / unit_x
        y = 2 * rows / steps_y - 1 + dy / unit_y
    return torch.stack([x, y], dim=-1)
