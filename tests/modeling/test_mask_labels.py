"""Ground truth at points."""

import logging
from collections import Counter

import pytest
import torch
from detectron2.structures import BitMasks, Instances, PolygonMasks
from detectron2.utils import logger as detectron2_logger

from pointrend_ext.modeling.roi_heads import sample_mask_labels
from pointrend_ext.structures import CroppedMasks

NO_PROPOSALS = Instances((3, 3), gt_classes=torch.zeros(0, dtype=torch.int64))  # nor gt_masks


def proposals_of(masks, size_hw):
    return Instances(size_hw, gt_classes=torch.zeros(len(masks)).long(), gt_masks=masks)


def test_images_of_different_sizes_and_one_without_proposals(oracle, rng):
    small = torch.rand(1, 5, 7, generator=rng) > 0.5
    large = torch.rand(2, 9, 4, generator=rng) > 0.5
    proposals = [
        proposals_of(BitMasks(small), (5, 7)),
        NO_PROPOSALS,
        proposals_of(BitMasks(large), (9, 4)),
    ]
    points = torch.rand(3, 20, 2, generator=rng, dtype=torch.float64) * 10 - 1
    labels = sample_mask_labels(proposals, points.requires_grad_())
    assert labels.dtype == torch.float64
    assert not labels.requires_grad
    for region, mask in enumerate((small[0], large[0], large[1])):
        height, width = mask.shape
        for point, (x, y) in enumerate(points[region].tolist()):
            expected = oracle.bilinear(mask.numpy().astype(float), x / width, y / height)
            assert labels[region, point].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cropped_masks_give_the_same_bits(rng, dtype):
    """Also at points on pixel edges and centres, around the outline, and beyond the image."""
    whole = torch.zeros(5, 37, 53, dtype=torch.bool)
    for mask, (y0, y1, x0, x1) in zip(
        whole,
        [(0, 37, 0, 53), (3, 9, 40, 53), (12, 13, 7, 8), (20, 30, 0, 25), (0, 0, 0, 0)],
        strict=True,
    ):
        mask[y0:y1, x0:x1] = torch.rand(y1 - y0, x1 - x0, generator=rng) > 0.3
    chosen = torch.randint(0, 5, (60,), generator=rng)
    points = torch.rand(60, 300, 2, generator=rng, dtype=dtype) * 70 - 8
    points[:, :100] = (points[:, :100] * 2).round() / 2
    labels = [
        sample_mask_labels([proposals_of(masks[chosen], (37, 53))], points)
        for masks in (CroppedMasks(whole), BitMasks(whole))
    ]
    assert torch.equal(*labels)
    assert labels[0].dtype == dtype
    assert {0.0, 0.25, 1.0} < set(labels[0].unique().tolist())


def test_no_proposal_at_all():
    assert sample_mask_labels([NO_PROPOSALS] * 2, torch.rand(0, 5, 2)).shape == (0, 5)


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
    with pytest.raises(TypeError, match=r"Tensor.*need BitMasks"):
        sample_mask_labels([proposals_of(torch.ones(1, 4, 6) > 0, (4, 6))], torch.rand(1, 2, 2))
