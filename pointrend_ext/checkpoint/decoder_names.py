"""Names of the released weights of SFNet and AlignSeg.

Their code: lxtGH/SFSegNets at ba475baf and speedinghzl/AlignSeg at ac7582d3. What has a name here
is often counted there, by torch.nn.Sequential.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pointrend_ext.checkpoint.weights_format import DEEP_STEM, RESNET, Rename, State, WeightsFormat

__all__ = ["ALIGNSEG", "SFNET"]

_ABN_EPS = 1e-5
_BACKBONE: Rename = (r"^(stem|res\d)\.", r"backbone.\1.")
_HEAD = "sem_seg_head."


def _counted_from(first: int, name: str) -> Callable[[re.Match[str]], str]:
    return lambda found: f"{_HEAD}{name}.{int(found[1]) - first}."


def _without_inplace_abn(state: State) -> tuple[State, dict[str, str]]:
    """Give normalisations the scale that they had.

    AlignSeg's are of mapillary/inplace_abn, which scales by the weight's magnitude plus eps.
    """
    scales = [
        name
        for name in state
        if name.endswith(".weight") and f"{name.removesuffix('weight')}running_var" in state
    ]
    state = {**state, **{name: state[name].abs() + _ABN_EPS for name in scales}}
    return state, {name: name for name in state}


SFNET = WeightsFormat(
    name="SFNet",
    required=(r"layer0\.0\.0\.weight$", r"head\.fpn_out_align\.0\.flow_make\.weight$"),
    renames=(
        (r"^head\.ppm\.(stages\.\d\.)1\.", rf"{_HEAD}ppm.\1"),
        (r"^head\.ppm\.(stages\.\d\.)2\.", rf"{_HEAD}ppm.\1norm."),
        (r"^head\.ppm\.bottleneck\.0\.", f"{_HEAD}ppm.bottleneck."),
        (r"^head\.ppm\.bottleneck\.1\.", f"{_HEAD}ppm.bottleneck.norm."),
        (r"^head\.(fpn_in\.\d\.)0\.", rf"{_HEAD}\1"),
        (r"^head\.(fpn_in\.\d\.)1\.", rf"{_HEAD}\1norm."),
        (r"^head\.fpn_out_align\.", f"{_HEAD}fpn_align."),
        (r"^head\.(fpn_out\.\d\.)0\.0\.", rf"{_HEAD}\1"),
        (r"^head\.(fpn_out\.\d\.)0\.1\.", rf"{_HEAD}\1norm."),
        (r"^head\.dsn\.(\d\.)0\.", rf"{_HEAD}auxiliary.\1conv."),
        (r"^head\.dsn\.(\d\.)1\.", rf"{_HEAD}auxiliary.\1conv.norm."),
        (r"^head\.dsn\.(\d\.)4\.", rf"{_HEAD}auxiliary.\1predictor."),
        (r"^head\.conv_last\.0\.0\.", f"{_HEAD}fuse."),
        (r"^head\.conv_last\.0\.1\.", f"{_HEAD}fuse.norm."),
        (r"^head\.conv_last\.1\.", f"{_HEAD}predictor."),
        (r"^layer0\.0\.", "conv1."),
        (r"^layer0\.1\.", "bn1."),
        *DEEP_STEM,
        *RESNET,
        _BACKBONE,
    ),
    notes=(
        "SFNet's weights expect the configurations sfnet_R_50_cityscapes or pointrend_sfnet_R_50_"
        "cityscapes with MODEL.SEM_SEG_HEAD.ALIGNMENT_COORDS sfnet, and MODEL.RESNETS.DEPTH 101 "
        "for ResNet-101.",
    ),
)
ALIGNSEG = WeightsFormat(
    name="AlignSeg",
    required=(r"CAB2\.delta_gen1\.0\.weight$", r"RRB1a\.unify\.weight$", r"CAM\.adapt\."),
    renames=(
        (r"^CAM\.pool\.1\.", f"{_HEAD}context.pool.0."),
        (r"^CAM\.pool\.2\.", f"{_HEAD}context.pool.0.norm."),
        (r"^CAM\.pool\.3\.", f"{_HEAD}context.pool.1."),
        (r"^CAM\.pool\.4\.", f"{_HEAD}context.pool.1.norm."),
        (r"^CAM\.adapt\.0\.", f"{_HEAD}context.adapt.0."),
        (r"^CAM\.adapt\.1\.", f"{_HEAD}context.adapt.0.norm."),
        (r"^CAM\.adapt\.2\.", f"{_HEAD}context.adapt.1."),
        (r"^CAM\.adapt\.3\.", f"{_HEAD}context.adapt.1.norm."),
        (r"^CAM\.delta_gen\.", f"{_HEAD}context.delta_gen."),
        (r"^CAB(\d)\.", _counted_from(2, "cab")),
        (r"^RRB(\d)a\.", _counted_from(1, "rrb_in")),
        (r"^RRB(\d)b\.", _counted_from(2, "rrb_out")),
        (r"(delta_gen\d?\.)1\.", r"\g<1>0.norm."),
        (r"(delta_gen\d?\.)2\.", r"\g<1>1."),
        (r"(rrb_\w+\.\d\.residual\.)1\.", r"\g<1>0.norm."),
        (r"(rrb_\w+\.\d\.residual\.)2\.", r"\g<1>1."),
        (r"^head\.0\.", f"{_HEAD}conv."),
        (r"^head\.1\.", f"{_HEAD}conv.norm."),
        (r"^head\.3\.", f"{_HEAD}predictor."),
        (r"^dsn\.0\.", f"{_HEAD}auxiliary.conv."),
        (r"^dsn\.1\.", f"{_HEAD}auxiliary.conv.norm."),
        (r"^dsn\.3\.", f"{_HEAD}auxiliary.predictor."),
        *RESNET,
        _BACKBONE,
    ),
    convert=_without_inplace_abn,
    notes=(
        "AlignSeg's weights expect the configurations alignseg_R_50_cityscapes or pointrend_"
        "alignseg_R_50_cityscapes with MODEL.RESNETS.DEPTH 101, MODEL.SEM_SEG_HEAD."
        "ALIGNMENT_COORDS alignseg, INPUT.FORMAT BGR, MODEL.PIXEL_MEAN [104.007, 116.669, 122.679] "
        "and MODEL.PIXEL_STD [1.0, 1.0, 1.0]. Its max-pooling rounds sizes up, ours down.",
    ),
)
