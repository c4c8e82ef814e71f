"""Masks are pasted in NumPy as Detectron2 pastes them, pixel for pixel; run lengths as COCO's."""

import json

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.layers import paste_masks_in_image

from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.inference.rle import encode_mask
from pointrend_ext.structures.cropped_masks import crop_mask


def maps(kind, count, side):
    values = torch.rand(count, side, side)
    return {"smooth": values, "binary": (values > 0.5).float(), "ties": values.round(decimals=1)}[
        kind
    ]


def boxes_in(size_hw, count, *, whole):
    ends = (torch.rand(count, 2, 2) * torch.tensor(size_hw[::-1])).sort(dim=1).values
    boxes = ends.flatten(1)
    if whole:  # pixel centres meet the middles between cells
        boxes = boxes.round()
        boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    return boxes


@pytest.mark.parametrize("kind", ["smooth", "binary", "ties"])
@pytest.mark.parametrize("side", [7, 28, 224])
@pytest.mark.parametrize("size_hw", [(61, 97), (300, 211), (3, 2)])
def test_no_pixel_differs_from_detectron2(kind, side, size_hw):
    for whole in (False, True):
        values, boxes = maps(kind, 9, side), boxes_in(size_hw, 9, whole=whole)
        boxes[0] = torch.tensor([0, 0, *size_hw[::-1]])
        got = PastedMasks(values, boxes, size_hw)
        expected = paste_masks_in_image(values, boxes, size_hw, 0.5).numpy()
        np.testing.assert_array_equal(np.asarray(got), expected)
        soft = paste_masks_in_image(values, boxes, size_hw, -1).numpy()
        for number in range(9):
            crop, top, left = got.probability_crop(number)
            window = np.s_[top : top + crop.shape[0], left : left + crop.shape[1]]
            np.testing.assert_array_equal(crop, soft[number][window])


def test_odd_boxes():
    values = torch.ones(3, 4, 4)
    boxes = torch.tensor([[2.0, 3, 2, 9], [1.2, 1.2, 1.3, 1.3], [-9, -9, 99, 99]])
    masks = PastedMasks(values, boxes, (10, 12))
    assert [int(mask.sum()) for mask in masks] == [0, 0, 120]
    assert np.asarray(PastedMasks(np.zeros((0, 4, 4)), np.zeros((0, 4)), (3, 5))).shape == (0, 3, 5)


MASKS = {
    "random": np.random.default_rng(0).random((40, 31)) > 0.5,
    "blocks": np.kron(np.random.default_rng(1).random((7, 5)) > 0.6, np.ones((300, 41))) > 0,
    "empty": np.zeros((9, 8), bool),
    "full": np.ones((9, 8), bool),
    "last pixel": np.arange(72).reshape(9, 8) == 71,
    "first pixel": np.arange(72).reshape(9, 8) == 0,
    "one pixel": np.ones((1, 1), bool),
    "a wide gap": np.isin(np.arange(2100 * 2000).reshape(2100, 2000), [3, 9, 2100 * 2000 - 9]),
}


@pytest.mark.parametrize("name", MASKS)
def test_run_lengths_are_those_of_pycocotools(name):
    mask = MASKS[name]
    expected = mask_util.encode(np.asfortranarray(mask, dtype=np.uint8))
    for crop in ((mask, 0, 0), crop_mask(mask)):
        got = encode_mask(crop, mask.shape)
        assert got == {"size": expected["size"], "counts": expected["counts"].decode()}
        assert json.loads(json.dumps(got)) == got
