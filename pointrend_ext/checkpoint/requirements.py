"""What must have been loaded before a model is evaluated, resumed or fine-tuned."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from pointrend_ext.checkpoint.errors import IncompleteWeightsError, WeightsFileError
from pointrend_ext.checkpoint.report import (
    NOT_LOADED,
    PARTLY_NEW,
    UNEXPECTED,
    LoadReport,
    component_of,
)

__all__ = ["check_loaded", "check_values"]

# Heads that a checkpoint may bring and a model may replace. Anything else in a file's region heads
# beside a new mask head is that head under names that nobody knows, not another head.
OTHER_HEADS = re.compile(
    r"roi_heads\.(mask_head\.(mask_fcn\d+|deconv|predictor|(coarse|point|parameter)_head)|"
    r"box_head|box_predictor|keypoint_head)\."
)
SHOWN = 5


def check_values(state: Mapping[str, Tensor], model: Mapping[str, Tensor], source: str) -> None:
    """Check the numbers that will be loaded from a file into a model with another state dict.

    Raises:
        WeightsFileError: weights that are no floating-point numbers, or not finite.
    """
    loaded = [name for name in state if name in model]
    kinds = [n for n in loaded if state[n].is_floating_point() != model[n].is_floating_point()]
    bad = [n for n in loaded if state[n].is_floating_point() and not _is_finite(state[n])]
    for names, fault, cause in (
        (kinds, "have another type than the model's", "quantised; give the original weights"),
        (bad, "hold NaN or infinite values", "its training diverged; take an earlier checkpoint"),
    ):
        if names:
            found = ", ".join(f"{name} ({state[name].dtype})" for name in names[:SHOWN])
            raise WeightsFileError(
                f"{source}: {len(names)} tensors {fault}, such as {found}. The file is damaged, or "
                f"{cause}."
            )


def _is_finite(tensor: Tensor) -> bool:
    # A sum is finite only if all terms are; float64 so that large weights do not overflow it.
    return bool(torch.isfinite(tensor.sum(dtype=torch.float64)))


def check_loaded(report: LoadReport, *, warm_start: bool) -> None:
    """Check that no part of the model stays random that should not.

    Everything must be there to evaluate or to resume. Training may start with parts that are wholly
    new, such as a mask head on the weights of Mask R-CNN, but not without a backbone, and not with
    half of a head: the other half was meant to be there, and a mixture trains to something worse
    than either without any sign of it.

    Args:
        report: of what would be loaded.
        warm_start: whether training starts from these weights.

    Raises:
        IncompleteWeightsError: something is missing.
    """
    reason, names = _fault(report, warm_start)
    if names:
        remedy = "Check that the configuration is the one these weights were trained with."
        if report.names(PARTLY_NEW) and not warm_start:
            remedy = (
                "Its number of classes differs: set MODEL.ROI_HEADS.NUM_CLASSES and "
                "MODEL.SEM_SEG_HEAD.NUM_CLASSES to its own, or map classes by name "
                "(--map-classes)."
            )
        shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
        raise IncompleteWeightsError(
            f"{reason}: {len(names)} tensors, {shown}. The file {report.source} holds "
            f"{report.format}. {remedy} To go on nevertheless, pass allow_missing=True "
            "(--allow-missing on the command line)."
        )


def _fault(report: LoadReport, warm_start: bool) -> tuple[str, list[str]]:
    missing, new_parts = report.names(*NOT_LOADED), report.new_parts()
    if not warm_start:
        return "The weights do not fill the model", missing + report.names(PARTLY_NEW)
    if set(report.parts()) == set(new_parts):
        return "No tensor of the file fits the model", missing
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
        ("A backbone that is not loaded as a whole stays partly random", backbone),
        ("A part of the model would be half loaded, half random", halves),
        ("The mask head would stay random beside one of unknown names in the file", unknown),
    )
    return next((fault for fault in faults if fault[1]), ("", []))
