"""Training of ``PointRendROIMaskHead``: both losses against a loop, gradients, odd batches."""

import math

import pytest
import torch
from detectron2.structures import BitMasks, PolygonMasks

from tests.modeling.builders import BOTH_LEVELS

SIZES = ((32, 40), (24, 36))  # the second image is padded


def losses(head, features, proposals, seed=3):
    torch.manual_seed(seed)
    return head.train()(features, proposals)


def cross_entropy(logit, label):
    probability = 1 / (1 + math.exp(-logit))
    return -(label * math.log(probability) + (1 - label) * math.log(1 - probability))


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ({}, ("p2",)),
        (BOTH_LEVELS, ("p2", "p3")),
        ({"ROI_MASK_HEAD__CLS_AGNOSTIC_MASK": True}, ("p2",)),
        ({"ROI_HEADS__NUM_CLASSES": 1}, ("p2",)),
        ({"MASK_POINT_HEAD__LOSS_WEIGHT": 0.25}, ("p2",)),
        ({"MASK_POINT_HEAD__IMPORTANCE_SAMPLE_RATIO": 1.0}, ("p2",)),
    ],
)
def test_both_losses_equal_the_loop(tiny, loop_head, oracle, event_storage, overrides, names):
    head = tiny.head(**overrides).double()
    classes = [[0, 0], [0, 0]] if "ROI_HEADS__NUM_CLASSES" in overrides else tiny.classes
    proposals = tiny.proposals(tiny.boxes, classes, SIZES)
    got = losses(head, tiny.features(dtype=torch.float64), proposals)
    assert set(got) == {"loss_mask", "loss_mask_point"}

    # the random numbers that the head has seen: 3 * 9 candidates, then the points of coverage
    important = 9 if "MASK_POINT_HEAD__IMPORTANCE_SAMPLE_RATIO" in overrides else 6
    torch.manual_seed(3)
    candidates = torch.rand(4, 27, 2, dtype=torch.float64).tolist()
    fresh = torch.rand(4, 9 - important, 2, dtype=torch.float64).tolist()

    slow = loop_head(head, tiny.features(dtype=torch.float64), names)
    dense_loss, point_loss, region = 0.0, 0.0, 0
    for image, proposals_of_image in enumerate(proposals):
        masks = proposals_of_image.gt_masks
        crops = masks.crop_and_resize(proposals_of_image.proposal_boxes.tensor, 3)
        for box, label, mask, crop in zip(
            tiny.boxes[image], classes[image], masks.tensor, crops, strict=True
        ):
            coarse = slow.coarse(image, box)
            channel = 0 if len(coarse) == 1 else label
            plane = coarse[channel]
            for i in range(3):
                for j in range(3):
                    dense_loss += cross_entropy(plane[i, j], float(crop[i, j])) / (4 * 9)
            ranked = sorted(candidates[region], key=lambda p, m=plane: abs(oracle.bilinear(m, *p)))
            for x, y in ranked[:important] + fresh[region]:
                px = box[0] + x * (box[2] - box[0]), box[1] + y * (box[3] - box[1])
                height, width = mask.shape
                truth = oracle.bilinear(mask.double().numpy(), px[0] / width, px[1] / height)
                logit = slow.point(image, box, coarse, x, y)[channel]
                point_loss += cross_entropy(logit, truth) / (4 * 9)
            region += 1
    weight = overrides.get("MASK_POINT_HEAD__LOSS_WEIGHT", 1.0)
    # Detectron2 sums the dense loss in 32 bits
    assert got["loss_mask"].item() == pytest.approx(dense_loss, rel=1e-5)
    assert got["loss_mask_point"].item() == pytest.approx(point_loss * weight, abs=1e-10)


def test_point_loss_trains_everything_and_dense_loss_the_coarse_head(tiny, event_storage):
    head = tiny.head()
    features = {k: v.requires_grad_() for k, v in tiny.features().items()}
    proposals = tiny.proposals(tiny.boxes, tiny.classes)
    for x in proposals:
        x.proposal_boxes.tensor.requires_grad_()
    got = losses(head, features, proposals)
    parameters = dict(head.named_parameters())
    point = torch.autograd.grad(got["loss_mask_point"], parameters.values(), retain_graph=True)
    for name, grad in zip(parameters, point, strict=True):
        assert grad.abs().sum() > 0, name  # the coarse features are not detached
    (grad,) = torch.autograd.grad(got["loss_mask_point"], features["p2"], retain_graph=True)
    assert grad[0].abs().sum() > 0
    assert grad[1].abs().sum() > 0
    dense = torch.autograd.grad(got["loss_mask"], parameters.values(), allow_unused=True)
    for name, grad in zip(parameters, dense, strict=True):
        assert (grad is not None) == name.startswith("coarse_head"), name
    sum(losses(head, features, proposals).values()).backward()
    assert [x.proposal_boxes.tensor.grad for x in proposals] == [None, None]


