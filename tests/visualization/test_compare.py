"""Panels: exact sizes, equal colours of an object, contours and windows where they should be."""

import numpy as np
import pytest

from pointrend_ext.visualization import (
    Column,
    compare_panel,
    distinct_colors,
    draw_instances,
    mark_window,
    pick_zoom_window,
    stack_rows,
    titled_columns,
    zoom_panel,
)
from pointrend_ext.visualization.compare import matching_numbers


def test_compare_panel_is_made_of_overlays(image, boxes):
    first, second = boxes((5, 5, 30, 40), (35, 50, 55, 85)), boxes((6, 5, 30, 41))
    panel = compare_panel(image, [Column("a", first), Column("b", second, None, ["x"])])
    bar = panel.shape[0] - 90
    assert panel.shape == (bar + 90, 2 * 140 + 6, 3)
    np.testing.assert_array_equal(panel[bar:, :140], draw_instances(image, masks=first))
    right = draw_instances(image, masks=second, labels=["x"])
    np.testing.assert_array_equal(panel[bar:, 146:], right)
    assert (panel[bar:, 140:146] == 255).all()
    for start in (0, 146):
        title = panel[:bar, start : start + 140]
        assert title.min() < 80
        assert (title[:, : 140 // 3] == 255).all()  # one letter, centred


def test_objects_keep_their_color_in_another_order(boxes):
    image = np.zeros((90, 140, 3), np.uint8)
    first = boxes((5, 5, 30, 40), (35, 50, 55, 85))
    second = boxes((34, 50, 55, 84), (0, 60, 10, 80), (5, 5, 29, 40))
    assert matching_numbers(first, second).tolist() == [1, 2, 0]
    assert matching_numbers(first[:1], first[[0, 0]]).tolist() == [0, 1]  # each at most once
    assert matching_numbers(boxes(), first).tolist() == [0, 1]
    assert matching_numbers(first, boxes()).tolist() == []
    assert matching_numbers(first, boxes((30, 40, 50, 60))).tolist() == [2]
    panel = compare_panel(image, [Column("a", first), Column("b", second)])[-90:]
    colors = np.rint(0.4 * distinct_colors(3).astype(float)).tolist()
    seen = panel[[20, 20, 45, 45, 5], [20, 146 + 20, 70, 146 + 70, 146 + 70]].tolist()
    assert seen == [colors[i] for i in (0, 0, 1, 1, 2)]


def test_zoom_panel_enlarges_the_window(image):
    columns = [("a", None), ("b", None)]
    panel = zoom_panel(image, columns, (10, 20, 34, 30), 5, smooth=False, title_px=12, gap_px=3)
    assert panel.shape == (12 + 50, 2 * 120 + 3, 3)
    enlarged = image[20:30, 10:34].repeat(5, axis=0).repeat(5, axis=1)
    np.testing.assert_array_equal(panel[12:, :120], enlarged)
    np.testing.assert_array_equal(panel[12:, 123:], enlarged)


GREY = np.full((90, 140, 3), 100, np.uint8)
WINDOW = (10, 20, 34, 40)


def test_zoomed_contour_is_at_the_boundary(boxes):
    (mask,) = boxes((0, 0, 90, 22))  # boundary at x = 22, that is 12 pixels into the window
    color = np.array([[250, 40, 10]], np.uint8)
    panel = zoom_panel(GREY, [("", mask)], WINDOW, 8, colors=color, contour_px=4, title_px=0)
    assert (panel[:, 94:98] == color).all()
    assert (panel[:, :90] == 100).all()
    assert (panel[:, 102:] == 100).all()
    assert (panel[:, 93] < 100).all()  # the dark rim


def test_reference_lies_below_the_contour(boxes):
    mask, truth = boxes((0, 0, 90, 22), (0, 0, 90, 30))
    over_truth, over_itself, alone = (
        zoom_panel(GREY, [("", mask)], WINDOW, 8, reference=reference, contour_px=5, title_px=0)
        for reference in (truth, mask, None)
    )
    assert (over_truth[:, 159:161] == 255).all()
    np.testing.assert_array_equal(over_itself, alone)


def test_zoom_fill_keeps_holes_open(boxes):
    (mask,) = boxes((10, 10, 50, 50))
    mask[25:35, 25:35] = False
    options = {"colors": [(200, 100, 40)], "alpha": 0.5, "contour_px": 0, "title_px": 0}
    panel = zoom_panel(0 * GREY, [("", mask)], (0, 0, 60, 60), 2, **options)
    assert panel[40, 40].tolist() == [100, 50, 20]
    assert panel[60, 60].tolist() == [0, 0, 0]


def test_marked_window_and_inputs_that_are_not_changed(image, boxes):
    got = mark_window(GREY, (20, 10, 60, 50), width_px=4)
    assert (got[14:46, 20] == 255).all()
    assert (got[10, 24:56] == 255).all()
    assert (got[16:44, 26:54] == 100).all()
    before = image.copy()
    mark_window(image, (5, 5, 20, 20))
    zoom_panel(image, [("a", boxes((0, 0, 60, 22))[0])], (0, 0, 140, 90), 1, alpha=0.5)
    np.testing.assert_array_equal(image, before)


def test_stacked_rows_and_titled_columns(image):
    wide, narrow = np.full((10, 40, 3), 7, np.uint8), np.full((5, 20, 3), 9, np.uint8)
    page = np.full((18, 40, 3), 255, np.uint8)
    page[:10], page[13:, 10:30] = 7, 9
    np.testing.assert_array_equal(stack_rows([wide, narrow], gap_px=3), page)
    titles = ["too long for a narrow column", ""]
    panel = titled_columns(titles, [image[:, :90]] * 2, bar_px=20, gap_px=4)
    assert (panel[:20, 90:] == 255).all()
    assert panel[:20, :90].min() < 200


@pytest.mark.parametrize(
    "window", [(-1, 0, 10, 10), (0, 0, 141, 10), (5, 5, 5, 10), (0, 50, 10, 91)]
)
def test_mistakes_are_named(image, window):
    with pytest.raises(ValueError, match="90 x 140"):
        zoom_panel(image, [("", None)], window)
    with pytest.raises(ValueError, match=r"\(60, 80\).*90 x 140"):
        zoom_panel(image, [("a", np.zeros((60, 80), bool))], (0, 0, 10, 10))


@pytest.fixture
def truth(boxes):
    return boxes((30, 50, 70, 110), shape=(100, 160))[0]


def changed(mask, *corners):
    mask = mask.copy()
    for top, left, bottom, right in corners:
        mask[top:bottom, left:right] ^= True
    return mask


OBJECT = (30, 50, 70, 110)
NOISE = [
    (y, x, y + 1, x + 1) for y, x in np.random.default_rng(3).integers((100, 160), size=(640, 2))
]


@pytest.mark.parametrize(
    ("corners", "first", "second", "size", "center_x"),
    [
        (OBJECT, NOISE[:320], NOISE[320:], 16, None),
        (OBJECT, [(66, 90, 70, 94)], [(30, 60, 32, 62)], 20, 92),  # 16 pixels below, 4 above
        (OBJECT, [(5, 5, 15, 15)], [(50, 108, 52, 110)], 16, 109),  # the first is no part of it
        ((0, 0, 100, 160), [], [(0, 30, 4, 34)], 10, 32),  # its boundary is that of the image
    ],
)
def test_most_differing_pixels_win_against_all_windows(
    boxes, corners, first, second, size, center_x
):
    (truth,) = boxes(corners, shape=(100, 160))
    a, b = changed(truth, *first), changed(truth, *second)
    left, top, right, bottom = pick_zoom_window(a, b, truth, size)
    differs, padded, best = a ^ b, np.pad(truth, 1), 0
    for y, x in np.argwhere(truth):
        if not padded[y : y + 3, x : x + 3].all():
            y0, x0 = min(max(y - size // 2, 0), 100 - size), min(max(x - size // 2, 0), 160 - size)
            best = max(best, differs[y0 : y0 + size, x0 : x0 + size].sum())
    assert (right - left, bottom - top) == (size, size)
    assert differs[top:bottom, left:right].sum() == best > 0
    assert center_x is None or abs((left + right) / 2 - center_x) <= 1
    assert pick_zoom_window(b, a, truth, size) == (left, top, right, bottom)


def test_window_stays_inside_the_image(boxes):
    (truth,) = boxes((0, 0, 10, 10), shape=(50, 40))
    a = changed(truth, (0, 0, 1, 1))
    assert pick_zoom_window(a, truth, truth, 16) == (0, 0, 16, 16)
    assert pick_zoom_window(a, truth, truth, 400)[2:] in [(40, y) for y in range(40, 51)]


def test_without_a_difference_or_a_truth_there_is_still_boundary(truth):
    for masks in ((truth, truth, truth), (truth, truth & False, truth & False)):
        left, top, right, bottom = pick_zoom_window(*masks, 16)
        assert truth[top:bottom, left:right].any()
        assert not truth[top:bottom, left:right].all()
    with pytest.raises(ValueError, match="empty"):
        pick_zoom_window(*[truth & False] * 3, 4)
