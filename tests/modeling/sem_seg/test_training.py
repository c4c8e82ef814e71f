"""Training of ``PointRendSemanticHead`` against the loop oracle with the same random draws."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch.nn import functional as F

from pointrend_ext.layers import class_uncertainty
from pointrend_ext.modeling.sem_seg import point_rend_head
from tests.modeling.sem_seg.decoder_heads import DEEPLAB_COARSE, IGNORE, mean_loss, upsampled

COARSE_HEADS = pytest.mark.parametrize(
    "overrides", [{}, DEEPLAB_COARSE], ids=["SemSegFPNHead", "DeepLab"]
)


def losses_of(head, features, targets):
    torch.manual_seed(5)
    logits, losses = head.train()(features, targets)
    assert logits is None
    assert losses.keys() == {"loss_sem_seg", "loss_sem_seg_point"}
    return losses


PLAN = {"num_points": 40, "oversample": 3, "importance": 0.75}


@pytest.fixture
def check_points(loop_head):
    """Compare the loss at points with the oracle's; returns how many points were ignored."""

    def check(losses, head, features, targets, *, names=("p2",), plan=PLAN):
        num_points, stride = plan["num_points"], head.common_stride
        num_important = int(plan["importance"] * num_points)
        torch.manual_seed(5)  # as in losses_of
        draws = [
            torch.rand(len(targets), number, 2, dtype=torch.float64)
            for number in (int(num_points * plan["oversample"]), num_points - num_important)
        ]
        every = []
        for image, labels in enumerate(targets):
            loop = loop_head(head, features, image, names, coarse_stride=stride)
            points = loop.training_points(*(draw[image] for draw in draws), num_important)
            every += [loop.cross_entropy(x, y, labels) for x, y in points]
        valid = [loss for loss in every if loss is not None]
        expected = sum(valid) / len(valid)
        assert losses["loss_sem_seg_point"].item() == pytest.approx(expected, rel=1e-10)
        return len(every) - len(valid)

    return check


@pytest.mark.parametrize("num_classes", [1, 2, 5])
@pytest.mark.parametrize(
    ("stride", "size_hw", "names"),
    [
        (4, (32, 48), ("p2",)),
        (4, (37, 53), ("p2",)),
        (8, (37, 53), ("p2", "p3")),
        (16, (37, 53), ("p2",)),
        (16, (37, 53), ("p4", "p2")),
    ],
)
def test_losses(semantic, check_points, stride, size_hw, names, num_classes):
    head = semantic.head(
        stride, SEM_SEG_HEAD__NUM_CLASSES=num_classes, SEM_SEG_POINT_HEAD__IN_FEATURES=names
    )
    features, targets = semantic.features(size_hw), semantic.targets(size_hw, num_classes)
    losses = losses_of(head, features, targets)
    assert check_points(losses, head, features, targets, names=names) > 5

    logits = head.coarse_sem_seg_head.layers(features)
    expected = mean_loss("cross_entropy", upsampled(logits, stride, size_hw), targets)
    # Detectron2's head computes its loss in float32
    assert losses["loss_sem_seg"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    "plan",
    [
        {"num_points": 1, "oversample": 1, "importance": 0.0},
        {"num_points": 25, "oversample": 2, "importance": 1.0},
        {"num_points": 25, "oversample": 1, "importance": 0.3},
    ],
)
def test_the_plan_of_the_points(semantic, check_points, plan):
    head = semantic.head(
        8,
        SEM_SEG_POINT_HEAD__TRAIN_NUM_POINTS=plan["num_points"],
        SEM_SEG_POINT_HEAD__OVERSAMPLE_RATIO=plan["oversample"],
        SEM_SEG_POINT_HEAD__IMPORTANCE_SAMPLE_RATIO=plan["importance"],
    )
    features = semantic.features((24, 40))
    targets = semantic.targets((24, 40)) % 3  # nothing ignored
    losses = losses_of(head, features, targets)
    assert check_points(losses, head, features, targets, plan=plan) == 0


def test_an_ignored_image_does_not_change_the_mean(semantic, check_points):
    head, features = semantic.head(16), semantic.features((37, 53))
    targets = semantic.targets((37, 53))
    targets[1] = IGNORE
    assert check_points(losses_of(head, features, targets), head, features, targets) > 40


@pytest.mark.parametrize("num_classes", [1, 3])
def test_points_beyond_the_labels_are_ignored(semantic, check_points, num_classes):
    """Labels of 20 x 31 in maps that cover 48 x 64: Detectron2's segmentor never pads that much."""
    head = semantic.head(16, SEM_SEG_HEAD__NUM_CLASSES=num_classes)
    features, targets = semantic.features((37, 53)), semantic.targets((20, 31), num_classes)
    losses = losses_of(head, features, targets)
    assert check_points(losses, head, features, targets) > 30
    padded = F.pad(targets, (0, 64 - 31, 0, 48 - 20), value=IGNORE)
    assert losses_of(head, features, padded) == losses


