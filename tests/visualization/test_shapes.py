"""Outlines against an enumeration of boundary edges; drawing from crops against whole masks."""

import numpy as np
import pytest
import torch
from detectron2.layers import paste_masks_in_image

from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.visualization import MaskCrop, distinct_colors, draw_instances, mask_contours
from pointrend_ext.visualization.canvas import blend
from pointrend_ext.visualization.raster import paint_stroke
from pointrend_ext.visualization.shapes import binarize, shape_of, window_of


def signed_area(polygon):
    x, y = polygon.T
    return 0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))


def expected_area(mask):
    """Slow oracle: the pixels, less the corners that are cut and the notches that are filled."""
    padded, eighths = np.pad(mask, 1).astype(int), 8 * int(mask.sum())
    for i, j in np.ndindex(mask.shape[0] + 1, mask.shape[1] + 1):
        corner = padded[i : i + 2, j : j + 2]
        is_diagonal = corner.sum() == 2 and corner[0, 0] == corner[1, 1]
        eighths += {1: -1, 3: 1, 2: 2 * is_diagonal}.get(int(corner.sum()), 0)
    return eighths / 8


def edge_middles(mask):
    """Slow oracle: the middle of every pixel edge between inside and outside."""
    padded = np.pad(mask, 1)
    for i, j in np.ndindex(mask.shape[0] + 1, mask.shape[1] + 1):
        if padded[i, j + 1] != padded[i + 1, j + 1]:
            yield (j + 0.5, i)
        if padded[i + 1, j] != padded[i + 1, j + 1]:
            yield (j, i + 0.5)


def middles_passed(polygons):
    """Cut polygons into steps from the middle of one edge to the next."""
    for polygon in polygons:
        for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            steps = round(2 * np.abs(end - start).max())
            for n in range(steps):
                x, y = start + (end - start) * n / steps
                if x % 1 != y % 1:  # not the corner between two edges of a straight stretch
                    yield (x, y)


