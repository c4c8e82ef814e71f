"""Drawing an object from its crop gives the pixels of drawing whole masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.visualization import MaskCrop, distinct_colors, draw_instances, mask_contours
from pointrend_ext.visualization.canvas import blend
from pointrend_ext.visualization.raster import paint_stroke
from pointrend_ext.visualization.shapes import binarize, shape_of, window_of


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


def wavy_masks(size_hw, count, seed):
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
    size_hw = (150, 230)
    image = np.random.default_rng(seed).integers(0, 256, (*size_hw, 3)).astype(np.uint8)
    masks = wavy_masks(size_hw, 12, seed)
    assert sum(mask.sum() > 100 for mask in masks) > 6
    colors = distinct_colors(len(masks))
    expected = draw_on_whole_image(image, masks, colors, 0.4, contour_px)
    for given in (masks, np.asarray(masks), list(masks)):
        got = draw_instances(image, masks=given, colors=colors, alpha=0.4, contour_px=contour_px)
        np.testing.assert_array_equal(got, expected)


def test_labels_and_boxes_do_not_depend_on_crops():
    masks = wavy_masks((150, 230), 12, 5)
    image = np.full((150, 230, 3), 90, np.uint8)
    labels = [f"object {n}" for n in range(len(masks))]
    options = {"labels": labels, "boxes_px": np.array([[1, 2, 30, 40.0]] * len(masks))}
    np.testing.assert_array_equal(
        draw_instances(image, masks=masks, **options),
        draw_instances(image, masks=np.asarray(masks), **options),
    )
    with pytest.raises(ValueError, match="masks have shape"):
        draw_instances(image[:100], masks=masks)


class Crops:
    """Masks that can only be read as crops."""

    def __init__(self, masks, margin):
        self.masks, self.margin, self.read = masks, margin, 0
        self.size_hw = masks.shape[1:]

    def __len__(self):
        return len(self.masks)

    def __getitem__(self, number):
        raise AssertionError("a whole mask was asked for")

    def crop(self, number):
        self.read += 1
        top, left, bottom, right = window_of(self.masks[number] >= 0.5)
        top, left = max(top - self.margin, 0), max(left - self.margin, 0)
        window = np.s_[top : bottom + self.margin, left : right + self.margin]
        return MaskCrop(self.masks[number][window], top, left)


def test_each_crop_is_read_once():
    y, x = np.mgrid[:90, :140] + 0.5
    centers = [(30, 40), (110, 60), (138, 2)]
    soft = np.stack([np.clip(0.5 + (17 - np.hypot(x - a, y - b)) / 6, 0, 1) for a, b in centers])
    image = np.full((90, 140, 3), 60, np.uint8)
    crops = Crops(soft, 1)
    drawn = draw_instances(image, masks=crops, labels=["a", "b", "c"])
    np.testing.assert_array_equal(drawn, draw_instances(image, masks=soft, labels=["a", "b", "c"]))
    assert crops.read == 3
    for number, mask in enumerate(soft):
        (polygon,), (expected,) = shape_of(soft, number).polygons, mask_contours(mask)
        np.testing.assert_allclose(polygon, expected, atol=1e-9)


def test_shape_by_hand():
    mask = np.zeros((1, 20, 30), bool)
    mask[0, 4:7, 10:12] = True
    mask[0, 5, 12] = True
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
    for crop, whole in (
        (masks.crop(0), masks[0]),
        (masks.probability_crop(0), masks.probability(0)),
    ):
        rows, columns = crop.values.shape
        window = np.s_[crop.top : crop.top + rows, crop.left : crop.left + columns]
        np.testing.assert_array_equal(whole[window], crop.values)
        assert np.count_nonzero(whole) == np.count_nonzero(crop.values)
        assert rows <= box[3] - box[1] + 4
        assert columns <= box[2] - box[0] + 4
