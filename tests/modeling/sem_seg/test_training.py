"""Training of ``PointRendSemanticHead`` against the loop oracle with the same random draws."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch.nn import functional as F

from pointrend_ext.layers import class_uncertainty
from pointrend_ext.modeling.sem_seg import point_rend_head

IGNORE = 255
DEEPLAB = {
    "SEM_SEG_POINT_HEAD__COARSE_HEAD_NAME": "DeepLabV3LogitsHead",
    "SEM_SEG_HEAD__NORM": "BN",
}


def losses_of(head, features, targets):
    torch.manual_seed(5)
    logits, losses = head.train()(features, targets)
    assert logits is None
    assert losses.keys() == {"loss_sem_seg", "loss_sem_seg_point"}
    return losses


def draws(num_images, num_points, oversample, importance):
    """What the seed of ``losses_of`` gives: candidates, coverage, number of important points."""
    torch.manual_seed(5)
    candidates = torch.rand(num_images, int(num_points * oversample), 2, dtype=torch.float64)
    important = int(importance * num_points)
    coverage = torch.rand(num_images, num_points - important, 2, dtype=torch.float64)
    return candidates, coverage, important


def oracle_point_loss(loops, targets, **plan):
    """Mean over the valid points of the batch, and how many points were ignored."""
    candidates, coverage, important = draws(len(loops), **plan)
    losses = []
    for image, loop in enumerate(loops):
        points = loop.training_points(candidates[image], coverage[image], important)
        losses += [loop.cross_entropy(x, y, targets[image]) for x, y in points]
    valid = [loss for loss in losses if loss is not None]
    return sum(valid) / len(valid), len(losses) - len(valid)


PLAN = {"num_points": 40, "oversample": 3, "importance": 0.75}


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
def test_losses(semantic, loop_head, stride, size_hw, names, num_classes):
    head = semantic.head(
        stride, SEM_SEG_HEAD__NUM_CLASSES=num_classes, SEM_SEG_POINT_HEAD__IN_FEATURES=names
    )
    features, targets = semantic.features(size_hw), semantic.targets(size_hw, num_classes)
    losses = losses_of(head, features, targets)
    loops = [loop_head(head, features, image, names, coarse_stride=stride) for image in range(2)]
    expected, ignored = oracle_point_loss(loops, targets, **PLAN)
    assert ignored > 5
    assert losses["loss_sem_seg_point"].item() == pytest.approx(expected, rel=1e-10)

    logits = head.coarse_sem_seg_head.layers(features)
    dense = F.interpolate(logits, scale_factor=stride, mode="bilinear", align_corners=False)
    dense = dense[..., : size_hw[0], : size_hw[1]]
    if num_classes == 1:
        valid = targets != IGNORE
        expected = F.binary_cross_entropy_with_logits(dense[:, 0][valid], targets[valid].double())
    else:
        expected = F.cross_entropy(dense, targets, ignore_index=IGNORE)
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
def test_the_plan_of_the_points(semantic, loop_head, plan):
    head = semantic.head(
        8,
        SEM_SEG_POINT_HEAD__TRAIN_NUM_POINTS=plan["num_points"],
        SEM_SEG_POINT_HEAD__OVERSAMPLE_RATIO=plan["oversample"],
        SEM_SEG_POINT_HEAD__IMPORTANCE_SAMPLE_RATIO=plan["importance"],
    )
    features = semantic.features((24, 40))
    targets = semantic.targets((24, 40)) % 3  # nothing ignored
    loops = [loop_head(head, features, image, coarse_stride=8) for image in range(2)]
    expected, ignored = oracle_point_loss(loops, targets, **plan)
    got = losses_of(head, features, targets)["loss_sem_seg_point"].item()
    assert ignored == 0
    assert got == pytest.approx(expected, rel=1e-10)


def test_an_ignored_image_does_not_change_the_mean(semantic, loop_head):
    head, features = semantic.head(16), semantic.features((37, 53))
    targets = semantic.targets((37, 53))
    targets[1] = IGNORE
    got = losses_of(head, features, targets)["loss_sem_seg_point"].item()
    loops = [loop_head(head, features, image, coarse_stride=16) for image in range(2)]
    expected, ignored = oracle_point_loss(loops, targets, **PLAN)
    assert ignored > 40
    assert got == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("num_classes", [1, 3])
def test_points_beyond_the_labels_are_ignored(semantic, loop_head, num_classes):
    """Labels of 20 x 31 in maps that cover 48 x 64: Detectron2's segmentor never pads that much."""
    head = semantic.head(16, SEM_SEG_HEAD__NUM_CLASSES=num_classes)
    features, targets = semantic.features((37, 53)), semantic.targets((20, 31), num_classes)
    losses = losses_of(head, features, targets)
    loops = [loop_head(head, features, image, coarse_stride=16) for image in range(2)]
    expected, ignored = oracle_point_loss(loops, targets, **PLAN)
    assert ignored > 30
    assert losses["loss_sem_seg_point"].item() == pytest.approx(expected, rel=1e-10)
    padded = F.pad(targets, (0, 64 - 31, 0, 48 - 20), value=IGNORE)
    assert losses_of(head, features, padded) == losses


