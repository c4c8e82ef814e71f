"""FAM, GatedFAM and CAB: definitions, sizes, starting point."""

from unittest import mock

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torch.nn import functional as F

from pointrend_ext.layers import flow_warp
from pointrend_ext.modeling.alignment import (
    CAB,
    FAM,
    FEATURE_ALIGNMENT_REGISTRY,
    GatedFAM,
    build_feature_alignment,
    record_flows,
)
from tests.modeling.builders import model_cfg
from tests.modeling.decoder_oracles import AlignSeg, SFNet, prepare

KINDS = [FAM, GatedFAM, CAB]
SIZES = pytest.mark.parametrize("sizes", [((6, 10), (3, 5)), ((7, 9), (4, 5))], ids=["even", "odd"])
EVERY = pytest.mark.parametrize("kind", KINDS)


def make_maps(rng, channels=6, low_hw=(6, 10), high_hw=(3, 5), dtype=torch.float64):
    low = torch.randn(2, channels, *low_hw, generator=rng, dtype=torch.float64)
    high = torch.randn(2, channels, *high_hw, generator=rng, dtype=torch.float64)
    return low.to(dtype), high.to(dtype)


def up(x, low):
    return F.interpolate(x, low.shape[-2:], mode="bilinear", align_corners=False)


def make_node(**values):
    return model_cfg({f"FPN.ALIGNMENT.{k}": v for k, v in values.items()}).MODEL.FPN.ALIGNMENT


@pytest.mark.parametrize("coords", ["pixel", "sfnet", "alignseg"])
@pytest.mark.parametrize(
    ("kind", "oracle"),
    [(FAM, SFNet.fam), (GatedFAM, SFNet.gated_fam), (CAB, AlignSeg.cab)],
    ids=["FAM", "GatedFAM", "CAB"],
)
@SIZES
def test_values(rng, kind, oracle, coords, sizes):
    module = prepare(kind(channels=6, coords=coords), 0.5)
    low, high = make_maps(rng, low_hw=sizes[0], high_hw=sizes[1])
    decoder = (AlignSeg if kind is CAB else SFNet)(module, coords)
    with torch.no_grad():
        expected = oracle(decoder, low, high)
        torch.testing.assert_close(module(low, high), expected, rtol=0, atol=1e-10)


