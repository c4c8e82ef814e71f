"""What must have been loaded before a model is evaluated, resumed or fine-tuned."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from pointrend_ext.checkpoint.errors import IncompleteWeightsError, WeightsFileError, shown
from pointrend_ext.checkpoint.report import (
    NOT_LOADED,
    PARTLY_NEW,
    TAKEN,
    UNEXPECTED,
    LoadReport,
    component_of,
)

# Heads that a checkpoint may bring and a model may replace. Anything else in a file's region heads
# beside a new mask head is that head under names that nobody knows, not another head.
OTHER_HEADS = re.compile(
    r"roi_heads\.(mask_head\.(mask_fcn\d+|deconv|predictor|(coarse|point|parameter)_head)|"
    r"box_head|box_predictor|keypoint_head)\."
)
# The stages of a backbone, such as res2; in a file they may stand without what is before them.
STAGE = re.compile(r"backbone\.(?:bottom_up\.)?(?!fpn_|top_block)(\w+)\.")
ANY_STAGE = re.compile(r"(?:backbone\.(?:bottom_up\.)?)?(\w+)\.")


def check_values(state: Mapping[str, Tensor], model: Mapping[str, Tensor], source: str) -> None:
    """Check the numbers that will be loaded from a file into a model with another state dict.

    Raises:
        WeightsFileError: weights that are no floating-point numbers, or not finite.
    """
    loaded = [name for name in state if name in model]
    kinds = [n for n in loaded if state[n].is_floating_point() != model[n].is_floating_point()]
    floats = [n for n in loaded if state[n].is_floating_point()]
    bad = [n for n in floats if not _is_finite(state[n])]
    large = [] if bad else [n for n in floats if not _is_finite(state[n].to(model[n].dtype))]
    for names, fault, cause in (
        (kinds, "have another type than the model's", "quantised; give the original weights"),
        (
            bad,
            "hold NaN or infinite values",
            "its training diverged, or it was stored in 16 bits that do not hold its numbers; take "
            "an earlier checkpoint or the original weights",
        ),
        (large, "hold values too large for the model's type", "its training diverged"),
    ):
        if names:
            found = shown(f"{name} ({state[name].dtype})" for name in names)
            raise WeightsFileError(
                f"{source}: {len(names)} tensors {fault}, such as {found}. The file is damaged, or "
                f"{cause}."
            )


def _is_finite(tensor: Tensor) -> bool:
    # A sum is finite only if all terms are; float64 so that large weights do not overflow it.
    return bool(torch.isfinite(tensor.sum(dtype=torch.float64))) or bool(tensor.isfinite().all())


def compare_input(expects: Mapping[str, Any], cfg: CfgNode | None) -> list[str]:
    """Say in one sentence, or none, what to change for weights that expect these values by key.

    Without a configuration all of them are named.
    """
    different, found = [], []
    for key, value in expects.items():
        ours = _value_of(cfg, key)
        if key.endswith("STRIDE_IN_1X1") and (_value_of(cfg, "MODEL.RESNETS.DEPTH") or 50) < 50:
            continue  # blocks of two convolutions have none of 1 x 1
        if isinstance(value, list) and isinstance(ours, Sequence):
            is_same = len(ours) == len(value) and np.allclose(ours, value, atol=0.01)
        else:
            is_same = ours == value
        if not is_same:
            different.append(f'{key} "{value}"' if isinstance(value, list) else f"{key} {value}")
            found.append(str(ours))
    if not different:
        return []
    has = f", and the configuration has {', '.join(found)}" if cfg is not None else ""
    return [f"These weights expect {', '.join(different)}{has}. Add: {' '.join(different)}"]


def _value_of(cfg: Any, key: str) -> Any:
    for part in key.split("."):
        cfg = None if cfg is None else cfg.get(part)
    return cfg


def check_any_loaded(report: LoadReport, file_names: Sequence[str]) -> None:
    """Check that something of a file was loaded.

    Raises:
        IncompleteWeightsError: nothing fits the model, whatever may be missing.
    """
    if not report.names(*TAKEN):
        raise IncompleteWeightsError(
            f"No tensor of the file fits the model: {report.source} holds {report.format} of "
            f"{len(file_names)} tensors, {shown(file_names)}. Check that the configuration is the "
            "one these weights were trained with."
        )


def note_frozen(report: LoadReport, model: nn.Module) -> list[str]:
    """Say in one sentence, or none, that parameters which no training moves are not in a file."""
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    names = [name for name in report.names(*NOT_LOADED) if name in frozen]
    if not names:
        return []
    return [
        f"{len(names)} frozen parameters are not in {report.source} and stay random: "
        f"{shown(names)}. Unless nothing reads them, take MODEL.FREEZE or "
        "MODEL.BACKBONE.FREEZE_AT back, or give weights that hold them."
    ]


def check_loaded(report: LoadReport, model_names: Collection[str], *, warm_start: bool) -> None:
    """Check that no part of the model stays random that should not.

    Everything must be there to evaluate or to resume. Training may start (``warm_start``) with
    parts that are wholly new, such as a mask head on the weights of Mask R-CNN, but not without a
    backbone, and not with half of a head: the other half was meant to be there, and a mixture
    trains to something worse than either without any sign of it.

    Raises:
        IncompleteWeightsError: something is missing, or the file's backbone is another network.
    """
    reason, names = _fault(report, model_names, warm_start)
    if names:
        remedy = "Check that the configuration is the one these weights were trained with."
        if report.names(PARTLY_NEW) and not warm_start:
            remedy = (
                "Its number of classes differs: set MODEL.ROI_HEADS.NUM_CLASSES and "
                "MODEL.SEM_SEG_HEAD.NUM_CLASSES to its own, or map classes by name "
                "(--map-classes)."
            )
        more = report.names(UNEXPECTED)
        unused = f", with {len(more)} tensors of other names, {shown(more)}" if more else ""
        raise IncompleteWeightsError(
            f"{reason}: {len(names)} tensors, {shown(names)}. The file {report.source} holds "
            f"{report.format}{unused}. {remedy} To go on nevertheless, pass allow_missing=True "
            "(--allow-missing on the command line)."
        )


def _fault(
    report: LoadReport, model_names: Collection[str], warm_start: bool
) -> tuple[str, list[str]]:
    missing, new_parts = report.names(*NOT_LOADED), report.new_parts()
    stages = {found[1] for name in model_names if (found := STAGE.match(name))}
    foreign = [
        name
        for name in report.names(UNEXPECTED)
        if (found := ANY_STAGE.match(name)) and found[1] in stages
    ]
    other = "The file's backbone is another network, with tensors that the model's lacks", foreign
    if not warm_start:
        missing += report.names(PARTLY_NEW)
        return ("The weights do not fill the model", missing) if missing else other
    unknown = [
        name
        for name in report.names(UNEXPECTED)
        if "mask head" in new_parts
        and name.startswith("roi_heads.")
        and not OTHER_HEADS.match(name)
    ]
    backbone = [name for name in missing if component_of(name) == "backbone"]
    halves = [name for name in missing if component_of(name) not in new_parts]
    faults = (
        other,
        ("A backbone that is not loaded as a whole stays partly random", backbone),
        ("A part of the model would be half loaded, half random", halves),
        ("The mask head would stay random beside one of unknown names in the file", unknown),
    )
    return next((fault for fault in faults if fault[1]), ("", []))
