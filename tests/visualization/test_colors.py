"""Colours: fixed sequence, far apart for the eye, readable text."""

import cv2
import numpy as np
import pytest

from pointrend_ext.visualization import class_colors, colors_of, distinct_colors
from pointrend_ext.visualization.colors import text_color_on


def cielab(colors):
    """An independent perceptual space: OpenCV's CIELAB, in which 2.3 is just noticeable."""
    return cv2.cvtColor((colors[None] / 255).astype(np.float32), cv2.COLOR_RGB2Lab)[0]


def test_sequence_is_a_prefix_of_itself():
    np.testing.assert_array_equal(distinct_colors(5), distinct_colors(80)[:5])
    np.testing.assert_array_equal(colors_of(np.array([7, 0, 7])), distinct_colors(8)[[7, 0, 7]])
    assert distinct_colors(0).shape == colors_of(np.zeros(0, int)).shape == (0, 3)
    assert distinct_colors(3).dtype == np.uint8


@pytest.mark.parametrize(("count", "apart"), [(2, 60), (8, 22), (20, 10), (80, 2.3)])
def test_colors_are_apart_and_vivid(count, apart):
    lab = cielab(distinct_colors(count))
    gaps = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1e3 * np.eye(count)
    assert gaps.min() > apart
    assert np.hypot(lab[:, 1], lab[:, 2]).min() > 25
    assert lab[:, 0].min() > 40
    assert lab[:, 0].max() < 90


@pytest.mark.parametrize(
    ("background", "text"),
    [((255, 255, 255), 16), ((0, 0, 0), 255), ((255, 220, 0), 16), ((0, 0, 200), 255)],
)
def test_text_color(background, text):
    assert text_color_on(np.array(background, np.uint8)).tolist() == [text] * 3


def test_class_colors_are_those_of_the_data_set():
    stated = [[1, 2, 3], [4, 5, 6]]
    np.testing.assert_array_equal(class_colors(2, stated), stated)
    assert class_colors(2, stated).dtype == np.uint8
    for other in (None, [], stated):  # a binary model adds a background to the one class
        np.testing.assert_array_equal(class_colors(3, other), distinct_colors(3))