@pytest.mark.parametrize("density", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_polygons_join_the_middles_of_all_boundary_edges(seed, density):
    mask = np.random.default_rng(seed).random((13, 21)) < density
    polygons = mask_contours(mask)
    passed, expected = sorted(middles_passed(polygons)), sorted(edge_middles(mask))
    assert passed == expected
    assert abs(sum(map(signed_area, polygons))) == pytest.approx(expected_area(mask))


def test_polygons_by_hand(boxes):
    (diamond,) = mask_contours(boxes((2, 3, 3, 4))[0])
    assert sorted(map(tuple, diamond)) == [(3, 2.5), (3.5, 2), (3.5, 3), (4, 2.5)]
    (midline,) = mask_contours(np.ones((4, 7), bool))  # bounded by the image
    assert midline.min(axis=0).tolist() == [0, 0]
    assert midline.max(axis=0).tolist() == [7, 4]
    assert len(midline) == 8  # points on straight stretches are left out
    for touching in (np.eye(5, dtype=bool), np.eye(5, dtype=bool)[:, ::-1]):
        assert len(mask_contours(touching)) == 1


def test_hole_runs_the_other_way(boxes):
    outer, hole = boxes((1, 1, 8, 8), (3, 3, 5, 6))
    areas = [signed_area(polygon) for polygon in mask_contours(outer & ~hole)]
    assert sorted(np.abs(areas)) == [5.5, 48.5]
    assert areas[0] * areas[1] < 0


def test_empty_mask_and_types():
    assert mask_contours(np.zeros((3, 5), bool)) == []
    assert mask_contours(np.full((3, 5), 0.49)) == []
    mask = np.random.default_rng(1).random((13, 21)) < 0.5
    for same in (mask.astype(np.uint8) * 255, mask.astype(np.float64)):
        for a, b in zip(mask_contours(mask), mask_contours(same), strict=True):
            np.testing.assert_array_equal(a, b)
    assert binarize(np.array([0.5, 0.49])).tolist() == [True, False]


def draw_on_whole_image(image, masks, colors, alpha, contour_px):
    """Slow oracle: every mask in the size of the image."""
    canvas = image.copy()
    masks = np.asarray(masks)
    order = np.argsort([-np.count_nonzero(binarize(mask)) for mask in masks], kind="stable")
    for i in order:
        pixels = canvas[binarize(masks[i])]
        blend(pixels, colors[i], alpha)
        canvas[binarize(masks[i])] = pixels
    for i in order:
        paint_stroke(canvas, mask_contours(masks[i]), colors[i], contour_px)
    return canvas


def wavy_masks(seed, count=12, size_hw=(150, 230)):
    """Random blobs with holes as a model predicts them, on boxes up to all of the image."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 5, 5, generator=generator)
    maps = torch.nn.functional.interpolate(coarse, size=28, mode="bicubic")[:, 0].clamp(0, 1)
    ends = torch.rand(count, 2, 2, generator=generator).sort(dim=1).values  # (R, corner, x or y)
    boxes = (ends * torch.tensor(size_hw[::-1])).flatten(1)
    return PastedMasks(maps, boxes, size_hw)


@pytest.mark.parametrize("contour_px", [1.25, 4.0, 11.0])
@pytest.mark.parametrize("seed", range(3))
def test_crops_give_the_pixels_of_whole_masks(contour_px, seed):
    image = np.random.default_rng(seed).integers(0, 256, (150, 230, 3)).astype(np.uint8)
    masks = wavy_masks(seed)
    assert sum(mask.sum() > 100 for mask in masks) > 6
    colors = distinct_colors(len(masks))
    expected = draw_on_whole_image(image, masks, colors, 0.4, contour_px)
    for given in (masks, np.asarray(masks), list(masks)):
        got = draw_instances(image, masks=given, colors=colors, alpha=0.4, contour_px=contour_px)
        np.testing.assert_array_equal(got, expected)


class Crops:
    """Masks that can only be read as crops."""

    def __init__(self, masks):
        self.masks, self.size_hw, self.read = masks, masks.shape[1:], []

    def __len__(self):
        return len(self.masks)

    def crop(self, number):
        self.read.append(number)
        top, left, bottom, right = window_of(self.masks[number] >= 0.5)
        top, left = max(top - 1, 0), max(left - 1, 0)
        return MaskCrop(self.masks[number][top : bottom + 1, left : right + 1], top, left)


def test_each_crop_is_read_once():
    y, x = np.mgrid[:90, :140] + 0.5
    centers = [(30, 40), (110, 60), (138, 2)]
    soft = np.stack([np.clip(0.5 + (17 - np.hypot(x - a, y - b)) / 6, 0, 1) for a, b in centers])
    image, crops = np.full((90, 140, 3), 60, np.uint8), Crops(soft)
    options = {"labels": ["a", "b", "c"], "boxes_px": np.array([[1, 2, 30, 40.0]] * 3)}
    drawn, whole = (draw_instances(image, masks=m, **options) for m in (crops, soft))
    np.testing.assert_array_equal(drawn, whole)
    assert sorted(crops.read) == [0, 1, 2]
    with pytest.raises(ValueError, match="masks have shape"):
        draw_instances(image[:80], masks=crops)
    for number, mask in enumerate(soft):
        (polygon,), (expected,) = shape_of(soft, number).polygons, mask_contours(mask)
        np.testing.assert_allclose(polygon, expected, atol=1e-9)


def test_shape_by_hand(boxes):
    mask = boxes((4, 10, 7, 12)) | boxes((5, 12, 6, 13))
    shape = shape_of(mask, 0)
    assert (shape.top, shape.left, shape.height, shape.width, shape.area) == (4, 10, 3, 3, 7)
    assert shape.inside().tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 0]]
    assert shape.window == np.s_[4:7, 10:13]
    (expected,), (polygon,) = mask_contours(mask[0]), shape.polygons
    np.testing.assert_array_equal(polygon, expected)
    empty = shape_of(mask & False, 0)
    assert (empty.area, empty.polygons, empty.inside().shape) == (0, [], (0, 0))


@pytest.mark.parametrize("box", [[0, 0, 60, 40], [3.4, 2.2, 9.9, 39.8], [51.5, 30, 60, 31.2]])
def test_pasted_crops_are_parts_of_the_whole(box):
    maps = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    masks = PastedMasks(maps, torch.tensor([box]), (40, 60))
    crops = masks.crop(0), masks.probability_crop(0)
    pasted = paste_masks_in_image(maps, torch.tensor([box]), (40, 60), -1)[0].numpy()
    for crop, whole in zip(crops, (masks[0], pasted), strict=True):
        rows, columns = crop.values.shape
        window = np.s_[crop.top : crop.top + rows, crop.left : crop.left + columns]
        np.testing.assert_array_equal(whole[window], crop.values)
        assert np.count_nonzero(whole) == np.count_nonzero(crop.values)
        assert rows <= box[3] - box[1] + 4
        assert columns <= box[2] - box[0] + 4
