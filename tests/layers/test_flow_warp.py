"""The dense warp: identity, one pixel, published grids against their formulas, export."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pointrend_ext.layers import FLOW_COORDS, flow_in_px, flow_warp, resize_bilinear

SIZES = [
    ((4, 8), (4, 8)),
    ((25, 42), (50, 84)),
    ((13, 21), (25, 42)),
    ((3, 3), (17, 10)),
    ((9, 14), (5, 4)),
    ((1, 1), (3, 2)),
    ((64, 96), (128, 192)),
    ((97, 131), (194, 262)),
    ((100, 167), (200, 334)),
]
LARGE = [*SIZES[-2:], ((200, 334), (400, 668)), ((63, 107), (125, 213)), ((33, 65), (129, 257))]


def index_of(coords, position, flow, out_size, in_size):
    """Index that an output index with a flow reads, along one axis, from the formulas."""
    if coords == "pixel":  # through the plane: centre, shift, then the other grid's cells
        return (position + 0.5 + flow) / out_size * in_size - 0.5
    corner = 2 * position / (out_size - 1) - 1 if out_size > 1 else -1
    if coords == "sfnet":  # grid_sample with align_corners=True
        return (corner + flow / out_size + 1) / 2 * (in_size - 1)
    return ((corner + flow / in_size + 1) * in_size - 1) / 2  # align_corners=False


def warp_loops(bilinear, features, flow, coords):
    out = torch.zeros(*features.shape[:2], *flow.shape[-2:], dtype=torch.float64)
    (height, width), (h, w) = flow.shape[-2:], features.shape[-2:]
    for n, c, i, j in torch.cartesian_prod(*(torch.arange(s) for s in out.shape)).tolist():
        dx, dy = flow[n, :, i, j].tolist()
        column, row = index_of(coords, j, dx, width, w), index_of(coords, i, dy, height, h)
        if coords == "pixel":  # borders repeat; elsewhere there is nothing outside
            column, row = min(max(column, 0), w - 1), min(max(row, 0), h - 1)
        out[n, c, i, j] = bilinear(features[n, c], (column + 0.5) / w, (row + 0.5) / h)
    return out


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize(("size_hw", "out_hw"), SIZES)
def test_zero_flow_is_bilinear_resizing(rng, size_hw, out_hw, dtype, tolerance):
    features = torch.rand(2, 3, *size_hw, generator=rng, dtype=dtype)
    got = flow_warp(features, torch.zeros(2, 2, *out_hw))
    expected = F.interpolate(features, out_hw, mode="bilinear", align_corners=False)
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(resize_bilinear(features, out_hw), expected, rtol=0, atol=0)


@pytest.mark.parametrize(("size_hw", "out_hw"), LARGE)
def test_zero_flow_reads_within_rounding_of_the_right_place(rng, size_hw, out_hw):
    """A unit in the last place of a float32 position, per axis, where values differ by up to 1.

    The sampler computes positions in float32: sides that are no powers of two cannot do better, and
    float32's own bilinear resizing is as far off at ratios other than two.
    """
    features = torch.rand(1, 4, *size_hw, generator=rng)
    got = flow_warp(features, torch.zeros(1, 2, *out_hw))
    expected = F.interpolate(features.double(), out_hw, mode="bilinear", align_corners=False)
    assert (got - expected).abs().max() < 2**-23 * sum(size_hw)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("coords", FLOW_COORDS)
@pytest.mark.parametrize(
    ("size_hw", "out_hw"), [((3, 5), (6, 10)), ((4, 3), (7, 5)), ((2, 3), (1, 4))]
)
def test_every_grid_is_its_formula(oracle, rng, coords, size_hw, out_hw, dtype):
    features = torch.rand(2, 2, *size_hw, generator=rng, dtype=torch.float64)
    flow = 2 * torch.randn(2, 2, *out_hw, generator=rng, dtype=torch.float64)
    got = flow_warp(features.to(dtype), flow.to(dtype), coords=coords)
    expected = warp_loops(oracle.bilinear, features, flow, coords)
    atol = 1e-6 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("coords", FLOW_COORDS)
def test_gradients(rng, coords):
    features = torch.randn(1, 2, 3, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    # away from cell centres, where bilinear interpolation has a kink
    flow = 0.2 * torch.rand(1, 2, 5, 6, generator=rng, dtype=torch.float64) + 0.05
    flow.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, f: flow_warp(x, f, coords=coords), (features, flow))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_on_a_wide_map(rng, dtype):
    features = torch.randn(1, 1, 2, 700, generator=rng).to(dtype)
    flow = torch.ones(1, 2, 2, 700, dtype=dtype)
    flow[:, 1] = 0
    got = flow_warp(features, flow)
    assert got.dtype == dtype
    torch.testing.assert_close(got[..., :-1], features[..., 1:], rtol=1e-2, atol=1e-3)


def test_a_flow_in_16_bits_reads_32_bit_features_in_32(rng):
    """As under autocast, where a convolution predicts the flow."""
    features = torch.randn(1, 2, 5, 300, generator=rng)
    flow = torch.randn(1, 2, 9, 600, generator=rng).bfloat16()
    got = flow_warp(features, flow)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, flow_warp(features, flow.float()), rtol=0, atol=0)


@pytest.mark.parametrize("coords", FLOW_COORDS)
@pytest.mark.parametrize("source_hw", [(3, 3), (8, 12), (16, 24)])
def test_a_flow_of_a_pixel_reads_what_the_neighbour_reads(rng, coords, source_hw):
    """For every grid: the flow that ``flow_in_px`` calls (1, -1) shifts what zero flow reads."""
    features = torch.randn(1, 2, *source_hw, generator=rng, dtype=torch.float64)
    flow = torch.ones(1, 2, 16, 24, dtype=torch.float64)
    flow[:, 1] = -1
    flow = flow / flow_in_px(flow.abs(), source_hw, coords=coords)
    plain = flow_warp(features, torch.zeros_like(flow), coords=coords)
    moved = flow_warp(features, flow, coords=coords)
    torch.testing.assert_close(moved[..., 1:, :-1], plain[..., :-1, 1:])


class Warp(nn.Module):
    def __init__(self, coords):
        super().__init__()
        self.coords = coords

    def forward(self, features, flow):
        return flow_warp(features, flow, coords=self.coords)


@pytest.mark.skipif(torch.__version__.startswith("2.4."), reason="cannot prove ceil(x / 1) = x")
@pytest.mark.parametrize("coords", FLOW_COORDS)
def test_exported_at_one_size_it_is_right_at_another(rng, coords):
    names = ("h", "w"), ("height", "width")
    shapes = [{2: torch.export.Dim(a, min=2), 3: torch.export.Dim(b, min=2)} for a, b in names]
    example = torch.randn(1, 2, 4, 6), torch.randn(1, 2, 8, 12)
    program = torch.export.export(Warp(coords), example, dynamic_shapes=tuple(shapes)).module()
    features = torch.randn(1, 2, 7, 5, generator=rng)
    flow = torch.randn(1, 2, 9, 21, generator=rng)
    torch.testing.assert_close(program(features, flow), flow_warp(features, flow, coords=coords))


def test_an_unknown_grid_is_an_error():
    with pytest.raises(ValueError, match=r"'corner'. Choose from \('pixel', 'sfnet', 'alignseg'\)"):
        flow_warp(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, 2), coords="corner")
