"""Same weights and random state in, same losses and gradients out, in float64."""

import copy

import pytest
import torch
from detectron2.structures import BitMasks

from pointrend_ext.structures import CroppedMasks
from tests.parity.conftest import CONFIG
from tests.parity.upstream import check_initialisation, check_training, losses_and_gradients

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("num_classes", [1, pytest.param(8, marks=pytest.mark.slow), 80])
def test_training_equals_upstream(make_pair, drawn_inputs, num_classes):
    losses, _ = check_training(make_pair(num_classes, drawn_inputs), drawn_inputs, 1e-5)
    assert losses["loss_mask_point"] > 0


@pytest.mark.real_data
def test_training_equals_upstream_on_coco(make_pair, coco_inputs):
    losses, _ = check_training(make_pair(80, coco_inputs[:1]), coco_inputs[:2], 1e-5)
    assert losses["loss_mask_point"] > 0


@pytest.mark.real_data
def test_cropped_masks_change_no_bit_on_coco(make_pair, coco_inputs):
    """Neither of ours nor of the original, whose head asks for ``BitMasks``."""
    pair = make_pair(80, coco_inputs[:1])
    results = []
    for kind in (BitMasks, CroppedMasks):
        inputs = [{**x, "instances": copy.deepcopy(x["instances"])} for x in coco_inputs[:2]]
        for x in inputs:
            x["instances"].gt_masks = kind(x["instances"].gt_masks.tensor)
        results.append([losses_and_gradients(model, inputs) for model in pair])
    for (losses, gradients), (of_cropped, gradients_of_cropped) in zip(*results, strict=True):
        assert losses == of_cropped
        for name, gradient in gradients.items():
            assert torch.equal(gradient, gradients_of_cropped[name]), name


def test_random_initialisation_equals_upstream(make_pair, drawn_inputs):
    _, upstream = make_pair(8, drawn_inputs[:1])  # of the same seed, calibrated afterwards
    calibrated = ("coarse_head.prediction", "point_head.predictor", "fpn_output2")
    check_initialisation(upstream, CONFIG, {"ROI_HEADS.NUM_CLASSES": 8}, 8, calibrated)
