"""Implicit PointRend: same weights in, same losses, gradients and masks out."""

import copy

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.modeling.roi_heads.mask_head import build_mask_head
from detectron2.projects import point_rend
from detectron2.utils.events import EventStorage

from pointrend_ext.engine import load_cfg
from tests.modeling.builders import model_cfg
from tests.modeling.conftest import (
    BOXES,
    CLASSES,
    SHAPES,
    make_detections,
    make_features,
    make_proposals,
)
from tests.parity.conftest import RANDOM_MODEL, UPSTREAM
from tests.parity.upstream import (
    below_model,
    calibrate,
    check_initialisation,
    check_training,
    float64,
    upstream_model,
    with_equal_weights,
)

pytestmark = pytest.mark.parity

CONFIG = "COCO-InstanceSegmentation/implicit_pointrend_R_50_FPN_1x_coco.yaml"
COMMON = {
    "ROI_HEADS.NUM_CLASSES": 3,
    "ROI_MASK_HEAD.POOLER_TYPE": "",
    "ROI_MASK_HEAD.POOLER_RESOLUTION": 4,
    "ROI_MASK_HEAD.CONV_DIM": 6,  # upstream's limit is the number of channels of p2
    "ROI_MASK_HEAD.FC_DIM": 8,
}
POINTS = {"FC_DIM": 7, "TRAIN_NUM_POINTS": 9, "SUBDIVISION_STEPS": 3, "SUBDIVISION_NUM_POINTS": 16}
THEIRS = {"ROI_MASK_HEAD.NAME": "ImplicitPointRendMaskHead", "POINT_HEAD.NAME": "ImplicitPointHead"}
OURS = {
    "ROI_MASK_HEAD.NAME": "ImplicitPointRendROIMaskHead",
    "MASK_POINT_HEAD.NAME": "ImplicitPointHead",
}
LEVELS = {"ROI_MASK_HEAD.IN_FEATURES": ("p2", "p3")}
CASES = {
    "plain": {},
    "one class": {"ROI_HEADS.NUM_CLASSES": 1},
    "class-agnostic": {"agnostic": True},
    "two levels": {**LEVELS, "IN_FEATURES": ("p3", "p2")},
    "no position": {"POS_ENC_ENABLED": False},
    "position alone": {"IMAGE_FEATURE_ENABLED": False},
    "one hidden layer": {"NUM_FC": 1},
    "another weight of the parameters": {"PARAMS_L2_REGULARIZER": 0.3},
}
IMPLICIT = ("POS_ENC_ENABLED", "IMAGE_FEATURE_ENABLED", "PARAMS_L2_REGULARIZER")


def make_pair(changes):
    """Both heads with equal weights in float64, under ``float64``."""
    shared = {**COMMON, **{key: value for key, value in changes.items() if "." in key}}
    points = {**POINTS, **{k: v for k, v in changes.items() if "." not in k and k != "agnostic"}}
    agnostic = changes.get("agnostic", False)
    ours = {**shared, **OURS}
    ours["ROI_MASK_HEAD.CLS_AGNOSTIC_MASK"] = agnostic
    theirs = {**shared, **THEIRS, "POINT_HEAD.CLS_AGNOSTIC_MASK": agnostic}
    theirs["POINT_HEAD.NUM_CLASSES"] = shared["ROI_HEADS.NUM_CLASSES"]
    for key, value in points.items():
        for keys, node in ((ours, "MASK_POINT_HEAD"), (theirs, "POINT_HEAD")):
            keys[f"{'IMPLICIT_POINTREND' if key in IMPLICIT else node}.{key}"] = value
    cfg = get_cfg()
    point_rend.add_pointrend_config(cfg)
    cfg.merge_from_list(below_model(theirs))
    torch.manual_seed(4)
    upstream = build_mask_head(cfg, SHAPES).double()
    torch.manual_seed(4)
    head = build_mask_head(model_cfg(ours), SHAPES).double()
    for name, tensor in upstream.state_dict().items():  # the same random numbers
        assert torch.equal(tensor, head.state_dict()[name]), name
    with torch.no_grad():  # and then weights of which masks are made
        upstream.parameter_head.prediction.weight.normal_(std=0.3)
        upstream.parameter_head.prediction.bias.normal_(std=0.3)
    # Upstream makes the centres of refined cells, exact numbers, in 32 bits.
    upstream.point_head.register_forward_pre_hook(lambda _, args: tuple(x.double() for x in args))
    return with_equal_weights(head, upstream)


