"""Same weights and random state in, same losses and gradients out, in float64."""

import pytest

from tests.parity.conftest import CONFIG
from tests.parity.upstream import check_initialisation, check_training

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("num_classes", [1, 8, 80])
def test_training_equals_upstream(make_pair, drawn_inputs, num_classes):
    losses, _ = check_training(make_pair(num_classes, drawn_inputs), drawn_inputs, 1e-5)
    assert losses["loss_mask_point"] > 0


@pytest.mark.real_data
def test_training_equals_upstream_on_coco(make_pair, coco_inputs):
    losses, _ = check_training(make_pair(80, coco_inputs[:1]), coco_inputs[:2], 1e-5)
    assert losses["loss_mask_point"] > 0


def test_random_initialisation_equals_upstream(make_pair, drawn_inputs):
    _, upstream = make_pair(8, drawn_inputs[:1])  # of the same seed, calibrated afterwards
    calibrated = ("coarse_head.prediction", "point_head.predictor", "fpn_output2")
    check_initialisation(upstream, CONFIG, {"ROI_HEADS.NUM_CLASSES": 8}, 8, calibrated)