def test_one_class_is_binary_cross_entropy(semantic):
    head = semantic.head(8, SEM_SEG_HEAD__NUM_CLASSES=1)
    features, targets = semantic.features((24, 40)), semantic.targets((24, 40), 1)
    seen = []
    handle = head.point_head.register_forward_hook(lambda _m, _i, out: seen.append(out))
    sample, labels = point_rend_head.sample_map_labels, []

    def keep_labels(*args):
        labels.append(sample(*args))
        return labels[-1]

    with mock.patch.object(point_rend_head, "sample_map_labels", keep_labels):
        got = losses_of(head, features, targets)["loss_sem_seg_point"]
    handle.remove()
    [logits], [labels] = seen, labels
    valid = labels != IGNORE
    assert set(labels.unique().tolist()) == {0, 1, IGNORE}
    expected = F.binary_cross_entropy_with_logits(logits[:, 0][valid], labels[valid].double())
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("overrides", [{}, DEEPLAB], ids=["SemSegFPNHead", "DeepLabV3LogitsHead"])
def test_all_ignored_is_zero_with_finite_gradients(semantic, overrides, num_classes):
    head = semantic.head(16, SEM_SEG_HEAD__NUM_CLASSES=num_classes, **overrides)
    features = semantic.features((37, 53))
    losses = losses_of(head, features, torch.full((2, 37, 53), IGNORE))
    assert [loss.item() for loss in losses.values()] == [0, 0]
    sum(losses.values()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name  # else DistributedDataParallel stops
        assert (parameter.grad == 0).all(), name


@pytest.mark.parametrize("overrides", [{}, DEEPLAB], ids=["SemSegFPNHead", "DeepLabV3LogitsHead"])
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


@pytest.mark.parametrize("overrides", [{}, DEEPLAB], ids=["SemSegFPNHead", "DeepLabV3LogitsHead"])
@pytest.mark.parametrize(
    ("semantic_weight", "point_weight", "coarse_factor", "point_factor"),
    [(0.5, 1.0, 0.5, 0.5), (1.0, 0.25, 1.0, 0.25), (0.5, 3.0, 0.5, 1.5), (1.0, 0.0, 1.0, 0.0)],
)
def test_loss_weights(
    semantic, overrides, semantic_weight, point_weight, coarse_factor, point_factor
):
    features, targets = semantic.features((37, 53)), semantic.targets((37, 53))
    plain = losses_of(semantic.head(16, **overrides), features, targets)
    head = semantic.head(
        16,
        SEM_SEG_HEAD__LOSS_WEIGHT=semantic_weight,
        SEM_SEG_POINT_HEAD__LOSS_WEIGHT=point_weight,
        **overrides,
    )
    losses = losses_of(head, features, targets)
    factors = {name: (losses[name] / plain[name]).item() for name in losses}
    expected = {"loss_sem_seg": coarse_factor, "loss_sem_seg_point": point_factor}
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