@pytest.mark.parametrize("num_classes", [1, 3])
@COARSE_HEADS
def test_all_ignored_is_zero_with_finite_gradients(semantic, overrides, num_classes):
    head = semantic.head(16, SEM_SEG_HEAD__NUM_CLASSES=num_classes, **overrides)
    features = semantic.features((37, 53))
    losses = losses_of(head, features, torch.full((2, 37, 53), IGNORE))
    assert [loss.item() for loss in losses.values()] == [0, 0]
    sum(losses.values()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name  # else DistributedDataParallel stops
        assert (parameter.grad == 0).all(), name


@COARSE_HEADS
def test_both_losses_train_all_they_should(semantic, overrides):
    head = semantic.head(16, **overrides)
    features, targets = semantic.features((37, 53)), semantic.targets((37, 53))
    features = {name: planes.requires_grad_() for name, planes in features.items()}
    losses = losses_of(head, features, targets)
    losses["loss_sem_seg_point"].backward(retain_graph=True)
    for name, parameter in head.named_parameters():
        assert parameter.grad.any(), name  # the coarse head, too: its logits are the points' input
    assert features["p2"].grad.any()
    assert features["p4"].grad.any()
    head.zero_grad()
    losses["loss_sem_seg"].backward()
    assert all(parameter.grad is None for parameter in head.point_head.parameters())
    assert head.coarse_sem_seg_head.predictor.weight.grad.any()


@COARSE_HEADS
@pytest.mark.parametrize("dense_weight", [0.5, 1.0])
@pytest.mark.parametrize("point_weight", [0.0, 0.25, 3.0])
def test_loss_weights(semantic, overrides, dense_weight, point_weight):
    features, targets = semantic.features((37, 53)), semantic.targets((37, 53))
    plain = losses_of(semantic.head(16, **overrides), features, targets)
    weights = {
        "SEM_SEG_HEAD__LOSS_WEIGHT": dense_weight,
        "SEM_SEG_POINT_HEAD__LOSS_WEIGHT": point_weight,
    }
    losses = losses_of(semantic.head(16, **overrides, **weights), features, targets)
    factors = {name: (losses[name] / plain[name]).item() for name in losses}
    expected = {"loss_sem_seg": dense_weight, "loss_sem_seg_point": dense_weight * point_weight}
    assert factors == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("num_classes", [1, 3])
def test_losses_fall_on_one_batch(semantic, num_classes):
    head = semantic.head(8, SEM_SEG_HEAD__NUM_CLASSES=num_classes, std=0.3).float()
    features = semantic.features((24, 40), dtype=torch.float32)
    # something to learn: the sign of one channel, or which of two is larger than the third
    finest = F.interpolate(features["p2"], scale_factor=4)
    targets = (finest[:, 0] > 0).long() if num_classes == 1 else finest[:, :3].argmax(1)
    targets[:, :3] = IGNORE
    optimizer = torch.optim.Adam(head.parameters(), lr=0.03)
    history = []
    for _ in range(30):
        losses = losses_of(head, features, targets)
        history.append({name: loss.item() for name, loss in losses.items()})
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert history[-1]["loss_sem_seg_point"] < 0.5 * history[0]["loss_sem_seg_point"]
    assert history[-1]["loss_sem_seg"] < history[0]["loss_sem_seg"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_points_of_a_16_bit_head_are_chosen_in_32(semantic, dtype):
    """Interpolated logits are not rounded before they are compared: that would make ties."""
    head, seen = semantic.head(16).to(dtype), []
    features, targets = semantic.features((37, 53), dtype=dtype), semantic.targets((37, 53))

    def uncertainty(logits):
        seen.append(logits)
        return class_uncertainty(logits)

    with mock.patch.object(point_rend_head, "class_uncertainty", uncertainty):
        losses = losses_of(head, features, targets)
    assert [logits.dtype for logits in seen] == [torch.float32]
    assert not torch.equal(seen[0], seen[0].to(dtype).float())
    assert {loss.dtype for loss in losses.values()} == {torch.float32}


def test_labels_larger_than_the_maps_are_an_error(semantic):
    with pytest.raises(ValueError, match=r"\(49, 64\).*\(48, 64\)"):
        losses_of(semantic.head(16), semantic.features((48, 64)), semantic.targets((49, 64)))
