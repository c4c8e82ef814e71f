"""``ImplicitPointRendROIMaskHead``: its parts, values by hand, odd input, half precision."""

import math

import numpy as np
import pytest
import torch
from detectron2.config import LazyCall, instantiate
from detectron2.modeling.roi_heads.mask_head import build_mask_head

from pointrend_ext.layers import box_to_px
from pointrend_ext.modeling import ImplicitPointHead, ImplicitPointRendROIMaskHead
from pointrend_ext.modeling.feature_levels import FeatureLevels
from pointrend_ext.modeling.point_head import predictors
from pointrend_ext.modeling.point_head.plans import SubdivisionPlan
from pointrend_ext.modeling.roi_heads import sample_mask_labels
from tests.modeling.builders import BOTH_LEVELS, model_cfg, randomize
from tests.modeling.test_mask_head_build import COCO_SHAPES

IMPLICIT = {
    "ROI_MASK_HEAD__NAME": "ImplicitPointRendROIMaskHead",
    "MASK_POINT_HEAD__NAME": "ImplicitPointHead",
    "MASK_POINT_HEAD__SUBDIVISION_NUM_POINTS": 9,
}
SIZES = [(32, 40), (32, 40)]


def implicit(tiny, **overrides):
    """The tiny head, of 3 x 3 cells refined to 12 x 12."""
    torch.manual_seed(1)  # of the encoding, which is no parameter
    return tiny.head(std=0.2, **{**IMPLICIT, **overrides})


def losses(head, features, proposals, seed=3):
    torch.manual_seed(seed)
    return head.train()(features, proposals)


def test_state_dict_of_the_released_names():
    needed = {k.replace("__", "."): v for k, v in IMPLICIT.items()}
    cfg = model_cfg({**needed, "ROI_MASK_HEAD.POOLER_TYPE": ""})
    cfg.MODEL.MASK_POINT_HEAD.SUBDIVISION_NUM_POINTS = 784
    with torch.device("meta"):
        head = build_mask_head(cfg, COCO_SHAPES)
    assert head.point_head.num_params == 283_472  # with 80 classes
    assert {name: tuple(x.shape) for name, x in head.state_dict().items()} == {
        "point_head.positional_encoding_gaussian_matrix": (2, 128),
        **{
            f"parameter_head.{layer}.{kind}": shape if kind == "weight" else shape[:1]
            for layer, shape in {
                "reduce_spatial_dim_conv": (256, 256, 2, 2),
                "fc1": (1024, 12544),
                "fc2": (1024, 1024),
                "prediction": (283_472, 1024),
            }.items()
            for kind in ("weight", "bias")
        },
    }
    assert head.subdivision == SubdivisionPlan(start_side=28, steps=5, num_points=784)
    assert (head.num_train_points, head.parameter_loss_weight) == (196, 1e-5)


def test_a_point_by_hand():
    """Two hidden units: position and features in, weights row by row, then all biases."""
    head = ImplicitPointHead(fine_channels=1, out_channels=2, fc_dim=2, num_fc=1)
    with torch.no_grad():
        head.positional_encoding_gaussian_matrix.zero_()
        head.positional_encoding_gaussian_matrix[0, 0] = 0.25  # a quarter turn per unit of x
    assert head.num_params == 2 * 257 + 2 * 2 + 2 + 2
    parameters = torch.zeros(1, head.num_params)
    first, second = torch.zeros(2, 257), torch.tensor([[1.0, 2.0], [3.0, -4.0]])
    first[0, 0] = 10  # sine of the first frequency
    first[0, 128] = 100  # its cosine
    first[1, 256] = 5  # the feature
    biases = torch.tensor([0.5, -1.0, 0.25, 0.75])
    parameters[0] = torch.cat([first.flatten(), second.flatten(), biases])
    coords = torch.tensor([[[1.0, 0.3], [0.75, 0.9]]])  # x in [-1, 1]: 1 and 0.5
    fine = torch.tensor([[[2.0, 0.1]]])
    angles = [math.pi / 2, math.pi / 4]
    hidden = [
        [10 * math.sin(a) + 100 * math.cos(a) + 0.5, max(5 * x - 1, 0)]
        for a, x in zip(angles, (2.0, 0.1), strict=True)
    ]
    for number, (weights, bias) in enumerate([((1, 2), 0.25), ((3, -4), 0.75)]):
        got = head(fine, coords, parameters, torch.tensor([number]))
        want = [weights[0] * h[0] + weights[1] * h[1] + bias for h in hidden]
        torch.testing.assert_close(got, torch.tensor([[want]]), rtol=1e-5, atol=1e-4)


def test_losses_by_hand(tiny, event_storage):
    head = implicit(tiny).double()
    proposals = tiny.proposals(tiny.boxes, tiny.classes, SIZES)
    features = tiny.features(dtype=torch.float64)
    got = losses(head, features, proposals)
    torch.manual_seed(3)
    coords = torch.rand(4, 9, 2, dtype=torch.float64)  # 9 training points of 4 boxes
    boxes = [x.proposal_boxes.tensor for x in proposals]
    labels = sample_mask_labels(proposals, box_to_px(coords, torch.cat(boxes)))
    inputs = head.region_inputs(
        features,
        boxes,
        head.parameter_head.predict_boxes(features, head.parameter_levels, 4, boxes),
        torch.tensor([c for image in tiny.classes for c in image]),
    )
    logits = predictors.training_predictor(head.point_head, inputs)(coords)[:, 0]
    p = logits.sigmoid()
    want = -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
    assert got["loss_mask_point"].item() == pytest.approx(want.item(), rel=1e-9)
    size = inputs.parameters.detach().numpy()
    assert got["loss_l2"].item() == pytest.approx(1e-5 * np.mean(size**2), rel=1e-9)


