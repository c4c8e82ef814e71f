"""Which graph a model becomes, how a file of it is checked, and which models have none."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import GeneralizedRCNN, PanopticFPN, SemanticSegmentor
from torch import nn

from pointrend_ext.deploy.checks import (
    CheckImages,
    Figure,
    compare_instances,
    compare_mask_head,
    compare_semantic,
)
from pointrend_ext.deploy.exportable import ExportOptions
from pointrend_ext.deploy.graphs import (
    Graph,
    InstanceGraph,
    MaskGraph,
    MasksInTurns,
    MasksTogether,
    PanopticGraph,
    SemanticGraph,
)
from pointrend_ext.deploy.metadata import describe
from pointrend_ext.deploy.running import Runner
from pointrend_ext.modeling.roi_heads import PointRendROIMaskHead
from pointrend_ext.modeling.roi_heads.mask_score import MASK_SCORES


@dataclass(frozen=True)
class ExportPlan:
    """What is exported.

    Attributes:
        graph: what is recorded.
        compare: measures how a file of it agrees with the model.
        metadata: see ``describe``.
    """

    graph: Graph
    compare: Callable[[Runner], list[Figure]]
    metadata: dict[str, Any]


def plan_export(model: nn.Module, cfg: CfgNode, options: ExportOptions) -> ExportPlan:
    """Choose the graph of a model.

    Args:
        model: one that can be exported, in evaluation mode, on the CPU and in 32 bits.
        cfg: its configuration.
        options: what is asked for.
    """
    images = CheckImages.of(cfg, options.check_images)
    task, make = _kind(model, options.part)
    graph, compare = make(model, cfg, options, images)
    return ExportPlan(graph, compare, describe(model, cfg, task, options))


_Parts = tuple[Graph, Callable[[Runner], list[Figure]]]


def _kind(model: nn.Module, part: str) -> tuple[str, Callable[..., _Parts]]:
    """Return the task of a file, and what makes its graph and its check."""
    if isinstance(model, SemanticSegmentor):
        return "semantic", _semantic
    if part == "mask_head":
        return "mask_head", _mask_head
    if isinstance(model, PanopticFPN):
        return "panoptic", _panoptic
    return "instances", _instances


def _semantic(
    model: SemanticSegmentor, cfg: CfgNode, options: ExportOptions, images: CheckImages
) -> _Parts:
    asked: dict[str, Any] = {"output": options.output, "batch_size": options.batch_size}
    graph = SemanticGraph(model, num_classes=cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, **asked)
    return graph, partial(compare_semantic, model=model, images=images, **asked)


def _mask_head(
    model: GeneralizedRCNN, _cfg: CfgNode, options: ExportOptions, images: CheckImages
) -> _Parts:
    channels = {name: x.channels for name, x in model.backbone.output_shape().items()}
    graph = MaskGraph(_form(options)(model.roi_heads.mask_head, channels))
    names = list(graph.strides)
    return graph, partial(compare_mask_head, model=model, images=images, names=names)


def _instances(
    model: GeneralizedRCNN, cfg: CfgNode, options: ExportOptions, images: CheckImages
) -> _Parts:
    graph = InstanceGraph(model, **_of_masks(model, cfg, options))
    return graph, partial(compare_instances, model=model, images=images)


def _panoptic(
    model: PanopticFPN, cfg: CfgNode, options: ExportOptions, images: CheckImages
) -> _Parts:
    num_classes, output = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, options.output
    graph = PanopticGraph(
        model, output=output, num_classes=num_classes, **_of_masks(model, cfg, options)
    )

    def compare(run: Runner) -> list[Figure]:
        objects = compare_instances(run, model=model, images=images)
        return [*objects, *compare_semantic(run, model=model, images=images, output=output)]

    return graph, compare


def _form(options: ExportOptions) -> type[MasksTogether]:
    return MasksTogether if options.together else MasksInTurns


def _of_masks(model: GeneralizedRCNN, cfg: CfgNode, options: ExportOptions) -> dict[str, Any]:
    score = MASK_SCORES.get(cfg.MODEL.ROI_MASK_HEAD.MASK_SCORE)
    return {"mask_side": _mask_side(model), "mask_score": score, "form": _form(options)}


@torch.no_grad()
def _mask_side(model: GeneralizedRCNN) -> int:
    heads = model.roi_heads
    if isinstance(heads.mask_head, PointRendROIMaskHead):
        return heads.mask_head.subdivision.final_side
    channels = model.backbone.output_shape()[heads.mask_in_features[0]].channels
    pooled = torch.zeros(1, channels, *heads.mask_pooler.output_size)
    return heads.mask_head.layers(pooled).shape[-1]
