"""Flows as colours and as arrows."""

import numpy as np
import pytest

from pointrend_ext.visualization import draw_flow, flow_colors, flow_panel
from pointrend_ext.visualization.flow import flow_length, paint_arrows, paint_wheel


def constant_flow(dx, dy, size_hw=(6, 8)):
    return np.broadcast_to(np.array([dx, dy], np.float32)[:, None, None], (2, *size_hw)).copy()


@pytest.mark.parametrize(
    ("vector", "color"),
    [
        ((0, 0), (255, 255, 255)),
        ((2, 0), (255, 0, 0)),
        ((0, 2), (255, 230, 0)),
        ((-2, 0), (0, 209, 255)),
        ((0, -2), (88, 0, 255)),
        ((1, 0), (255, 128, 128)),
        ((9, 0), (255, 0, 0)),  # longer than the full length
    ],
)
def test_colors_of_directions(vector, color):
    flow = constant_flow(2, 0, (20, 20))
    flow[:, 0, 0] = vector  # one of 400, so that the full length stays 2
    colors = flow_colors(flow)
    assert (colors.dtype, colors.shape) == (np.uint8, (20, 20, 3))
    assert np.abs(colors[0, 0].astype(int) - color).max() <= 12
    assert np.abs(colors[1:].astype(int) - (255, 0, 0)).max() <= 12


def test_the_length_ignores_the_longest_hundredth():
    flow = constant_flow(3, 4, (20, 20))
    flow[:, 0, 0] = 1000
    assert flow_length(flow) == pytest.approx(5)
    assert flow_length(constant_flow(0, 0)) > 0
    assert (flow_colors(flow)[1:] == flow_colors(constant_flow(3, 4))[0, 0]).all()


def test_the_wheel_shows_what_the_colors_mean():
    canvas = np.full((80, 90, 3), 7, np.uint8)
    paint_wheel(canvas, 64)
    wheel = canvas[-64:, -64:]
    assert (canvas[:-64] == 7).all()
    assert (canvas[:, :-64] == 7).all()
    assert (wheel[0, 0] == 7).all()  # outside the circle
    assert (wheel[31:33, 31:33] >= 240).all()
    for place, vector in (((32, 62), (1, 0)), ((62, 32), (0, 1)), ((32, 1), (-1, 0))):
        color = flow_colors(constant_flow(*vector))[0, 0].astype(int)
        assert np.abs(wheel[place] - color).max() <= 20


def arrow_pixels(flow, image_hw, spacing_px):
    """Rows and columns where arrows change a picture."""
    canvas = np.full((*image_hw, 3), 200, np.uint8)
    paint_arrows(canvas, flow, spacing_px)
    return np.nonzero((canvas != 200).any(2))


def test_arrows_are_true_to_scale():
    """One arrow of a 6 x 8 flow over 48 x 72 pixels, which enlarge it 9 times in x, 8 in y."""
    rows, columns = arrow_pixels(constant_flow(2, 0), (48, 72), 50)
    assert (columns.min(), columns.max()) == pytest.approx((25, 25 + 18), abs=1)
    assert np.abs(rows - 25).max() <= 9
    rows, _ = arrow_pixels(constant_flow(0, -2), (48, 72), 50)
    assert (rows.min(), rows.max()) == pytest.approx((25 - 16, 25), abs=1)
    assert arrow_pixels(constant_flow(0, 0), (48, 96), 8)[0].size == 0


def test_drawing_has_colors_arrows_and_the_wheel_where_the_flow_is():
    flow = constant_flow(0, 0, (2, 4))
    flow[0, 1, 2] = 0.05
    image = np.zeros((200, 400, 3), np.uint8)
    expected = np.full_like(image, 128)  # half of white, as 0 rounds away from odd halves
    expected[100:, 200:300] = np.rint(flow_colors(flow)[1, 2] / 2)
    paint_arrows(expected, flow, 10)
    paint_wheel(expected, 33)
    np.testing.assert_array_equal(draw_flow(image, flow), expected)
    assert not image.any()  # the input is not changed


def test_panel():
    image, flow = np.full((60, 80, 3), 90, np.uint8), constant_flow(1, 0)
    panel = flow_panel(image, {"fpn_align2.high": flow, "fpn_align3.high": constant_flow(0, 1)})
    assert panel.shape[1] == 2 * 80 + 8
    single = flow_panel(image, {"fpn_align2.high": flow})
    np.testing.assert_array_equal(panel[: len(single)], single)
    assert len(panel) == 2 * len(single) + 8
    np.testing.assert_array_equal(single[-60:, :80], draw_flow(image, flow))


def test_mistakes():
    with pytest.raises(ValueError, match=r"flow has shape \(6, 8, 2\); it must be \(2, h, w\)"):
        flow_colors(np.zeros((6, 8, 2)))
    with pytest.raises(ValueError, match="draw_flow: image has shape"):
        draw_flow(np.zeros((6, 8), np.uint8), constant_flow(1, 1))
