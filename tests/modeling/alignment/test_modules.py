"""FAM, GatedFAM and CAB: definitions, sizes, starting point."""

from __future__ import annotations

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

KINDS = [FAM, GatedFAM, CAB]
COORDS = ["pixel", "sfnet", "alignseg"]
# parameters, and multiply-adds per pixel of the fine map, at 256 channels (half the side for high)
PARAMETERS = {FAM: 70144, GatedFAM: 74788, CAB: 272384}
REDUCE_LOW, REDUCE_HIGH = 256 * 128, 256 * 128 // 4
MULTIPLY_ADDS = {
    FAM: REDUCE_LOW + REDUCE_HIGH + 9 * 256 * 2,
    GatedFAM: REDUCE_LOW + REDUCE_HIGH + 9 * 256 * 4 + 9 * 4,
    CAB: 2 * (256 * 256 + 256 * 256 // 4 + 9 * 256 * 2),
}


def randomize(module, std=0.3):
    """Weights large enough for flows of some pixels, and statistics for the normalisations."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, std, generator=generator)
        for name, buffer in module.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2, generator=generator)
            elif name.endswith("running_mean"):
                buffer.normal_(0, 0.2, generator=generator)
    return module


def make_maps(rng, channels=6, low_hw=(6, 10), high_hw=(3, 5), dtype=torch.float64):
    low = torch.randn(2, channels, *low_hw, generator=rng, dtype=torch.float64)
    high = torch.randn(2, channels, *high_hw, generator=rng, dtype=torch.float64)
    return low.to(dtype), high.to(dtype)


def up(x, low, coords):
    return F.interpolate(x, low.shape[-2:], mode="bilinear", align_corners=coords != "pixel")


def make_node(**values):
    return model_cfg({f"FPN.ALIGNMENT.{k}": v for k, v in values.items()}).MODEL.FPN.ALIGNMENT


# ---- definitions, written anew from the weights


def expected_fam(m, low, high):
    hidden = [up(F.conv2d(high, m["down_h.weight"]), low, m.coords)]
    hidden.append(F.conv2d(low, m["down_l.weight"]))
    flow = F.conv2d(torch.cat(hidden, 1), m["flow_make.weight"], padding=1)
    return low + flow_warp(high, flow, coords=m.coords)


def expected_gated_fam(m, low, high):
    h = up(F.conv2d(high, m["down_h.weight"]), low, m.coords)
    hidden = torch.cat([h, F.conv2d(low, m["down_l.weight"])], 1)
    flow = F.conv2d(hidden, m["flow_make.weight"], padding=1)
    statistics = [h.mean(1), low.mean(1), h.max(1).values, low.max(1).values]
    gate = F.conv2d(torch.stack(statistics, 1), m["flow_gate.0.weight"], padding=1).sigmoid()
    warped_high = flow_warp(high, flow[:, :2], coords=m.coords)
    warped_low = flow_warp(low, flow[:, 2:], coords=m.coords)
    factor = 2 if m.coords == "pixel" else 1
    return factor * (gate * warped_high + (1 - gate) * warped_low)


def expected_cab(m, low, high):
    high = up(high, low, m.coords)
    both = torch.cat([low, high], 1)
    flows = []
    for name in ("delta_gen1", "delta_gen2"):
        hidden = F.conv2d(both, m[f"{name}.0.weight"])
        hidden = F.batch_norm(
            hidden,
            m[f"{name}.0.norm.running_mean"],
            m[f"{name}.0.norm.running_var"],
            m[f"{name}.0.norm.weight"],
            m[f"{name}.0.norm.bias"],
        )
        hidden = torch.where(hidden > 0, hidden, 0.01 * hidden)
        flows.append(F.conv2d(hidden, m[f"{name}.1.weight"], padding=1))
    return flow_warp(high, flows[0], coords=m.coords) + flow_warp(low, flows[1], coords=m.coords)


class State(dict):
    def __init__(self, module):
        super().__init__(module.state_dict())
        self.coords = module.coords


@pytest.mark.parametrize("coords", COORDS)
@pytest.mark.parametrize(
    ("kind", "expected"), [(FAM, expected_fam), (GatedFAM, expected_gated_fam), (CAB, expected_cab)]
)
@pytest.mark.parametrize("sizes", [((6, 10), (3, 5)), ((7, 9), (4, 5))], ids=["even", "odd"])
def test_values(rng, kind, expected, coords, sizes):
    module = randomize(kind(channels=6, coords=coords)).double().eval()
    low, high = make_maps(rng, low_hw=sizes[0], high_hw=sizes[1])
    with torch.no_grad():
        got = module(low, high)
        assert max(flow.abs().max() for flow in module.predict_flows(low, high)) > 0.5
        torch.testing.assert_close(got, expected(State(module), low, high), rtol=0, atol=1e-10)


def test_the_split_of_cab_is_its_definition_in_training(rng):
    """The same batch statistics, gradients and, at 256 channels, values as unsplit."""
    module = randomize(CAB(channels=256), std=0.02).train()
    low, high = make_maps(rng, channels=256, dtype=torch.float32)
    both = torch.cat([low, up(high, low, "pixel")], 1)
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


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_and_multiply_adds(kind):
    module = kind(channels=256).eval()
    assert sum(p.numel() for p in module.parameters()) == PARAMETERS[kind]
    inputs = torch.zeros(1, 256, 8, 12), torch.zeros(1, 256, 4, 6)
    counter = FlopCountAnalysis(module, inputs)
    counter.unsupported_ops_warnings(False)
    assert counter.by_operator()["conv"] == 8 * 12 * MULTIPLY_ADDS[kind]


def test_names_and_shapes_are_those_of_the_definition():
    shapes = {k: tuple(v.shape) for k, v in CAB(channels=4).state_dict().items() if v.dim() > 1}
    branch = {"0.weight": (4, 8, 1, 1), "1.weight": (2, 4, 3, 3)}
    assert shapes == {f"delta_gen{i}.{k}": v for i in (1, 2) for k, v in branch.items()}
    assert set(FAM(channels=4).state_dict()) == {
        "down_h.weight",
        "down_l.weight",
        "flow_make.weight",
    }


# ---- starting point and training


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [((6, 10), (3, 5)), ((7, 9), (4, 5))], ids=["even", "odd"])
def test_a_new_module_is_a_bilinear_sum(rng, kind, sizes):
    low, high = make_maps(rng, low_hw=sizes[0], high_hw=sizes[1], dtype=torch.float32)
    got = kind(channels=6).eval()(low, high)
    torch.testing.assert_close(got, low + up(high, low, "pixel"), rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_without_zero_init_flows_start_at_random(rng, kind):
    low, high = make_maps(rng, dtype=torch.float32)
    for flow in kind(channels=6, zero_init=False).predict_flows(low, high):
        assert flow.abs().mean() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
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


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_a_whole_module(rng, kind):
    module = randomize(kind(channels=2), std=0.1).double().eval()
    low, high = (x.requires_grad_() for x in make_maps(rng, 2, (4, 5), (2, 3)))
    assert torch.autograd.gradcheck(module, (low, high), eps=1e-7, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16(rng, kind):
    module = randomize(kind(channels=6), std=0.05).bfloat16().eval()
    low, high = make_maps(rng, dtype=torch.bfloat16)
    got = module(low, high)
    assert got.dtype == torch.bfloat16
    exact = module.float()(low.float(), high.float())
    torch.testing.assert_close(got.float(), exact, rtol=0.05, atol=0.1)


# ---- building


@pytest.mark.parametrize("kind", KINDS)
def test_built_from_the_node(kind):
    node = make_node(NAME=kind.__name__, CHANNELS=3, COORDS="sfnet", ZERO_INIT=False, NORM="")
    before = node.dump()
    module = build_feature_alignment(node, channels=8)
    assert type(module) is kind
    assert module.coords == "sfnet"
    assert node.dump() == before


def test_what_the_node_says_arrives():
    node = make_node(NAME="CAB", CHANNELS=32, NORM="GN")
    branch = build_feature_alignment(node, channels=8).delta_gen1
    assert branch[0].weight.shape == (32, 16, 1, 1)
    assert isinstance(branch[0].norm, nn.GroupNorm)
    assert branch[1].weight.abs().max() == 0
    fam = build_feature_alignment(make_node(NAME="FAM", ZERO_INIT=False), channels=8)
    assert fam.down_h.weight.shape == (4, 8, 1, 1)
    assert fam.flow_make.weight.abs().max() > 0


def test_defaults_of_the_node():
    defaults = {"NAME": "", "CHANNELS": 0, "NORM": "BN", "COORDS": "pixel", "ZERO_INIT": True}
    assert dict(make_node()) == defaults


def test_mistakes():
    with pytest.raises(ValueError, match=r"NAME is 'SAM'.*\['CAB', 'FAM', 'GatedFAM'\]"):
        build_feature_alignment(make_node(NAME="SAM"), channels=4)
    with pytest.raises(ValueError, match="CHANNELS is -5"):
        build_feature_alignment(make_node(NAME="CAB", CHANNELS=-5), channels=4)
    for kind in KINDS:
        with pytest.raises(ValueError, match=f"{kind.__name__}: COORDS is 'corner'"):
            kind(channels=4, coords="corner")
    assert {name for name, _ in FEATURE_ALIGNMENT_REGISTRY} >= {"CAB", "FAM", "GatedFAM"}


# ---- looking at flows


def test_recorded_flows(rng):
    model = nn.ModuleDict({"a": FAM(channels=6), "b": CAB(channels=6)})
    model = randomize(model).double().eval()
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
@pytest.mark.parametrize("kind", KINDS)
def test_flows_of_published_grids_are_recorded_in_pixels(rng, kind, coords):
    """A unit is half a pixel; a whole one where AlignSeg's grid reads a map of half the size."""
    module = randomize(kind(channels=6, coords=coords)).double().eval()
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


def test_a_registered_function_is_an_alignment_too(rng):
    """The registry holds whatever returns a module with ``predict_flows``."""

    @FEATURE_ALIGNMENT_REGISTRY.register()
    def BuiltBySomeone(node, *, channels):
        return FAM(channels=channels)

    try:
        module = build_feature_alignment(make_node(NAME="BuiltBySomeone"), channels=6).double()
        with torch.no_grad(), record_flows(nn.ModuleDict({"a": module})) as flows:
            module(*make_maps(rng))
        assert [flow.name for flow in flows] == ["a.high"]
    finally:
        FEATURE_ALIGNMENT_REGISTRY._obj_map.pop("BuiltBySomeone")
