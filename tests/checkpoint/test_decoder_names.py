"""Released weights of SFNet, SFNet-Lite and AlignSeg: what is loaded gives what theirs does."""

import pytest
import torch
from detectron2.modeling import build_model

from pointrend_ext.checkpoint import IncompleteWeightsError
from pointrend_ext.engine import load_cfg
from tests.checkpoint.helpers import assert_same, drop
from tests.checkpoint.released_networks import (
    CLASSES,
    DIM,
    RES2,
    STEM,
    AlignSeg,
    SFNet,
    SFNetLite,
    up,
)

FOLDER = "Cityscapes-SemanticSegmentation"
SIZES = [(128, 192), (130, 194), (129, 193), (127, 190), (101, 75)]
TINY = [
    *("MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "MODEL.RESNETS.NORM", "BN"),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", STEM, "MODEL.SEM_SEG_HEAD.CONVS_DIM", DIM),
    *("MODEL.SEM_SEG_HEAD.NORM", "BN", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", CLASSES),
]


def build(network, *, coords=None, refined=False, auxiliary=0.4):
    depth = 50 if network.depth == 50 else 18
    name = f"{network.kind}_R_{depth}_cityscapes.yaml"
    keys = ["MODEL.RESNETS.DEPTH", network.depth, "MODEL.RESNETS.WIDTH_PER_GROUP", 4]
    keys += ["MODEL.RESNETS.RES2_OUT_CHANNELS", RES2[network.depth]]
    keys += ["MODEL.SEM_SEG_HEAD.ALIGNMENT_COORDS", coords or network.grid]
    if network.kind != "sfnet_lite":
        keys += ["MODEL.SEM_SEG_HEAD.AUX_LOSS_WEIGHT", auxiliary]
    cfg = load_cfg(f"{FOLDER}/{'pointrend_' if refined else ''}{name}", [*TINY, *keys])
    return build_model(cfg).double().eval()


NETWORKS = [
    *(pytest.param(SFNet, depth, id=f"SFNet R{depth}") for depth in (18, 34, 50)),
    pytest.param(SFNetLite, 18, id="SFNet-Lite R18"),
    pytest.param(AlignSeg, 50, id="AlignSeg R50"),
]


@pytest.mark.parametrize(("make", "depth"), NETWORKS)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_equal_logits(rng, files, load, make, depth, prefix):
    """Strictly loaded, the whole network gives what theirs does, at even and odd sides."""
    network = make(depth)
    state = {f"{prefix}{name}": value for name, value in network.state.items()}
    model = build(network)
    report = load(model, files.pth({"state_dict": state, "epoch": 3}))
    assert report.format == make.format
    filled = {n for n in model.state_dict() if not n.endswith("num_batches_tracked")}
    assert filled <= set(report.names("loaded"))
    assert report.names("unexpected") == []
    for size_hw in SIZES if not prefix else SIZES[:1]:
        images = torch.randn(2, 3, *size_hw, generator=rng, dtype=torch.float64)
        with torch.no_grad():
            expected, inner = network(images)
            logits, auxiliary = model.sem_seg_head.layers_with_auxiliary(model.backbone(images))
        assert len(auxiliary) == {"sfnet": 3, "sfnet_lite": 0, "alignseg": 1}[make.kind]
        torch.testing.assert_close([logits, *auxiliary], [expected, *inner], rtol=1e-8, atol=1e-8)
        assert logits.std() > 0.1


@pytest.mark.parametrize(("make", "depth"), NETWORKS)
@pytest.mark.parametrize("output", ["logits", "labels"])
def test_equal_predictions(rng, files, load, make, depth, output):
    """Of a batch, whose padding the network sees: resized to all of it with the corners held."""
    network = make(depth)
    model = build(network)
    sizes_hw = [(97, 64), (68, 128)]
    images = [255 * torch.rand(3, *hw, generator=rng, dtype=torch.float64) for hw in sizes_hw]
    batch = torch.zeros(2, 3, 97, 128, dtype=torch.float64)
    for row, image in zip(batch, images, strict=True):
        row[:, : image.shape[1], : image.shape[2]] = (image - model.pixel_mean) / model.pixel_std
    bias = network.state[make.predictor.replace("weight", "bias")]
    with torch.no_grad():
        bias -= network(batch)[0].mean((0, 2, 3))  # or one class may win everywhere
        logits, _ = network(batch)
        load(model, files.pth(network.state))
        got = model.predict([{"image": image} for image in images], output)
    for one, whole, (rows, columns) in zip(got, up(logits, batch), sizes_hw, strict=True):
        expected = whole[:, :rows, :columns]
        if output == "labels":
            assert torch.equal(one["sem_seg"].long(), expected.argmax(0))
            assert len(expected.argmax(0).unique()) > 1
        else:
            torch.testing.assert_close(one["sem_seg"], expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("make", "depth"), NETWORKS)
def test_under_point_rend_without_auxiliary_layers(files, load, make, depth):
    """PointRend around them starts from the released decoder; its point head alone is new."""
    network = make(depth)
    model = build(network, refined=True, auxiliary=0.0)
    report = load(model, files.pth(network.state), training=True)
    assert report.new_parts() == ["semantic point head"]
    got = model.sem_seg_head.coarse_sem_seg_head.predictor.weight
    assert_same(got, network.state[make.predictor])


def test_another_gate_is_refused(files, load):
    """An older gate of SFNet-Lite reads two whole maps, not their means and maxima."""
    network = SFNetLite(18)
    network.state["head.flow_align_module.flow_gate.0.weight"] = torch.zeros(1, DIM, 3, 3)
    with pytest.raises(
        IncompleteWeightsError, match=r"1 tensors, \S*flow_gate\.0\.weight\. .*Lite"
    ):
        load(build(network), files.pth(network.state))


def test_deep_stem_backbone(files, load):
    """An ImageNet network whose stem is one nn.Sequential fills the backbone."""
    network = SFNet()
    state = {
        name.replace("layer0.0.", "conv1.").replace("layer0.1.", "bn1."): value
        for name, value in drop(network.state, "head.").items()
    }
    state["fc.weight"] = torch.zeros(10, 3)
    model = build(network, coords="pixel")
    report = load(model, files.pth(state), training=True)
    assert report.format == "ResNet with a deep stem"
    backbone = model.backbone.state_dict()
    for new, old in {
        "stem.conv1.weight": "conv1.0.weight",
        "stem.conv2.norm.bias": "conv1.4.bias",
        "stem.conv3.weight": "conv1.6.weight",
        "stem.conv3.norm.running_var": "bn1.running_var",
        "res4.0.shortcut.norm.weight": "layer3.0.downsample.1.weight",
    }.items():
        assert_same(backbone[new], state[old])
    assert report.new_parts() == ["semantic head", "auxiliary semantic layers"]
