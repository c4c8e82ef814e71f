"""``SFNetLiteHead``: values, sizes, what it refuses, a training step, PointRend."""

import math

import pytest
import torch
from detectron2.layers import ShapeSpec

from pointrend_ext.modeling.sem_seg import SFNetLiteHead
from pointrend_ext.modeling.sem_seg.decoder_layers import pad_to_common_extent
from tests.modeling.decoder_oracles import SFNetLite, prepare
from tests.modeling.sem_seg.decoder_heads import (
    EVEN,
    NUM_CLASSES,
    ODD,
    make_features,
    make_head,
    make_targets,
)
from tests.modeling.sem_seg.decoder_heads import SHAPES as ALL_SHAPES

SHAPES = {name: ALL_SHAPES[name] for name in ("res2", "res4", "res5")}


def make(**options):
    return make_head("SFNetLiteHead", shapes=ALL_SHAPES, IN_FEATURES=list(SHAPES), **options)


@pytest.mark.parametrize("coords", ["pixel", "sfnet"])
@pytest.mark.parametrize("size_hw", [EVEN, ODD])
def test_values(rng, coords, size_hw):
    """Maps are continued to one extent, but for the published grid, which stretches them."""
    head = SFNetLiteHead(
        input_shape=SHAPES, num_classes=3, common_stride=4, conv_dims=6, coords=coords
    )
    head = prepare(head, 0.5)
    features = make_features(rng, size_hw, SHAPES, dtype=torch.float64)
    maps = list(features.values())
    if coords == "pixel":
        maps = pad_to_common_extent(maps, [4, 16, 32])
    with torch.no_grad():
        expected, _ = SFNetLite(head, coords)(maps)
        logits, inner = head.layers_with_auxiliary(features)
    rows, columns = features["res2"].shape[-2:]
    torch.testing.assert_close(logits, expected[..., :rows, :columns], rtol=1e-9, atol=1e-9)
    assert inner == []
    assert logits.std() > 0.1


@pytest.mark.parametrize("has_points", [False, True])
@pytest.mark.parametrize("size_hw", [ODD, EVEN])
def test_one_step_and_inference(rng, has_points, size_hw):
    head = make(has_points=has_points, LOSS_TYPE="ohem")
    features = make_features(rng, size_hw, SHAPES)
    _, losses = head(features, make_targets(rng, size_hw))
    assert set(losses) == {"loss_sem_seg"} | ({"loss_sem_seg_point"} if has_points else set())
    sum(losses.values()).backward()
    for key, parameter in head.named_parameters():
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key
    with torch.no_grad():
        logits, _ = head.eval()(features)
    assert logits.shape == (2, NUM_CLASSES, *(4 * math.ceil(side / 4) for side in size_hw))
    assert logits.isfinite().all()


def test_logits_of_the_published_grid_are_stretched_to_the_batch(rng):
    """Told the sizes of the images, corners are corner cells; else cells lie at the stride."""
    head = make(ALIGNMENT_COORDS="sfnet").eval()
    features = make_features(rng, ODD, SHAPES)
    with torch.no_grad():
        cells = head.layers(features)
        got, _ = head(features, image_sizes=[(75, 60), (40, 101)])
        plain, _ = head(features)
    assert got.shape[-2:] == ODD
    ends = [0, -1]
    torch.testing.assert_close(got[..., ends, :][..., ends], cells[..., ends, :][..., ends])
    assert plain.shape[-2:] == (76, 104)
    pixel = make().eval()
    with torch.no_grad():
        told, _ = pixel(features, image_sizes=[(75, 60), (40, 101)])
        untold, _ = pixel(features)
    assert torch.equal(told, untold)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"AUX_LOSS_WEIGHT": 0.4}, r"AUX_LOSS_WEIGHT is 0\.4; it must be 0\.0, .*SFNetLiteHead"),
        ({"IN_FEATURES": list(ALL_SHAPES)}, r"IN_FEATURES is \['res2'.*; it must be three maps"),
        ({"IN_FEATURES": ["res2", "res5"]}, r"IN_FEATURES is \['res2', 'res5'\]; .*three maps"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        make_head("SFNetLiteHead", shapes=ALL_SHAPES, **{"IN_FEATURES": list(SHAPES), **options})


def test_published_shapes():
    """The layers of the released networks, at their widths (on the meta device)."""
    channels = {"res2": (64, 4), "res4": (256, 16), "res5": (512, 32)}
    inputs = {k: ShapeSpec(channels=c, stride=s) for k, (c, s) in channels.items()}
    with torch.device("meta"):
        head = SFNetLiteHead(input_shape=inputs, num_classes=19, common_stride=4, conv_dims=128)
    state = {name: tuple(value.shape) for name, value in head.state_dict().items()}
    expected = {
        "ppm.stages.3.weight": (128, 512, 1, 1),
        "ppm.bottleneck.weight": (128, 512 + 4 * 128, 1, 1),
        "fpn_in.1.weight": (128, 256, 1, 1),
        "fpn_align.down_l.weight": (64, 128, 1, 1),
        "fpn_align.flow_make.weight": (4, 128, 3, 3),
        "fpn_align.flow_gate.0.weight": (1, 4, 3, 3),
        "fuse.weight": (128, 256, 3, 3),
        "predictor.weight": (19, 128, 1, 1),
    }
    assert {name: state.get(name) for name in expected} == expected