@pytest.mark.parametrize("overrides", [{}, BOTH_LEVELS, {"ROI_MASK_HEAD__CLS_AGNOSTIC_MASK": True}])
def test_no_region_at_all(tiny, event_storage, overrides):
    head = implicit(tiny, **overrides)
    got = losses(head, tiny.features(), tiny.proposals([[], []], [[], []], SIZES))
    assert {name: loss.item() for name, loss in got.items()} == {"loss_l2": 0, "loss_mask_point": 0}
    sum(got.values()).backward()
    for name, parameter in head.named_parameters():
        assert torch.equal(parameter.grad, torch.zeros_like(parameter)), name
    (found, _) = head.eval()(tiny.features(), tiny.detections([[], []], [[], []]))
    assert found.pred_masks.shape == (0, 1, 12, 12)


def test_masks_do_not_depend_on_the_chunks_and_other_regions(tiny, monkeypatch):
    head = implicit(tiny).eval()
    with torch.no_grad():
        together = tiny.masks(head, tiny.features())
        monkeypatch.setitem(predictors.POINTS_PER_CHUNK, "cpu", 1)
        apart = tiny.masks(head, tiny.features())
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-6)
    assert together.std() > 0.01


@pytest.mark.parametrize(
    ("dtype", "autocast"), [(torch.bfloat16, False), (torch.float16, False), (torch.float32, True)]
)
def test_half_precision_is_close(tiny, event_storage, dtype, autocast):
    expected = losses(implicit(tiny), tiny.features(), tiny.proposals(tiny.boxes, tiny.classes))
    head = implicit(tiny).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        got = losses(head, tiny.features(dtype=dtype), tiny.proposals(tiny.boxes, tiny.classes))
    for name, loss in expected.items():
        assert got[name].dtype == torch.float32
        assert got[name].item() == pytest.approx(loss.item(), rel=0.05)
    sum(got.values()).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_positions_are_encoded_in_32_bits_under_autocast():
    """Angles reach dozens of turns, of which 16 bits leave nothing."""
    head = ImplicitPointHead(fine_channels=1, out_channels=1, fc_dim=2, reads_features=False)
    coords = torch.rand(2, 50, 2)
    expected = head._inputs(torch.zeros(2, 1, 50), coords)
    with torch.autocast("cpu", torch.bfloat16):
        got = head._inputs(torch.zeros(2, 1, 50), coords)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"MASK_POINT_HEAD__NAME": "StandardPointHead"}, "NAME is 'StandardPointHead'.*Implicit"),
        ({"ROI_MASK_HEAD__NAME": "PointRendROIMaskHead"}, "ROI_MASK_HEAD.NAME Implicit"),
        ({"MASK_POINT_HEAD__SUBDIVISION_NUM_POINTS": 700}, "is 700; .* such as 676 or 729"),
        ({"MASK_POINT_HEAD__TRAIN_NUM_POINTS": 0}, "TRAIN_NUM_POINTS is 0; it must be at least 1"),
        ({"IMPLICIT_POINTREND__PARAMS_L2_REGULARIZER": -1.0}, "REGULARIZER is -1.0.* at least 0"),
        ({"MASK_POINT_HEAD__NUM_FC": 0}, "NUM_FC is 0"),
        (
            {
                "IMPLICIT_POINTREND__POS_ENC_ENABLED": False,
                "IMPLICIT_POINTREND__IMAGE_FEATURE_ENABLED": False,
            },
            "POS_ENC_ENABLED is False; it must be True without IMAGE_FEATURE_ENABLED",
        ),
        ({"ROI_MASK_HEAD__POOLER_RESOLUTION": 5}, "POOLER_RESOLUTION is 5; it must be an even"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_at_build(tiny, overrides, message):
    with pytest.raises(ValueError, match=message):
        implicit(tiny, **overrides)


def test_built_without_a_configuration(tiny):
    """As of a LazyConfig: every value is a keyword."""
    level = LazyCall(FeatureLevels)(names=["p2"], strides=[4], channels=6)
    lazy = LazyCall(ImplicitPointRendROIMaskHead)(
        point_head=LazyCall(ImplicitPointHead)(fine_channels=6, out_channels=3, fc_dim=4),
        point_levels=level,
        parameter_levels=level,
        subdivision=LazyCall(SubdivisionPlan.from_square)(steps=1, num_points=16),
        num_train_points=9,
        pool_side=4,
        conv_dim=4,
        fc_dims=[8, 8],
    )
    head = randomize(instantiate(lazy), 0.2)
    assert head.subdivision == SubdivisionPlan(start_side=4, steps=1, num_points=16)
    assert head.parameter_loss_weight == 1e-5
    detections = head.eval()(tiny.features(), tiny.detections(tiny.boxes, tiny.classes))
    assert detections[1].pred_masks.shape == (2, 1, 8, 8)


def test_one_batch_is_learnt(tiny, event_storage):
    head = implicit(tiny, MASK_POINT_HEAD__NUM_FC=1)
    proposals = tiny.proposals(tiny.boxes, tiny.classes)
    for x in proposals:  # the left half of each image
        x.gt_masks.tensor.zero_()
        x.gt_masks.tensor[:, :, :20] = True
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01, foreach=True)
    history = []
    for step in range(30):
        history.append(losses(head, tiny.features(), proposals, seed=step)["loss_mask_point"])
        optimizer.zero_grad()
        history[-1].backward()
        optimizer.step()
    assert sum(history[-5:]) < 0.5 * sum(history[:5])
