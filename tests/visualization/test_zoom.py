"""The window lands on the planted difference."""

from __future__ import annotations

import numpy as np
import pytest

from pointrend_ext.visualization import pick_zoom_window


def square(shape=(100, 160)):
    mask = np.zeros(shape, bool)
    mask[30:70, 50:110] = True
    return mask


def test_planted_difference_is_found_and_centred():
    truth = square()
    a, b = truth.copy(), truth.copy()
    a[66:70, 90:94] = False  # 16 pixels at the lower edge
    b[30:32, 60:62] = False  # 4 pixels at the upper edge
    left, top, right, bottom = pick_zoom_window(a, b, truth, 20)
    assert (right - left, bottom - top) == (20, 20)
    assert abs((left + right) / 2 - 92) <= 1
    assert top <= 66
    assert bottom >= 70
    assert pick_zoom_window(b, a, truth, 20) == (left, top, right, bottom)


def test_most_differing_pixels_win_against_all_windows():
    rng = np.random.default_rng(3)
    truth = square()
    a, b = truth ^ (rng.random(truth.shape) < 0.02), truth ^ (rng.random(truth.shape) < 0.02)
    left, top, right, bottom = pick_zoom_window(a, b, truth, 16)
    differs = a ^ b
    padded = np.pad(truth, 1)
    best = 0
    for y, x in np.argwhere(truth):
        if padded[y : y + 3, x : x + 3].all():
            continue
        y0, x0 = min(max(y - 8, 0), 84), min(max(x - 8, 0), 144)
        best = max(best, differs[y0 : y0 + 16, x0 : x0 + 16].sum())
    assert differs[top:bottom, left:right].sum() == best


def test_differences_away_from_the_object_do_not_count():
    truth = square()
    a, b = truth.copy(), truth.copy()
    a[5:15, 5:15] = True  # a large false blob far away
    b[50:52, 108:110] = False
    left, top, right, bottom = pick_zoom_window(a, b, truth, 16)
    assert left <= 108 < right
    assert top <= 50 < bottom


def test_window_stays_inside_the_image():
    truth = np.zeros((50, 40), bool)
    truth[:10, :10] = True
    a = truth.copy()
    a[0, 0] = False
    assert pick_zoom_window(a, truth, truth, 16) == (0, 0, 16, 16)
    assert pick_zoom_window(a, truth, truth, 400)[2:] in [(40, y) for y in range(40, 51)]


def test_equal_predictions_still_show_boundary():
    truth = square()
    left, top, right, bottom = pick_zoom_window(truth, truth, truth, 16)
    window = truth[top:bottom, left:right]
    assert window.any()
    assert not window.all()


def test_union_stands_in_for_empty_truth():
    empty = np.zeros((100, 160), bool)
    left, top, right, bottom = pick_zoom_window(square(), empty, empty, 16)
    assert square()[top:bottom, left:right].any()


def test_full_image_object_has_a_boundary():
    full = np.ones((30, 40), bool)
    holed = full.copy()
    holed[0:4, 30:34] = False
    left, top, right, _ = pick_zoom_window(full, holed, full, 10)
    assert top == 0
    assert left <= 30
    assert right >= 34


def test_nothing_to_show():
    empty = np.zeros((10, 10), bool)
    with pytest.raises(ValueError, match="empty"):
        pick_zoom_window(empty, empty, empty, 4)
