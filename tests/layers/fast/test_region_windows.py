"""Tables of the cells around regions: the values of the plain sampler, wherever a box lies."""

import pytest
import torch

from pointrend_ext.layers import box_to_px, sample_region_features
from pointrend_ext.layers.fast import RegionWindows, Window, read_taps, region_window

INF, NAN = float("inf"), float("nan")
SIZE_HW = (9, 13)  # of the map
# in units of a stride of 4: the map covers 52 x 36 pixels
BOXES = {
    "inside": [5.0, 6.5, 30.0, 21.0],
    "no area": [17.0, 9.0, 17.0, 9.0],
    "no width": [17.0, 3.0, 17.0, 29.0],
    "on the corner": [0.0, 0.0, 52.0, 36.0],
    "partly outside": [-14.0, 20.0, 14.0, 44.0],
    "beyond right": [60.0, 3.0, 70.0, 9.0],
    "far beyond": [-5000.0, -5000.0, -4000.0, -4100.0],
    "just beyond": [53.9, 5.0, 54.1, 9.0],
    "larger than the map": [-512.0, -256.0, 768.0, 512.0],
    "reversed": [30.0, 21.0, 5.0, 6.5],
    "reversed columns": [44.0, 6.0, 11.0, 12.0],
}


def boxes_of(images, scale=1.0):
    """All boxes and random ones, dealt out to images."""
    drawn = 90 * torch.rand(100, 4, generator=torch.Generator().manual_seed(5)) - 20
    boxes = torch.cat((torch.tensor(list(BOXES.values())), drawn)) * scale
    return [boxes[n::images] for n in range(images)]


def tables_of(feature, stride, boxes_px):
    """``cut`` and ``whole`` of the same regions."""
    images = [n for n, boxes in enumerate(boxes_px) for _ in boxes]
    boxes = torch.cat(boxes_px).tolist()
    windows = [region_window(box, stride, tuple(feature.shape[-2:])) for box in boxes]
    return {
        "cut": RegionWindows.cut(feature, stride, images, windows),
        "whole": RegionWindows.whole(feature, stride, images),
    }


def read(table, coords_px):
    """(R, C, P), as the plain sampler returns it."""
    values = read_taps(table.rows, *table.taps(coords_px))
    return values.view(*coords_px.shape[:2], -1).transpose(1, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_images", [1, 3])
@pytest.mark.parametrize("stride", [4, 8])
def test_equals_the_plain_sampler(rng, stride, num_images, dtype):
    feature = torch.randn(num_images, 5, *SIZE_HW, generator=rng, dtype=dtype)
    boxes_px = [boxes.to(dtype) for boxes in boxes_of(num_images, stride / 4)]
    coords_box = torch.rand(len(BOXES) + 100, 40, 2, generator=rng, dtype=dtype)
    coords_box[:, :4] = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])  # the corners
    expected = sample_region_features([feature], [stride], boxes_px, coords_box)
    assert expected.abs().amax((1, 2)).count_nonzero() >= 80
    coords_px = box_to_px(coords_box, torch.cat(boxes_px))
    before = feature.clone()
    tables = tables_of(feature, stride, boxes_px)
    assert torch.equal(feature, before)
    for table in tables.values():
        tolerance = 1e-12 if dtype == torch.float64 else 1e-6
        torch.testing.assert_close(read(table, coords_px), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("value", [INF, -INF, NAN, 1e30])
@pytest.mark.parametrize("side", range(4))
def test_a_box_that_is_no_box_harms_no_other(rng, value, side):
    feature = torch.randn(1, 3, *SIZE_HW, generator=rng)
    boxes = torch.tensor([BOXES["inside"]] * 3)
    boxes[1, side] = value
    if value != 1e30:
        assert region_window(boxes[1].tolist(), 4, SIZE_HW) == Window(0, 0, 0, 0)
    coords_box = torch.rand(3, 20, 2, generator=rng)
    coords_px = box_to_px(coords_box, boxes)
    expected = sample_region_features([feature], [4], [boxes], coords_box)
    for table in tables_of(feature, 4, [boxes]).values():
        got = read(table, coords_px)
        torch.testing.assert_close(got[::2], expected[::2], rtol=0, atol=1e-6)


def test_what_is_no_number_stays_in_its_image(rng):
    feature = torch.randn(3, 3, *SIZE_HW, generator=rng)
    feature[::2] = NAN
    boxes = torch.tensor([*BOXES.values(), BOXES["far beyond"]])
    boxes_px = [boxes[:1], boxes, boxes[:1]]
    coords_px = box_to_px(torch.rand(14, 20, 2, generator=rng), torch.cat(boxes_px))
    for name, table in tables_of(feature, 4, boxes_px).items():
        got = read(table, coords_px)
        assert got[[0, -1]].isnan().any(), name
        assert got[1:-1].isfinite().all(), name


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("name", ["beyond right", "far beyond"])
def test_boxes_beyond_the_map_need_no_cells_and_read_zeros(rng, name, count):
    assert region_window(BOXES[name], 4, SIZE_HW).num_cells == 0
    boxes_px = [torch.tensor([BOXES[name]] * count).view(-1, 4)]
    coords_px = box_to_px(torch.rand(count, 9, 2, generator=rng), boxes_px[0])
    for table in tables_of(torch.randn(1, 3, *SIZE_HW, generator=rng), 4, boxes_px).values():
        values = read_taps(table.rows, *table.taps(coords_px))
        assert torch.equal(values, torch.zeros(9 * count, 3))


def test_window_by_hand():
    # centres of cells at 2, 6, 10, ...: points of [9, 21] read columns 1 to 5, and one more
    assert region_window([9, 2, 21, 6], 4, (9, 13)) == Window(top=0, left=0, height=4, width=7)
    assert region_window([17, 2, 21, 6], 4, (9, 13)) == Window(top=0, left=2, height=4, width=5)
    assert region_window([21, 6, 17, 2], 4, (9, 13)) == region_window([17, 2, 21, 6], 4, (9, 13))
    assert region_window([40, 30, 99, 99], 4, (9, 13)) == Window(top=6, left=8, height=3, width=5)


def test_a_window_is_no_larger_than_its_box_and_a_margin(rng):
    corners = 300 * torch.rand(200, 4, generator=rng) - 60
    for box in corners.tolist():
        window = region_window(box, 4, (25, 42))
        assert window.height <= abs(box[3] - box[1]) / 4 + 5
        assert window.width <= abs(box[2] - box[0]) / 4 + 5
        assert window.top + window.height <= 25
        assert window.left + window.width <= 42


def test_cut_copies_the_windows_alone(rng):
    feature = torch.randn(1, 3, 50, 50, generator=rng)
    boxes_px = [torch.tensor([[20.0, 20, 40, 40], [100, 100, 110, 130]])]
    windows = [region_window(box, 4, (50, 50)) for box in boxes_px[0].tolist()]
    table = tables_of(feature, 4, boxes_px)["cut"]
    assert len(table.rows) == sum(w.num_cells for w in windows) + 1
    assert len(table.rows) < 200


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_features_are_interpolated_in_32_bits(rng, dtype):
    feature = torch.randn(1, 3, *SIZE_HW, generator=rng).to(dtype)
    boxes_px = boxes_of(1)
    coords_px = box_to_px(torch.rand(len(BOXES) + 100, 20, 2, generator=rng), boxes_px[0])
    exact = tables_of(feature.float(), 4, boxes_px)
    for name, table in tables_of(feature, 4, boxes_px).items():
        assert table.rows.dtype == torch.float32
        assert torch.equal(read(table, coords_px), read(exact[name], coords_px))