def test_the_split_of_cab_is_its_definition_in_training(rng):
    """The same batch statistics, gradients and, at 256 channels, values as unsplit."""
    module = prepare(CAB(channels=256), 0.02).float().train()
    low, high = make_maps(rng, channels=256, dtype=torch.float32)
    both = torch.cat([low, up(high, low)], 1)
    flows = module.predict_flows(low, high)
    sum(flow.square().sum() for flow in flows).backward()
    grads = {k: p.grad.clone() for k, p in module.named_parameters()}
    module.zero_grad()
    unsplit = [module.delta_gen1(both), module.delta_gen2(both)]
    sum(flow.square().sum() for flow in unsplit).backward()
    for got, expected in zip(flows, unsplit, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(grads[name], parameter.grad, rtol=2e-3, atol=2e-3)


# ---- sizes


@pytest.mark.parametrize(
    ("kind", "parameters", "multiply_adds"),  # per pixel of the fine map; high has half the side
    [
        (FAM, 70144, 256 * 128 * 5 // 4 + 9 * 256 * 2),
        (GatedFAM, 74788, 256 * 128 * 5 // 4 + 9 * 256 * 4 + 9 * 4),
        (CAB, 272384, 2 * (256 * 256 * 5 // 4 + 9 * 256 * 2)),
    ],
)
def test_parameters_and_multiply_adds(kind, parameters, multiply_adds):
    module = kind(channels=256).eval()
    assert sum(p.numel() for p in module.parameters()) == parameters
    counter = FlopCountAnalysis(module, (torch.zeros(1, 256, 8, 12), torch.zeros(1, 256, 4, 6)))
    counter.unsupported_ops_warnings(False)
    assert counter.by_operator()["conv"] == 8 * 12 * multiply_adds


# ---- starting point and training


@EVERY
@SIZES
def test_a_new_module_is_a_bilinear_sum(rng, kind, sizes):
    low, high = make_maps(rng, low_hw=sizes[0], high_hw=sizes[1], dtype=torch.float32)
    got = kind(channels=6).eval()(low, high)
    torch.testing.assert_close(got, low + up(high, low), rtol=0, atol=2e-6)


@EVERY
def test_from_zero_all_parameters_learn(rng, kind):
    module = kind(channels=6).double()
    low, high = make_maps(rng)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(2):  # the first step moves the last layer alone
        optimizer.zero_grad()
        module(low, high).square().mean().backward()
        optimizer.step()
    for name, parameter in module.named_parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().max() > 0, name


@EVERY
def test_gradients_of_a_whole_module(rng, kind):
    module = prepare(kind(channels=2), 0.1)
    low, high = (x.requires_grad_() for x in make_maps(rng, 2, (4, 5), (2, 3)))
    assert torch.autograd.gradcheck(module, (low, high), eps=1e-7, atol=1e-4)


@EVERY
def test_bfloat16(rng, kind):
    module = prepare(kind(channels=6), 0.05).bfloat16()
    low, high = make_maps(rng, dtype=torch.bfloat16)
    got = module(low, high)
    assert got.dtype == torch.bfloat16
    exact = module.float()(low.float(), high.float())
    torch.testing.assert_close(got.float(), exact, rtol=0.05, atol=0.1)


# ---- building


@EVERY
@pytest.mark.parametrize("zero_init", [True, False])
def test_what_the_node_says_arrives(rng, kind, zero_init):
    assert [make_node()[k] for k in ("CHANNELS", "NORM", "COORDS")] == [0, "BN", "pixel"]
    assert make_node().ZERO_INIT
    options = {"NAME": kind.__name__, "COORDS": "sfnet", "ZERO_INIT": zero_init}
    node = make_node(CHANNELS=32, NORM="GN", **options)
    before = node.dump()
    module = build_feature_alignment(node, channels=8)
    assert (type(module), module.coords, node.dump()) == (kind, "sfnet", before)
    reduce = module.delta_gen1[0] if kind is CAB else module.down_h
    assert reduce.weight.shape == (32, 16 if kind is CAB else 8, 1, 1)
    assert kind is not CAB or isinstance(reduce.norm, nn.GroupNorm)
    for flow in module.predict_flows(*make_maps(rng, channels=8, dtype=torch.float32)):
        assert (flow.abs().mean() > 1e-3) == (not zero_init)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"NAME": "SAM"}, r"NAME is 'SAM'.*\['CAB', 'FAM', 'GatedFAM'\]"),
        ({"NAME": "CAB", "CHANNELS": -5}, "CHANNELS is -5"),
        *(({"NAME": k.__name__, "COORDS": "corner"}, f"{k.__name__}: COORDS is") for k in KINDS),
    ],
)
def test_mistakes(node, message):
    with pytest.raises(ValueError, match=message):
        build_feature_alignment(make_node(**node), channels=4)


# ---- looking at flows


def test_recorded_flows(rng):
    """Of whatever the registry returns, here a function: it has ``predict_flows``."""
    registered = {"Someones": lambda node, *, channels: FAM(channels=channels)}
    with mock.patch.dict(FEATURE_ALIGNMENT_REGISTRY._obj_map, registered):
        module = build_feature_alignment(make_node(NAME="Someones"), channels=6)
    model = prepare(nn.ModuleDict({"a": module, "b": CAB(channels=6)}), 0.3)
    low, high = make_maps(rng)
    with torch.no_grad(), record_flows(model) as flows:
        plain = model["a"](low, high)
        model["b"](low, high)
    assert [flow.name for flow in flows] == ["a.high", "b.high", "b.low"]
    torch.testing.assert_close(low + flow_warp(high, flows[0].flow_px), plain)
    with torch.no_grad():
        torch.testing.assert_close(model["a"](low, high), plain, rtol=0, atol=0)
    assert len(flows) == 3  # the hooks are gone


@pytest.mark.parametrize("coords", ["sfnet", "alignseg"])
@EVERY
def test_flows_of_published_grids_are_recorded_in_pixels(rng, kind, coords):
    """A unit is half a pixel; a whole one where AlignSeg's grid reads a map of half the size."""
    module = prepare(kind(channels=6, coords=coords), 0.3)
    low, high = make_maps(rng)  # high has half the size
    height, width = low.shape[-2:]
    with torch.no_grad():
        units = module._flows(low, high)
        flows = module.predict_flows(low, high)
    for i, (flow, unit) in enumerate(zip(flows, units, strict=True)):
        reads_half = coords == "alignseg" and kind is not CAB and i == 0
        half_hw = high.shape[-2:] if reads_half else low.shape[-2:]
        expected = unit.clone()
        expected[:, 0] *= (width - 1) / (2 * half_hw[1])
        expected[:, 1] *= (height - 1) / (2 * half_hw[0])
        torch.testing.assert_close(flow, expected)
    assert len(flows) == (1 if kind is FAM else 2)
