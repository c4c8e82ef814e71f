"""Training of ``PointRendSemanticHead`` against the loop oracle with the same random draws."""

from unittest import mock

import pytest
import torch
from detectron2.modeling import build_sem_seg_head
from torch.nn import functional as F

from pointrend_ext.layers import class_uncertainty
from pointrend_ext.modeling.sem_seg import point_rend_head
from pointrend_ext.modeling.sem_seg.label_map import sample_map_labels
from tests.modeling.sem_seg.decoder_heads import (
    DEEPLAB_COARSE,
    IGNORE,
    loss_history,
    mean_loss,
    upsampled,
)

ODD = (37, 53)
COARSE_HEADS = pytest.mark.parametrize(
    "overrides", [{}, DEEPLAB_COARSE], ids=["SemSegFPNHead", "DeepLab"]
)


def losses_of(head, features, targets):
    torch.manual_seed(5)
    logits, losses = head.train()(features, targets)
    assert logits is None
    assert losses.keys() == {"loss_sem_seg", "loss_sem_seg_point"}
    return losses


@pytest.fixture
def check_points(loop_head):
    """Compare the loss at points with the oracle's; returns how many points were ignored."""

    def check(losses, head, features, targets, *, names=("p2",), plan=(40, 3, 0.75)):
        num_points, oversample, importance = plan
        num_important = int(importance * num_points)
        torch.manual_seed(5)  # as in losses_of
        draws = [
            torch.rand(len(targets), number, 2, dtype=torch.float64)
            for number in (num_points * oversample, num_points - num_important)
        ]
        every = []
        for image, labels in enumerate(targets):
            loop = loop_head(head, features, image, names, coarse_stride=head.common_stride)
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
        (4, ODD, ("p2",)),
        (8, ODD, ("p2", "p3")),
        (16, ODD, ("p2",)),
        (16, ODD, ("p4", "p2")),
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


@pytest.mark.parametrize("plan", [(1, 1, 0.0), (25, 2, 1.0), (25, 1, 0.3)])
def test_the_plan_of_the_points(semantic, check_points, plan):
    keys = ("TRAIN_NUM_POINTS", "OVERSAMPLE_RATIO", "IMPORTANCE_SAMPLE_RATIO")
    pairs = zip(keys, plan, strict=True)
    head = semantic.head(8, **{f"SEM_SEG_POINT_HEAD__{key}": value for key, value in pairs})
    features, targets = semantic.features((24, 40)), semantic.targets((24, 40)) % 3  # none ignored
    losses = losses_of(head, features, targets)
    assert check_points(losses, head, features, targets, plan=plan) == 0


@pytest.mark.parametrize("num_classes", [1, 3])
def test_only_labelled_points_count(semantic, check_points, num_classes):
    """Labels of 20 x 31 in maps that cover 48 x 64: Detectron2's segmentor never pads that much."""
    head, features = (
        semantic.head(16, SEM_SEG_HEAD__NUM_CLASSES=num_classes),
        semantic.features(ODD),
    )
    targets = semantic.targets((20, 31), num_classes)
    losses = losses_of(head, features, targets)
    assert check_points(losses, head, features, targets) > 30
    padded = F.pad(targets, (0, 64 - 31, 0, 48 - 20), value=IGNORE)
    assert losses_of(head, features, padded) == losses
    targets = semantic.targets(ODD, num_classes)
    targets[1] = IGNORE  # an image without labels does not change the mean
    assert check_points(losses_of(head, features, targets), head, features, targets) > 40


def test_no_point_is_spent_on_padding(semantic, check_points):
    """All points lie within 20 x 31 of 48 x 64 pixels, and no loss is felt beyond."""
    cfg = semantic.cfg(16)
    cfg.INPUT.LSJ.ENABLED = True
    head = build_sem_seg_head(cfg, semantic.shapes).double()
    features, targets = semantic.features(ODD), semantic.targets(ODD) % 3
    targets[:, 20:] = IGNORE
    targets[:, :, 31:] = IGNORE
    seen = []

    def read(maps, coords, *rest):
        seen.append((coords, sample_map_labels(maps, coords, *rest)))
        return seen[-1][1]

    with mock.patch.object(point_rend_head, "sample_map_labels", read):
        losses_of(head, features, targets)
    ((coords, labels),) = seen
    assert (labels != IGNORE).all()
    furthest = coords.amax(dim=(0, 1)) * torch.tensor([64.0, 48.0])
    assert furthest.tolist() == pytest.approx([31, 20], abs=2)
    assert (furthest < torch.tensor([31.0, 20.0])).all()


@COARSE_HEADS
def test_both_losses_train_all_they_should(semantic, overrides):
    head = semantic.head(16, **overrides)
    features, targets = semantic.features(ODD), semantic.targets(ODD)
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
    features, targets = semantic.features(ODD), semantic.targets(ODD)
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
    history = loss_history(head, features, targets, lr=0.03, steps=30)
    assert history[-1]["loss_sem_seg_point"] < 0.5 * history[0]["loss_sem_seg_point"]
    assert history[-1]["loss_sem_seg"] < history[0]["loss_sem_seg"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_points_of_a_16_bit_head_are_chosen_in_32(semantic, dtype):
    """Interpolated logits are not rounded before they are compared: that would make ties."""
    head, seen = semantic.head(16).to(dtype), []
    features, targets = semantic.features(ODD, dtype=dtype), semantic.targets(ODD)

    def uncertainty(logits):
        seen.append(logits)
        return class_uncertainty(logits)

    with mock.patch.object(point_rend_head, "class_uncertainty", uncertainty):
        losses = losses_of(head, features, targets)
    assert [logits.dtype for logits in seen] == [torch.float32]
    assert not torch.equal(seen[0], seen[0].to(dtype).float())
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
