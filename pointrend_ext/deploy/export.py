"""Writing models as files for other runtimes, none of which is kept if it predicts otherwise."""

import copy
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import torch
from detectron2.config import CfgNode
from torch import nn

from pointrend_ext.checkpoint.files import open_atomically
from pointrend_ext.checkpoint.full_disk import naming_full_disk
from pointrend_ext.deploy.checks.boundary_loss import BoundaryLoss
from pointrend_ext.deploy.exportable import ExportOptions, check_exportable
from pointrend_ext.deploy.packages import onnx, require_onnx, require_torch
from pointrend_ext.deploy.plan import ExportPlan, plan_export
from pointrend_ext.deploy.precision import reduced
from pointrend_ext.deploy.recording import record_program, to_onnx
from pointrend_ext.deploy.report import ExportReport
from pointrend_ext.deploy.running import OnnxRunner, ProgramRunner, Runner
from pointrend_ext.deploy.runtime.model_file import KEY
from pointrend_ext.modeling.checks import check_values

_OPSETS = (18,)
"""Versions 16 to 18 of GridSample are what every runtime knows; 18 is what PyTorch writes."""


def export_onnx(
    model: nn.Module,
    cfg: CfgNode,
    path: str | os.PathLike[str],
    *,
    opset: int = 18,
    **options: Any,
) -> ExportReport:
    """Write a model, or its mask head, as ONNX: standard operators alone, height and width free.

    The file is run by ONNX Runtime first, and kept if it predicts what the model predicts.

    Args:
        model: trained; it is put into evaluation mode.
        cfg: its configuration.
        path: of the file, .onnx.
        opset: version of ONNX's standard operators, 18.
        options: of ``ExportOptions``.

    Raises:
        ImportError: no onnx, onnxruntime or onnxscript.
        ValueError: a model that cannot be exported, a value out of its range, or a file that
            predicts something else.
    """
    require_onnx()
    check_values("export", ("opset", opset, opset in _OPSETS, " or ".join(map(str, _OPSETS))))
    target = _target(path, ".onnx")
    plan = _plan(model, cfg, ExportOptions(**options))
    proto = to_onnx(record_program(plan.graph), plan.graph, opset)
    onnx().checker.check_model(proto, full_check=True)
    run: Runner = OnnxRunner(proto)
    if plan.metadata["precision"] != "fp32":
        proto = reduced(proto, plan.metadata["precision"])
        run = BoundaryLoss(OnnxRunner(proto), run, plan.metadata["task"])
    report = _checked(target, plan, run)
    if isinstance(run, BoundaryLoss):
        report = replace(report, figures=[*report.figures, *run.figures()])
    onnx().helper.set_model_props(proto, {KEY: _told(plan, report)})
    return _kept(report, lambda file: file.write(proto.SerializeToString()))


def export_program(
    model: nn.Module, cfg: CfgNode, path: str | os.PathLike[str], **options: Any
) -> ExportReport:
    """Write a model for ``torch.export.load``, .pt2: as ``export_onnx``, and checked as that.

    What the file says of itself is its extra file ``pointrend_ext``. A whole instance model needs
    ``import pointrend_ext.deploy.nms`` before it is loaded, and images of more than 64 pixels.
    """
    target = _target(path, ".pt2")
    plan = _plan(model, cfg, ExportOptions(**{**options, "together": True}))
    precision = plan.metadata["precision"]
    is_full = precision == "fp32"
    check_values("export", ("precision", precision, is_full, "'fp32' for .pt2: .onnx has others"))
    program = record_program(plan.graph)
    report = _checked(target, plan, ProgramRunner(program))
    extra = {KEY: _told(plan, report)}
    return _kept(report, lambda file: torch.export.save(program, file, extra_files=extra))


def _target(path: str | os.PathLike[str], suffix: str) -> Path:
    """Refuse a wrong name before minutes are spent, and make its folder."""
    require_torch()
    target = Path(path)
    if target.suffix != suffix or target.is_dir():
        raise ValueError(f"The file to write is {str(target)!r}; its name must end in {suffix}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(target.parent, os.W_OK):
        raise PermissionError(f"The folder {target.parent} cannot be written to: choose another.")
    return target


def _plan(model: nn.Module, cfg: CfgNode, options: ExportOptions) -> ExportPlan:
    check_exportable(model, cfg, options)
    values = model.state_dict().values()
    is_other = (x.is_floating_point() and x.dtype != torch.float32 for x in values)
    if any(is_other) or any(x.device.type != "cpu" for x in values):
        model = copy.deepcopy(model).float().cpu()
    return plan_export(model.eval(), cfg, options)


def _checked(target: Path, plan: ExportPlan, run: Runner) -> ExportReport:
    report = ExportReport(target, plan.compare(run))
    report.raise_if_wrong()
    return report


def _told(plan: ExportPlan, report: ExportReport) -> str:
    return json.dumps({**plan.metadata, "check": report.by_name()})


def _kept(report: ExportReport, write: Callable[[IO[bytes]], Any]) -> ExportReport:
    with naming_full_disk(report.path.parent), open_atomically(report.path) as file:
        write(file)
    return replace(report, megabytes=report.path.stat().st_size / 1e6)