def test_gradients_are_those_of_the_point_loss(tiny, event_storage):
    head = tiny.head().double()
    proposals = tiny.proposals(tiny.boxes[:1], tiny.classes[:1], SIZES[:1])
    feature = tiny.features(num_images=1, size_hw=(16, 16), dtype=torch.float64)["p2"]

    def point_loss(p2):
        return losses(head, {"p2": p2}, proposals)["loss_mask_point"]

    assert torch.autograd.gradcheck(point_loss, (feature.requires_grad_(),), eps=1e-7)


@pytest.mark.parametrize("overrides", [{}, BOTH_LEVELS, {"ROI_MASK_HEAD__CLS_AGNOSTIC_MASK": True}])
@pytest.mark.parametrize("num_images", [1, 2])
def test_no_foreground_in_the_whole_batch(tiny, event_storage, overrides, num_images):
    head = tiny.head(**overrides)
    features = {k: v.requires_grad_() for k, v in tiny.features(num_images=num_images).items()}
    empty = [[]] * num_images
    got = losses(head, features, tiny.proposals(empty, empty, SIZES[:num_images]))
    assert set(got) == {"loss_mask", "loss_mask_point"}
    assert [loss.item() for loss in got.values()] == [0, 0]
    sum(got.values()).backward()
    for name, parameter in head.named_parameters():
        assert torch.equal(parameter.grad, torch.zeros_like(parameter)), name
    for name in overrides.get("MASK_POINT_HEAD__IN_FEATURES", ("p2",)):
        assert torch.equal(features[name].grad, torch.zeros_like(features[name]))


def test_an_image_without_foreground_changes_nothing(tiny, event_storage):
    head = tiny.head().double()
    features = tiny.features(num_images=3, dtype=torch.float64)
    boxes, classes = [tiny.boxes[0], [], tiny.boxes[1]], [tiny.classes[0], [], tiny.classes[1]]
    sizes = (SIZES[0], SIZES[0], SIZES[1])
    got = losses(head, features, tiny.proposals(boxes, classes, sizes))
    without = {name: feature[[0, 2]] for name, feature in features.items()}
    expected = losses(head, without, tiny.proposals(tiny.boxes, tiny.classes, SIZES))
    for name, loss in expected.items():
        torch.testing.assert_close(got[name], loss, rtol=1e-12, atol=1e-12)


def test_boxes_of_no_area_outside_and_far_larger_train(tiny, event_storage):
    head = tiny.head()
    boxes = [[[7, 9, 7, 9], [500, 500, 600, 600], [-300, -300, 400, 400], [7, 9, 20, 9]]]
    got = losses(head, tiny.features(num_images=1), tiny.proposals(boxes, [[0] * 4], SIZES[:1]))
    sum(got.values()).backward()
    assert all(loss.isfinite() for loss in got.values())
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_nan_features_show_in_the_losses(tiny, event_storage):
    features = tiny.features()
    features["p2"][0] = float("nan")
    got = losses(tiny.head(), features, tiny.proposals(tiny.boxes, tiny.classes))
    assert got["loss_mask"].isnan()
    assert got["loss_mask_point"].isnan()


@pytest.mark.parametrize(
    ("dtype", "autocast"),
    [(torch.bfloat16, False), (torch.float16, False), (torch.float32, True)],
)
def test_half_precision_is_close(tiny, event_storage, dtype, autocast):
    expected = losses(tiny.head(), tiny.features(), tiny.proposals(tiny.boxes, tiny.classes))
    head = tiny.head().to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        got = losses(head, tiny.features(dtype=dtype), tiny.proposals(tiny.boxes, tiny.classes))
    for name, loss in expected.items():
        assert got[name].dtype == torch.float32
        assert got[name].item() == pytest.approx(loss.item(), rel=0.05)
    sum(got.values()).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_logs_the_point_accuracy(tiny, event_storage):
    head = tiny.head()
    losses(head, tiny.features(), tiny.proposals(tiny.boxes, tiny.classes))
    assert all(module.training for module in head.modules())
    assert 0 <= event_storage.latest()["point/accuracy"][0] <= 1
    assert "mask_rcnn/accuracy" in event_storage.latest()


def test_one_batch_is_learnt(tiny, event_storage):
    head = tiny.head(std=0.2)
    proposals = tiny.proposals(tiny.boxes, tiny.classes)
    for x in proposals:  # the left half of each image
        x.gt_masks.tensor.zero_()
        x.gt_masks.tensor[:, :, :20] = True
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    history = []
    for step in range(80):
        history.append(losses(head, tiny.features(), proposals, seed=step)["loss_mask_point"])
        optimizer.zero_grad()
        history[-1].backward()
        optimizer.step()
    assert sum(history[-20:]) < 0.5 * sum(history[:20])


def test_polygons_give_the_losses_of_their_bitmasks(tiny, event_storage):
    head = tiny.head()
    proposals = tiny.proposals([tiny.boxes[0]], [tiny.classes[0]], SIZES[:1])
    polygons = PolygonMasks([[[1.0, 2, 30, 2, 30, 25, 1, 25]], [[3.0, 4, 20, 4, 20, 30]]])
    got = []
    for masks in (polygons, BitMasks.from_polygon_masks(polygons, *SIZES[0])):
        proposals[0].gt_masks = masks
        features = tiny.features(num_images=1)
        got.append(losses(head, features, proposals)["loss_mask_point"])
    assert torch.equal(*got)
