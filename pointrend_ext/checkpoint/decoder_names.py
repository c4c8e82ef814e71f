"""Names of the released weights of SFNet and AlignSeg.

Their code: lxtGH/SFSegNets at ba475baf and speedinghzl/AlignSeg at ac7582d3. What has a name here
is often counted there, by torch.nn.Sequential.
"""

from collections.abc import Mapping
from typing import Any

from pointrend_ext.checkpoint.weights_format import (
    DEEP_STEM,
    RESNET,
    TORCHVISION_INPUT,
    Rename,
    State,
    WeightsFormat,
    conv_norm,
    counted,
)

_ABN_EPS = 1e-5
_BACKBONE: Rename = (r"^(stem|res\d)\.", r"backbone.\1.")
_HEAD = "sem_seg_head."


def _without_inplace_abn(state: State) -> State:
    """Give normalisations the scale that they had.

    AlignSeg's are of mapillary/inplace_abn, which scales by the weight's magnitude plus eps.
    """
    state = dict(state)
    for name in [*state]:
        if f"{name.removesuffix('weight')}running_var" in state:
            state[name] = state[name].abs() + _ABN_EPS
    return state


_SFNET_STEM = r"layer0\.0\.0\.weight$"
_SFNET_RENAMES: tuple[Rename, ...] = (
    *conv_norm(r"head\.ppm\.(stages\.\d)", rf"{_HEAD}ppm.\1", 1),
    *conv_norm(r"head\.ppm\.bottleneck", f"{_HEAD}ppm.bottleneck"),
    *conv_norm(r"head\.(fpn_in\.\d)", rf"{_HEAD}\1"),
    (r"^head\.(fpn_out_align|flow_align_module)\.", f"{_HEAD}fpn_align."),
    *conv_norm(r"head\.(fpn_out\.\d)\.0", rf"{_HEAD}\1"),
    *conv_norm(r"head\.dsn\.(\d)", rf"{_HEAD}auxiliary.\1.conv"),
    (r"^head\.dsn\.(\d\.)4\.", rf"{_HEAD}auxiliary.\1predictor."),
    *conv_norm(r"head\.conv_last\.0", f"{_HEAD}fuse"),
    (r"^head\.conv_last\.1\.", f"{_HEAD}predictor."),
    (r"^layer0\.0\.", "conv1."),
    (r"^layer0\.1\.", "bn1."),
    *DEEP_STEM,
    *RESNET,
    _BACKBONE,
)
_SEGMENTOR = {"MODEL.META_ARCHITECTURE": "PointRendSemanticSegmentor"}  # resizes as they do
_SFNET_EXPECTS: Mapping[str, Any] = {
    **_SEGMENTOR,
    "MODEL.BACKBONE.NAME": "build_resnet_sfnet_backbone",
    "MODEL.SEM_SEG_HEAD.ALIGNMENT_COORDS": "sfnet",
    **TORCHVISION_INPUT,
}
SFNET = WeightsFormat(
    name="SFNet",
    required=(_SFNET_STEM, r"head\.fpn_out_align\.0\.flow_make\.weight$"),
    renames=_SFNET_RENAMES,
    expects=_SFNET_EXPECTS,
)
SFNET_LITE = WeightsFormat(
    name="SFNet-Lite",
    required=(_SFNET_STEM, r"head\.flow_align_module\.flow_make\.weight$"),
    renames=_SFNET_RENAMES,
    # The original builds these and never runs them: what they hold is random.
    dropped=(r"head\.(dsn|fpn_in\.2)\.",),
    expects=_SFNET_EXPECTS,
)
ALIGNSEG = WeightsFormat(
    name="AlignSeg",
    required=(r"CAB2\.delta_gen1\.0\.weight$", r"RRB1a\.unify\.weight$", r"CAM\.adapt\."),
    renames=(
        *conv_norm(r"CAM\.pool", f"{_HEAD}context.pool.0", 1),
        *conv_norm(r"CAM\.pool", f"{_HEAD}context.pool.1", 3),
        *conv_norm(r"CAM\.adapt", f"{_HEAD}context.adapt.0"),
        *conv_norm(r"CAM\.adapt", f"{_HEAD}context.adapt.1", 2),
        (r"^CAM\.delta_gen\.", f"{_HEAD}context.delta_gen."),
        counted(r"CAB(\d)\.", f"{_HEAD}cab.", -2),
        counted(r"RRB(\d)a\.", f"{_HEAD}rrb_in.", -1),
        counted(r"RRB(\d)b\.", f"{_HEAD}rrb_out.", -2),
        (r"(delta_gen\d?\.)1\.", r"\g<1>0.norm."),
        (r"(delta_gen\d?\.)2\.", r"\g<1>1."),
        (r"(rrb_\w+\.\d\.residual\.)1\.", r"\g<1>0.norm."),
        (r"(rrb_\w+\.\d\.residual\.)2\.", r"\g<1>1."),
        *conv_norm("head", f"{_HEAD}conv"),
        (r"^head\.3\.", f"{_HEAD}predictor."),
        *conv_norm("dsn", f"{_HEAD}auxiliary.conv"),
        (r"^dsn\.3\.", f"{_HEAD}auxiliary.predictor."),
        *RESNET,
        _BACKBONE,
    ),
    convert=_without_inplace_abn,
    expects={
        **_SEGMENTOR,
        "MODEL.BACKBONE.NAME": "build_resnet_alignseg_backbone",
        "MODEL.SEM_SEG_HEAD.ALIGNMENT_COORDS": "alignseg",
        "INPUT.FORMAT": "BGR",
        "MODEL.PIXEL_MEAN": [104.007, 116.669, 122.679],
        "MODEL.PIXEL_STD": [1.0, 1.0, 1.0],
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
    },
)
