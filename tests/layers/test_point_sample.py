"""Sampling maps: by hand, against a loop, and its gradients."""

import pytest
import torch
from torch.nn import functional as F

from pointrend_ext.layers import cell_centers, point_sample, sample_region_features

MAP = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])  # 2 rows, 3 columns


@pytest.mark.parametrize(
    ("x", "y", "value", "options"),
    [
        (1 / 6, 1 / 4, 1.0, {}),  # centre of the first cell
        (5 / 6, 3 / 4, 6.0, {}),  # centre of the last one
        (1 / 2, 1 / 2, 3.5, {}),  # halfway between two rows
        (0.0, 1 / 4, 0.5, {}),  # on the left edge half is left
        (0.0, 0.0, 0.25, {}),  # in a corner a quarter
        (-1 / 6, 1 / 4, 0.0, {}),  # a cell outside nothing
        (1e6, -1e6, 0.0, {}),
        (0.0, 0.0, 1.0, {"padding_mode": "border"}),
        (2.0, 0.75, 6.0, {"padding_mode": "border"}),
        (0.34, 0.6, 5.0, {"mode": "nearest"}),
    ],
)
def test_value_by_hand(x, y, value, options):
    got = point_sample(MAP, torch.tensor([[[x, y]]], dtype=torch.float64), **options)
    assert got.item() == pytest.approx(value, abs=1e-5)


def strided(x):
    return x.repeat_interleave(2, dim=-1)[..., ::2]


LAYOUTS = [torch.clone, strided, lambda x: x.to(memory_format=torch.channels_last)]


@pytest.mark.parametrize("channels", [3, 32])
@pytest.mark.parametrize("size_hw", [(1, 1), (5, 4)])
@pytest.mark.parametrize("arrange", LAYOUTS, ids=["contiguous", "strided", "channels_last"])
def test_equals_a_loop_inside_and_outside(oracle, rng, arrange, size_hw, channels):
    feature = torch.randn(2, channels, *size_hw, generator=rng, dtype=torch.float64)
    coords = torch.rand(2, 60, 2, generator=rng, dtype=torch.float64) * 2 - 0.5
    got = point_sample(arrange(feature), strided(coords.transpose(1, 2)).transpose(1, 2))
    expected = [
        [[oracle.bilinear(plane, *p) for p in points] for plane in planes]
        for planes, points in zip(feature.numpy(), coords.tolist(), strict=True)
    ]
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_a_grid_of_points_keeps_its_shape(rng):
    feature = torch.randn(2, 3, 4, 5, generator=rng)
    coords = torch.rand(2, 6, 7, 2, generator=rng)
    flat = point_sample(feature, coords.flatten(1, 2))
    assert torch.equal(point_sample(feature, coords), flat.view(2, 3, 6, 7))


@pytest.mark.parametrize("channels", [3, 32])
@pytest.mark.parametrize(("maps", "points"), [(0, 5), (2, 0), (0, 0)])
def test_no_map_and_no_point(channels, maps, points):
    got = point_sample(torch.rand(maps, channels, 4, 4), torch.rand(maps, points, 2))
    assert got.shape == (maps, channels, points)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_keeps_the_type_of_the_features(dtype):
    for coords_dtype in (torch.float32, torch.float64):
        got = point_sample(MAP.to(dtype), torch.tensor([[[0.5, 0.5]]], dtype=coords_dtype))
        assert got.dtype == dtype
        assert got.item() == 3.5


def test_half_precision_reads_the_right_cell_of_a_wide_map():
    # cell 2001 of 2048 columns cannot be named by a 16-bit coordinate, whose steps are 1/1024
    ramp = (torch.arange(2048) % 2).to(torch.float16).view(1, 1, 1, -1)
    coords = cell_centers((1, 2048), dtype=torch.float32, device=torch.device("cpu"))[None]
    torch.testing.assert_close(point_sample(ramp, coords)[0, 0], ramp.flatten())


def test_gradcheck_of_features_and_coordinates(rng):
    feature = torch.randn(2, 2, 3, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    coords = torch.rand(2, 5, 2, generator=rng, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(point_sample, (feature, coords))


# ---- regions

BOXES = [
    torch.tensor([[2.0, 1.0, 14.0, 9.0], [5.0, 5.0, 5.0, 5.0], [-8.0, 4.0, 4.0, 30.0]]),
    torch.zeros(0, 4),
    torch.tensor([[-1024.0, -512.0, 2048.0, 1024.0]]),
]


def test_regions_equal_a_loop_over_images_levels_and_boxes(oracle, rng):
    maps = [
        torch.randn(3, channels, 16 // stride, 24 // stride, generator=rng, dtype=torch.float64)
        for channels, stride in ((3, 2), (2, 4), (1, 8))
    ]
    coords = torch.rand(4, 6, 2, generator=rng, dtype=torch.float64)
    got = sample_region_features(maps, (2, 4, 8), BOXES, coords)

    images = [image for image, boxes in enumerate(BOXES) for _ in boxes]
    expected = torch.zeros(4, 6, 6, dtype=torch.float64)
    for region, (image, box) in enumerate(zip(images, torch.cat(BOXES).tolist(), strict=True)):
        for point, (u, v) in enumerate(coords[region].tolist()):
            x, y = box[0] + u * (box[2] - box[0]), box[1] + v * (box[3] - box[1])
            # every map covers 24 x 16 pixels
            planes = [plane for m in maps for plane in m[image].numpy()]
            for channel, plane in enumerate(planes):
                expected[region, channel, point] = oracle.bilinear(plane, x / 24, y / 16)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


def test_no_region_in_the_whole_batch_keeps_the_graph():
    feature = torch.rand(2, 3, 4, 4, requires_grad=True)
    got = sample_region_features([feature], (4,), [torch.zeros(0, 4)] * 2, torch.rand(0, 7, 2))
    assert got.shape == (0, 3, 7)
    got.sum().backward()
    assert torch.equal(feature.grad, torch.zeros_like(feature))


@pytest.mark.parametrize("channels", [16, 32, 48, 40])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
def test_groups_of_channels_change_no_bit(rng, channels, mode, padding_mode):
    features = torch.randn(3, channels, 6, 9, generator=rng)
    coords = 1.4 * torch.rand(3, 25, 2, generator=rng) - 0.2
    weights = torch.randn(3, channels, 25, generator=rng)
    one, other = features.clone().requires_grad_(), features.clone().requires_grad_()
    got = point_sample(one, coords, mode=mode, padding_mode=padding_mode)
    grid = 2 * coords.unsqueeze(2) - 1
    expected = F.grid_sample(other, grid, mode, padding_mode, align_corners=False).squeeze(3)
    for sampled in (got, expected):
        (sampled * weights).sum().backward()
    assert torch.equal(got, expected)
    assert torch.equal(one.grad, other.grad)
