"""Which graph a model becomes, how it is checked, and which models have none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.modeling import SemanticSegmentor
from torch import nn

from pointrend_ext.deploy.checks import CheckImages, Figure, compare_semantic
from pointrend_ext.deploy.graphs import Graph, SemanticGraph
from pointrend_ext.deploy.metadata import describe
from pointrend_ext.deploy.running import Run
from pointrend_ext.engine.classes import Classes
from pointrend_ext.modeling.checks import check_values

__all__ = ["ExportPlan", "plan_export"]


@dataclass(frozen=True)
class ExportPlan:
    """What is exported.

    Attributes:
        graph: what is recorded.
        compare: measures how a file of it agrees with the model.
        metadata: see ``describe``.
    """

    graph: Graph
    compare: Callable[[Run], list[Figure]]
    metadata: dict[str, Any]


def plan_export(
    model: nn.Module,
    cfg: CfgNode,
    *,
    part: str,
    output: str,
    batch_size: int,
    pictures: Sequence[np.ndarray],
    classes: Classes,
) -> ExportPlan:
    """Choose the graph of a model.

    Args:
        model: in evaluation mode, on the CPU.
        cfg: its configuration.
        part: as of ``export_onnx``, like the others.
        output: "labels" or "logits".
        batch_size: at least 1.
        pictures: (H, W, 3) uint8 RGB for the check.
        classes: what the classes are called.

    Raises:
        ValueError: there is none, or a value is out of its range.
    """
    check_values(
        "export",
        ("part", part, part in ("model", "mask_head"), "'model' or 'mask_head'"),
        ("output", output, output in ("labels", "logits"), "'labels' or 'logits'"),
        ("batch_size", batch_size, batch_size >= 1, "at least 1"),
    )
    image_format = cfg.INPUT.FORMAT
    is_color = image_format in ("RGB", "BGR")
    check_values("INPUT", ("FORMAT", image_format, is_color, "RGB or BGR to be exported"))
    images = CheckImages.of(cfg, pictures)
    if isinstance(model, SemanticSegmentor) and part == "model":
        return _plan_semantic(model, cfg, output, batch_size, images, classes)
    raise ValueError(f"{type(model).__name__} cannot be exported.")


def _plan_semantic(
    model: SemanticSegmentor,
    cfg: CfgNode,
    output: str,
    batch_size: int,
    images: CheckImages,
    classes: Classes,
) -> ExportPlan:
    num_classes = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    graph = SemanticGraph(model, output=output, num_classes=num_classes, batch_size=batch_size)
    return ExportPlan(
        graph,
        partial(
            compare_semantic, model=model, images=images, output=output, batch_size=batch_size
        ),
        describe(
            model,
            cfg,
            task="semantic",
            output=output,
            divisibility=graph.image_input.divisibility,
            batch_size=batch_size,
            classes=classes,
        ),
    )
