"""Ground truth at points."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
import torch
from detectron2.structures import BitMasks, Instances, PolygonMasks
from detectron2.utils import logger as detectron2_logger

from pointrend_ext.modeling.roi_heads import sample_mask_labels


def proposals_of(masks, size_hw):
    x = Instances(size_hw)
    x.gt_classes = torch.zeros(len(masks), dtype=torch.int64)
    x.gt_masks = masks
    return x


def left_half(size_hw=(4, 6)):
    mask = torch.zeros(1, *size_hw, dtype=torch.bool)
    mask[:, :, : size_hw[1] // 2] = True
    return mask


def test_values_by_hand():
    # columns 0 to 2 of 6 are foreground; the outline lies at x = 3
    points = [[2.5, 1.5], [3.5, 1.5], [3.0, 2.0], [2.75, 1.5], [0.0, 1.5], [0.0, 0.0], [-1.0, 2.0]]
    labels = sample_mask_labels(
        [proposals_of(BitMasks(left_half()), (4, 6))], torch.tensor([points])
    )
    expected = torch.tensor([[1.0, 0.0, 0.5, 0.75, 0.5, 0.25, 0.0]])
    torch.testing.assert_close(labels, expected)


def test_images_of_different_sizes_and_one_without_proposals(oracle, rng):
    small, large = (
        torch.rand(1, 5, 7, generator=rng) > 0.5,
        torch.rand(2, 9, 4, generator=rng) > 0.5,
    )
    empty = Instances((3, 3))  # without the field gt_masks
    empty.gt_classes = torch.zeros(0, dtype=torch.int64)
    proposals = [
        proposals_of(BitMasks(small), (5, 7)),
        empty,
        proposals_of(BitMasks(large), (9, 4)),
    ]
    points = torch.rand(3, 20, 2, generator=rng, dtype=torch.float64) * 10 - 1
    labels = sample_mask_labels(proposals, points)
    assert labels.dtype == torch.float64
    for region, mask in enumerate((small[0], large[0], large[1])):
        height, width = mask.shape
        for point, (x, y) in enumerate(points[region].tolist()):
            expected = oracle.bilinear(mask.numpy().astype(float), x / width, y / height)
            assert labels[region, point].item() == pytest.approx(expected, abs=1e-12)


def test_no_proposal_at_all():
    empty = Instances((3, 3))
    empty.gt_classes = torch.zeros(0, dtype=torch.int64)
    assert sample_mask_labels([empty, empty], torch.rand(0, 5, 2)).shape == (0, 5)


def test_polygons_are_rasterised_with_a_warning(caplog, monkeypatch):
    monkeypatch.setattr(detectron2_logger, "_LOG_COUNTER", Counter())  # it warns once per process
    # the rectangle x in [1, 4], y in [1, 3] covers exactly these pixels
    mask = torch.zeros(1, 6, 8, dtype=torch.bool)
    mask[0, 1:3, 1:4] = True
    polygon = PolygonMasks([[[1.0, 1.0, 4.0, 1.0, 4.0, 3.0, 1.0, 3.0]]])
    points = torch.rand(1, 50, 2) * torch.tensor([8.0, 6.0])
    with caplog.at_level(logging.WARNING):
        labels = sample_mask_labels([proposals_of(polygon, (6, 8))], points)
    expected = sample_mask_labels([proposals_of(BitMasks(mask), (6, 8))], points)
    assert torch.equal(labels, expected)
    assert 0 < labels.mean() < 1
    assert ["mask_format='bitmask'" in record.message for record in caplog.records] == [True]


def test_other_masks_are_refused():
    with pytest.raises(TypeError, match=r"Tensor.*needs BitMasks"):
        sample_mask_labels([proposals_of(left_half(), (4, 6))], torch.rand(1, 2, 2))


def test_labels_carry_no_gradient():
    points = torch.rand(1, 3, 2, requires_grad=True)
    assert not sample_mask_labels(
        [proposals_of(BitMasks(left_half()), (4, 6))], points
    ).requires_grad
