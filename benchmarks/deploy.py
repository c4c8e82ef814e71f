"""Exported files in ONNX Runtime, and the models that they are made of, in turn in one process."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from detectron2.modeling import build_model
from torch import Tensor

from benchmarks.case import Case, Forms
from benchmarks.command import main
from benchmarks.heads import build_heads, random_detections, random_map
from benchmarks.models import build_scaled, model_input
from pointrend_ext.deploy.graphs import (
    Graph,
    InstanceGraph,
    MaskGraph,
    MasksInTurns,
    SemanticGraph,
)
from pointrend_ext.deploy.recording import record_program, to_onnx
from pointrend_ext.deploy.running import OnnxRunner
from pointrend_ext.engine import load_cfg

__all__ = ["add_arguments", "cases", "scale_semantic_logits"]

SEMANTIC = "Cityscapes-SemanticSegmentation/pointrend_semantic_R_50_FPN_1x_cityscapes.yaml"
SIZE_HW = (512, 1024)


Model = tuple[Graph, Sequence[Tensor], Callable[[], Sequence[Tensor]]]
"""A graph, what it is called with, and a call of the model that it is made of."""


@lru_cache(maxsize=1)  # all numbers of threads come one after the other
def _exported(build: Callable[[], Model]) -> tuple[Any, Model]:
    graph, arrays, eager = build()
    return to_onnx(record_program(graph), graph, 18), (graph, arrays, eager)


def _forms(_device: str, *, build: Callable[[], Model]) -> Forms:
    """Load an exported graph, unchecked, for as many threads as PyTorch has now."""
    proto, (_, arrays, eager) = _exported(build)
    given = [x.numpy() for x in arrays]

    def run() -> Sequence[Tensor]:
        with torch.inference_mode():
            return eager()

    return Forms({"eager": run, "ours": partial(OnnxRunner(proto), *given)}, _compare)


def _compare(results: Mapping[str, Any]) -> str:
    """Compare boxes of whole models, in any order; else the one output."""
    ours, theirs = results["ours"][0], np.asarray(results["eager"][0])
    if len(results["ours"]) > 1:
        gaps = np.abs(ours[:, None] - theirs[None]).max(axis=2).min(axis=0)  # (R,) pixels
        found = int((gaps < 0.01).sum())  # scores of random heads tie
        return f"{found} of {len(theirs)} boxes are found to 0.01 pixels"
    if np.issubdtype(ours.dtype, np.integer):
        share = (ours != theirs).mean()
        assert share < 1e-3, f"{share:.1e} of the labels differ"
        return f"{share:.0e} of the labels differ"
    share = (np.abs(ours - theirs) > 1e-4).mean()
    assert share < 1e-2, f"{share:.1e} of the values differ by more than 1e-4"
    return f"{share:.0e} of the values differ by more than 1e-4"


def _mask_head(num_regions: int) -> Model:
    head, _ = build_heads(80, "cpu")
    features, detections = random_map("cpu"), random_detections(num_regions, 80, "cpu")
    arrays = (features["p2"], detections.pred_boxes.tensor, detections.pred_classes)

    def eager() -> Sequence[Tensor]:
        (found,) = head(features, [detections])
        return [found.pred_masks]

    return MaskGraph(MasksInTurns(head, {"p2": 256})), arrays, eager


def _whole_model(image_file: str) -> Model:
    inputs = [model_input(image_file, 800, 1333, "BGR")]
    _, model, _ = build_scaled(inputs)

    def eager() -> Sequence[Tensor]:
        (found,) = model.inference(inputs, do_postprocess=False)
        return [found.pred_boxes.tensor, found.scores, found.pred_classes, found.pred_masks]

    image = inputs[0]["image"].float()
    return InstanceGraph(model, mask_side=224, form=MasksInTurns), [image], eager


def _semantic(output: str, image_file: str) -> Model:
    torch.manual_seed(0)
    model = build_model(load_cfg(SEMANTIC, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])).eval()
    image = model_input(image_file, *SIZE_HW, "BGR")["image"].float()
    scale_semantic_logits(model, image)

    def eager() -> Sequence[Tensor]:
        return [model.predict([{"image": image}], output)[0]["sem_seg"]]

    return SemanticGraph(model, output=output, num_classes=19), [image], eager


@torch.no_grad()
def scale_semantic_logits(model: Any, image: Tensor) -> None:
    """Scale random weights to logits of a few units on an image (3, H, W)."""
    for block in (module for module in model.modules() if hasattr(module, "conv3")):
        block.conv3.norm.weight.fill_(0.3)
    head = model.sem_seg_head
    for layer in (head.coarse_sem_seg_head.predictor, head.point_head.predictor):
        logits = model.predict([{"image": image}], "logits")[0]["sem_seg"]
        layer.weight.mul_(3 / logits.std())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option for the image."""
    parser.add_argument("--image", default="", help="photograph for the models")


def cases(arguments: argparse.Namespace) -> list[Case]:
    """Return what is demanded: time of a file against its model's."""
    image = arguments.image
    builds = (
        ("mask head, R=10, C=80", partial(_mask_head, num_regions=10), 1.0),
        ("mask head, R=100, C=80", partial(_mask_head, num_regions=100), 1.0),
        ("R50-FPN PointRend, 800x1333", partial(_whole_model, image_file=image), 0.9),
        *(
            (
                f"Semantic FPN R50 + PointRend, {SIZE_HW[0]}x{SIZE_HW[1]}, {output}",
                partial(_semantic, output=output, image_file=image),
                0.8,
            )
            for output in ("logits", "labels")
        ),
    )
    group = "ONNX Runtime against PyTorch"
    return [
        Case(
            group,
            name,
            partial(_forms, build=build),
            min_ratio=round(1 / most, 2),
            has_memory=False,
        )
        for name, build, most in builds
    ]


if __name__ == "__main__":
    main("benchmarks.deploy")
