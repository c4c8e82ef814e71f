"""Building a model, and refusing switches of the configuration that no part of it has read."""

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from torch import nn

from pointrend_ext._command import is_sentence
from pointrend_ext.modeling.freezing import freeze
from pointrend_ext.modeling.padding import choose_anchors
from pointrend_ext.modeling.recording import Reads, RecordingNode, default_values, leaves
from pointrend_ext.modeling.roi_heads.mask_score import choose_mask_score
from pointrend_ext.modeling.roi_heads.suppression import choose_suppression

_PARTS = {
    "ROI_HEADS": "ROI_HEADS",
    "ROI_MASK_HEAD": "MASK_POINT_HEAD",
    "ROI_MASK_HEAD.MASK_SCORE": "ROI_HEADS",
    "MASK_POINT_HEAD": "MASK_POINT_HEAD",
    "SEM_SEG_HEAD": "SEM_SEG_HEAD",
    "SEM_SEG_POINT_HEAD": "SEM_SEG_POINT_HEAD",
    "SEM_SEG_POINT_HEAD.OUTPUT": "SEM_SEG_HEAD",
}
"""Keys, and of which node something must have been read, or the model has no such part at all: an
instance model may leave semantic keys as they are."""

# What constructors of Detectron2 raise for values that do not go together.
_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
)
_SUSPECTS = 4
_HEADS = "Use SFNetHead, SFNetLiteHead or AlignSegHead"
_STANDARD = "Set MODEL.ROI_MASK_HEAD.NAME PointRendROIMaskHead, and INPUT.POINT_SUP False"
_HINTS = {
    "FPN.ALIGNMENT": "Set MODEL.FPN.ALIGNMENT.NAME to FAM, GatedFAM or CAB",
    "FPN.ALIGNMENT.NAME": "Set MODEL.BACKBONE.NAME build_resnet_aligned_fpn_backbone",
    "FPN.ALIGNMENT.NORM": "Set MODEL.FPN.ALIGNMENT.NAME CAB, which alone has a normalisation",
    "IMPLICIT_POINTREND": "Set MODEL.ROI_MASK_HEAD.NAME ImplicitPointRendROIMaskHead",
    "MASK_POINT_HEAD.COARSE_PRED_EACH_LAYER": _STANDARD,
    "MASK_POINT_HEAD.IMPORTANCE_SAMPLE_RATIO": _STANDARD,
    "MASK_POINT_HEAD.OVERSAMPLE_RATIO": _STANDARD,
    "ROI_HEADS.NMS_CLASS_AGNOSTIC": "Set MODEL.ROI_HEADS.NAME StandardROIHeads",
    "ROI_MASK_HEAD.MASK_SCORE": "Set MODEL.MASK_ON True",
    "SEM_SEG_HEAD.ALIGNMENT_COORDS": f"{_HEADS} (a pyramid has MODEL.FPN.ALIGNMENT.COORDS)",
    "SEM_SEG_HEAD.ASPP_POOLING": "Use DeepLabV3LogitsHead or DeepLabV3PlusLogitsHead",
    "SEM_SEG_HEAD.AUX_LOSS_WEIGHT": "Use SFNetHead or AlignSegHead",
    "SEM_SEG_HEAD.LOSS_TYPE": f"{_HEADS} (SemSegFPNHead always trains with 'cross_entropy')",
    "SEM_SEG_HEAD.OHEM_MIN_KEPT": f"{_HEADS} with MODEL.SEM_SEG_HEAD.LOSS_TYPE 'ohem'",
    "SEM_SEG_HEAD.OHEM_THRESHOLD": f"{_HEADS} with MODEL.SEM_SEG_HEAD.LOSS_TYPE 'ohem'",
    "SEM_SEG_POINT_HEAD.OUTPUT": "Set MODEL.META_ARCHITECTURE PointRendSemanticSegmentor",
}


def build_checked_model(
    cfg: CfgNode, build: Callable[[CfgNode], nn.Module] = build_model
) -> nn.Module:
    """Build a model, and refuse keys that ask for something which no part of it has read.

    Heads and backbones of Detectron2 do not know the keys of this package, and would leave out what
    they ask for without a word.

    Args:
        cfg: the configuration.
        build: builds the model. It gets a copy of ``cfg`` that notes what is read.

    Raises:
        ValueError: the model cannot be built, with the keys that may be the reason; or keys below
            ``MODEL`` that this package adds, differ from their default and were not read, with
            what to change.
    """
    recording = Reads()
    reads = recording.keys
    defaults = _of_model(default_values().items())
    try:
        recorded = RecordingNode.of(cfg, recording)
        model = build(recorded)
        choose_suppression(recorded, model)
        choose_anchors(recorded, model)
        freeze(model, recorded.MODEL.FREEZE)
        choose_mask_score(recorded, model)
        if recorded.MODEL.CHANNELS_LAST:
            model = model.to(memory_format=torch.channels_last)
    except torch.OutOfMemoryError:
        raise
    except _FAILURES as error:
        if is_sentence(error):
            raise
        own = _of_model(leaves(cfg))
        changed = {k: v for k, v in own.items() if k not in defaults or v != defaults[k]}
        raise ValueError(_why_not_built(error, list(reads), changed)) from error
    added = defaults.keys() - _of_model(leaves(get_cfg())).keys()
    problems = [
        f"MODEL.{key} is {value!r}, but no part of this model reads it. "
        f"{_look_up(_HINTS, key, default='Change the model')}, or leave {key.split('.')[-1]} out."
        for key, value in _of_model(leaves(cfg)).items()
        if key in added and value != defaults[key]
        if f"MODEL.{key}" not in reads and _has_part(key, reads)
        # what SemSegFPNHead does without reading it
        if (key, value) != ("SEM_SEG_HEAD.LOSS_TYPE", "cross_entropy")
    ]
    if problems:
        raise ValueError("\n".join(problems))
    return model


def _why_not_built(error: Exception, reads: Sequence[str], changed: Mapping[str, Any]) -> str:
    """Name what may be the reason: keys that hold what the error is about, or those read last."""
    asked = [key.removeprefix("MODEL.") for key in reads if key.removeprefix("MODEL.") in changed]
    about = [key for key in asked if isinstance(error, KeyError) and _holds(changed[key], error)]
    suspects = about or asked[: -_SUSPECTS - 1 : -1]
    shown = ", ".join(f"MODEL.{key} is {changed[key]!r}" for key in suspects)
    *_, place = traceback.extract_tb(error.__traceback__)
    file = "/".join(Path(place.filename).parts[-2:])
    return (
        f"The model cannot be built from this configuration: {type(error).__name__} {error} in "
        f"{file}, line {place.lineno}. Of what differs from the defaults, these keys "
        f"{'hold that value' if about else 'were read last'}: {shown or 'none'}."
    )


def _holds(value: Any, error: KeyError) -> bool:
    return error.args[0] == value or (isinstance(value, list | tuple) and error.args[0] in value)


def _of_model(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {k.removeprefix("MODEL."): v for k, v in pairs if k.startswith("MODEL.")}


def _has_part(key: str, reads: Mapping[str, None]) -> bool:
    part = _look_up(_PARTS, key, default="")
    return any(read.startswith(f"MODEL.{part}.") for read in reads) if part else True


def _look_up(table: dict[str, str], key: str, *, default: str) -> str:
    """Return the entry of a key, or else of the node that it is in."""
    return table.get(key) or table.get(key.rpartition(".")[0], default)
