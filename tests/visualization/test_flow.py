"""Flows as colours and arrows."""

from __future__ import annotations

import numpy as np
import pytest

from pointrend_ext.visualization import draw_flow, flow_colors, flow_panel, flow_wheel
from pointrend_ext.visualization.flow import flow_length


def constant_flow(dx, dy, size_hw=(6, 8)):
    flow = np.zeros((2, *size_hw), np.float32)
    flow[0], flow[1] = dx, dy
    return flow


@pytest.mark.parametrize(
    ("vector", "color"),
    [
        ((0, 0), (255, 255, 255)),
        ((2, 0), (255, 0, 0)),
        ((-2, 0), (0, 255, 255)),
        ((0, 2), (128, 255, 0)),
        ((0, -2), (128, 0, 255)),
        ((1, 0), (255, 128, 128)),
        ((9, 0), (255, 0, 0)),  # longer than the full length
    ],
)
def test_colors_of_directions(vector, color):
    colors = flow_colors(constant_flow(*vector), max_px=2.0)
    assert colors.dtype == np.uint8
    assert colors.shape == (6, 8, 3)
    assert np.abs(colors.astype(int) - color).max() <= 1


def test_the_length_ignores_the_longest_hundredth():
    flow = constant_flow(3, 4, (20, 20))
    flow[:, 0, 0] = 1000
    assert flow_length(flow) == pytest.approx(5)
    assert flow_length(constant_flow(0, 0)) > 0
    np.testing.assert_array_equal(flow_colors(flow), flow_colors(flow, max_px=5.0))


def test_the_wheel_shows_what_the_colors_mean():
    wheel = flow_wheel(64)
    assert (wheel[0, 0] == 255).all()
    assert (wheel[31:33, 31:33] >= 245).all()
    right, down = wheel[32, 62].astype(int), wheel[62, 32].astype(int)
    assert np.abs(right - (255, 0, 0)).max() <= 20
    assert np.abs(down - (128, 255, 0)).max() <= 20


def arrow_pixels(flow, image_hw, spacing_px):
    """Rows and columns where arrows change a picture."""
    image = np.full((*image_hw, 3), 200, np.uint8)
    plain = draw_flow(image, flow, opacity=0.0, spacing_px=0)
    drawn = draw_flow(image, flow, opacity=0.0, spacing_px=spacing_px)
    return np.nonzero((plain != drawn).any(2))


def test_arrows_are_true_to_scale():
    """One arrow of a 6 x 8 flow over 48 x 72 pixels, which enlarge it 9 times in x, 8 in y."""
    rows, columns = arrow_pixels(constant_flow(2, 0), (48, 72), 50)
    assert abs(columns.max() - (25 + 18)) <= 1
    assert abs(columns.min() - 25) <= 1
    assert np.abs(rows - 25).max() <= 9
    rows, columns = arrow_pixels(constant_flow(0, -2), (48, 72), 50)
    assert abs(rows.min() - (25 - 16)) <= 1
    assert abs(rows.max() - 25) <= 1


def test_no_motion_has_no_arrows():
    rows, _ = arrow_pixels(constant_flow(0, 0), (48, 96), 8)
    assert rows.size == 0


def test_colors_lie_where_the_flow_is():
    flow = constant_flow(0, 0, (2, 4))
    flow[0, 1, 2] = 1
    image = np.zeros((20, 40, 3), np.uint8)
    drawn = draw_flow(image, flow, max_px=1.0, opacity=1.0, spacing_px=0)
    red = (drawn == (255, 0, 0)).all(2)
    assert red[10:, 20:30].all()
    assert red.sum() == 100
    assert not image.any()  # the input is not changed


def test_the_wheel_is_in_the_corner():
    image = np.zeros((60, 90, 3), np.uint8)
    drawn = draw_flow(image, constant_flow(0, 0), opacity=0.0, spacing_px=0)
    wheel = flow_wheel(10)
    np.testing.assert_array_equal(drawn[-5, -10:], wheel[5])
    assert not drawn[:50].any()


def test_panel():
    image = np.full((60, 80, 3), 90, np.uint8)
    flows = {"fpn_align2.high": constant_flow(1, 0), "fpn_align3.high": constant_flow(0, 1)}
    panel = flow_panel(image, flows)
    assert panel.shape[1] == 2 * 80 + 8
    single = flow_panel(image, {"fpn_align2.high": flows["fpn_align2.high"]})
    np.testing.assert_array_equal(panel[: len(single)], single)
    assert len(panel) == 2 * len(single) + 8


def test_mistakes():
    image = np.zeros((6, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=r"flow has shape \(6, 8, 2\); it must be \(2, h, w\)"):
        flow_colors(np.zeros((6, 8, 2)))
    with pytest.raises(ValueError, match="max_px is 0"):
        draw_flow(image, constant_flow(1, 1), max_px=0)
    with pytest.raises(ValueError, match="draw_flow: image has shape"):
        draw_flow(image[..., 0], constant_flow(1, 1))
    with pytest.raises(ValueError, match="got no flow"):
        flow_panel(image, {})