@pytest.mark.parametrize("case", CASES)
def test_losses_gradients_and_masks_equal_upstream(case):
    classes = [
        [min(c, CASES[case].get("ROI_HEADS.NUM_CLASSES", 3) - 1) for c in x] for x in CLASSES
    ]
    results = []
    with float64(), EventStorage():
        for head in make_pair(CASES[case]):
            features = {
                k: v.requires_grad_() for k, v in make_features(dtype=torch.float64).items()
            }
            torch.manual_seed(11)
            losses = head.train()(features, make_proposals(BOXES, classes))
            sum(losses.values()).backward()
            gradients = {name: p.grad for name, p in head.named_parameters()}
            gradients["p2"] = features["p2"].grad
            with torch.no_grad():
                found = head.eval()(features, make_detections(BOXES, classes))
            masks = torch.cat([x.pred_masks for x in found])
            results.append((losses, gradients, masks))
    (losses, gradients, masks), (want_losses, want_gradients, want_masks) = results
    assert list(losses) == list(want_losses) == ["loss_l2", "loss_mask_point"]
    for name, loss in want_losses.items():
        assert losses[name].item() == pytest.approx(loss.item(), rel=1e-6, abs=0)
    for name, gradient in want_gradients.items():
        error = (gradients[name] - gradient).abs().max() / gradient.abs().max()
        assert error < 1e-5, (name, error)
    assert masks.shape == (4, 1, 32, 32)  # 4 x 4, doubled three times
    torch.testing.assert_close(masks, want_masks, rtol=0, atol=1e-7)
    assert want_masks.std() > 0.05


def calibrated_pair(inputs):
    common = {**RANDOM_MODEL, "ROI_HEADS.NUM_CLASSES": 8, "ROI_MASK_HEAD.FC_DIM": 64}
    steps = {"POINT_HEAD.SUBDIVISION_STEPS": 3, "POINT_HEAD.NUM_CLASSES": 8}
    theirs = below_model({**common, **UPSTREAM, **THEIRS, **steps})
    torch.manual_seed(8)
    upstream = upstream_model("Base-RCNN-FPN.yaml", [*theirs, "INPUT.MASK_FORMAT", "bitmask"])
    options = {key: common[key] for key in ("ROI_HEADS.NUM_CLASSES", "ROI_MASK_HEAD.FC_DIM")}
    check_initialisation(upstream, CONFIG, options, 8, ())
    head = upstream.roi_heads.mask_head
    layers = {upstream.backbone.fpn_output2: 1.0, head.parameter_head.prediction: 0.1}
    calibrate(upstream, inputs, layers)
    return with_equal_weights(build_model(load_cfg(CONFIG, below_model(common))), upstream)


@pytest.mark.slow
def test_a_whole_model_trains_and_predicts_as_upstream(drawn_inputs):
    pair = calibrated_pair(drawn_inputs[:1])
    losses, _ = check_training(pair, drawn_inputs, 1e-5)
    assert losses["loss_mask_point"] > 0
    with torch.no_grad():
        (got,), (want,) = (
            model.inference(copy.deepcopy(drawn_inputs[:1]), do_postprocess=False) for model in pair
        )
    assert torch.equal(got.pred_classes, want.pred_classes)
    assert got.pred_masks.shape[1:] == (1, 224, 224)
    differs = (got.pred_masks - want.pred_masks).abs() > 1e-5
    print(
        f"{len(got)} masks, share of cells that differ by more than 1e-5: {differs.float().mean()}"
    )
    assert differs.float().mean() < 1e-3  # points swapped at the cut-off


@pytest.mark.slow
@pytest.mark.real_data
def test_training_equals_upstream_on_coco(coco_inputs):
    losses, _ = check_training(calibrated_pair(coco_inputs[:1]), coco_inputs[:2], 1e-5)
    assert losses["loss_mask_point"] > 0
