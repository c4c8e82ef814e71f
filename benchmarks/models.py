"""Whole models on one image: upstream's PointRend, ours, and Mask R-CNN with its own mask head.

With ``--model`` any models with random weights, on noise. The time of semantic models does not
depend on their weights; that of instance models does, with the number of objects found.
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.data.detection_utils import read_image
from detectron2.modeling import build_model
from torch import nn

from benchmarks.case import Case, Forms
from benchmarks.command import main
from benchmarks.heads import upstream_cfg
from pointrend_ext.engine import load_cfg

__all__ = ["add_arguments", "build", "build_scaled", "cases", "model_input"]

FOLDER = "COCO-InstanceSegmentation"


def model_input(
    image_file: str, short_edge_px: int, long_edge_px: int, image_format: str
) -> dict[str, Any]:
    """Return what a model takes: a photograph, or noise for "", resized as in an evaluation."""
    if image_file:
        image = read_image(image_file, format=image_format)
    else:
        image = np.random.default_rng(0).integers(0, 256, (800, 1333, 3)).astype(np.uint8)
    augmentation = T.AugInput(image)
    T.ResizeShortestEdge(short_edge_px, long_edge_px)(augmentation)
    pixels = np.ascontiguousarray(augmentation.image.transpose(2, 0, 1))
    return {"image": torch.as_tensor(pixels)}


def build(
    device: str,
    *,
    image_file: str,
    num_images: int = 1,
    edges_px: tuple[int, int] = (800, 1333),
    num_objects: int = 100,
) -> Forms:
    """Build three models, and a batch of one image (short and longest edge in pixels)."""
    options = _options(device, num_objects)
    inputs = [model_input(image_file, *edges_px, "BGR")] * num_images
    _, ours, theirs = build_scaled(inputs, device=device, num_objects=num_objects)
    plain = build_model(load_cfg(f"{FOLDER}/mask_rcnn_R_50_FPN_1x_coco.yaml", options)).eval()
    plain.load_state_dict(theirs.state_dict(), strict=False)  # all but its mask head

    @torch.inference_mode()
    def run(model: Any) -> Any:
        return model.inference(inputs, do_postprocess=False)[0]

    models = {"ours": ours, "upstream": theirs, "Mask R-CNN": plain}
    return Forms({name: partial(run, model) for name, model in models.items()}, _check)


def build_scaled(
    inputs: list[dict[str, Any]], *, device: str = "cpu", num_objects: int = 100
) -> tuple[CfgNode, Any, Any]:
    """Build R50-FPN of equal weights, random but scaled on ``inputs``: cfg, ours, upstream's."""
    options = _options(device, num_objects)
    cfg = load_cfg(f"{FOLDER}/pointrend_rcnn_R_50_FPN_1x_coco.yaml", options)
    torch.manual_seed(0)
    theirs = build_model(upstream_cfg(cfg)).eval()
    _scale(theirs, inputs)
    ours = build_model(cfg).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return cfg, ours, theirs


def _options(device: str, num_objects: int) -> list[Any]:
    options: list[Any] = ["MODEL.DEVICE", device, "MODEL.WEIGHTS", ""]
    options += ["TEST.DETECTIONS_PER_IMAGE", num_objects]
    # a random box head is sure of nothing
    return [*options, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0]


@torch.no_grad()
def _scale(model: Any, inputs: list[dict[str, Any]]) -> None:
    """Scale random weights to activations and mask logits of the size a trained model has."""
    for block in (module for module in model.modules() if hasattr(module, "conv3")):
        block.conv3.norm.weight.fill_(0.3)
    head = model.roi_heads.mask_head
    layers = (model.backbone.fpn_output2, head.coarse_head.prediction, head.point_head.predictor)
    for layer, std in zip(layers, (1, 3, 3), strict=True):
        outputs: list[torch.Tensor] = []
        handle = layer.register_forward_hook(lambda _m, _i, out, seen=outputs: seen.append(out))
        model.inference(inputs, do_postprocess=False)
        handle.remove()
        per_unit = outputs[0].transpose(0, 1).flatten(1)
        scale = std / per_unit.std(1)
        layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.dim() - 1)))
        layer.bias.sub_(per_unit.mean(1)).mul_(scale)


def _check(results: Mapping[str, Any]) -> str:
    ours, theirs = results["ours"], results["upstream"]
    assert torch.equal(ours.pred_boxes.tensor, theirs.pred_boxes.tensor), "boxes differ"
    assert torch.equal(ours.pred_classes, theirs.pred_classes), "classes differ"
    difference = (ours.pred_masks - theirs.pred_masks).abs()
    share = (difference > 1e-5).float().mean().item()
    assert share < 1e-3, f"{share:.1e} of the mask pixels differ by more than 1e-5"
    return f"{len(ours)} detections; {share:.0e} of the mask pixels differ by more than 1e-5"


def _build_any(device: str, *, configs: Mapping[str, str], size_hw: Sequence[int]) -> Forms:
    height, width = size_hw
    image = 255 * torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    inputs = [{"image": image, "height": height, "width": width}]
    options = ["MODEL.DEVICE", device]
    models = {n: build_model(load_cfg(file, options)).eval() for n, file in configs.items()}

    @torch.inference_mode()
    def run(model: nn.Module) -> None:
        model(inputs)

    return Forms(
        {name: partial(run, model) for name, model in models.items()},
        lambda results: "not compared",
        parameters={n: sum(p.numel() for p in m.parameters()) for n, m in models.items()},
    )


def _named(word: str) -> list[str]:
    name, config = word.split("=", 1)  # argparse turns a failure into its message
    return [name, config]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for the image, and for models of the user."""
    add = parser.add_argument
    add("--image", default="", help="photograph for the whole models")
    add(
        "--model",
        type=_named,
        action="append",
        metavar="NAME=CONFIG",
        help="a configuration, such as a run's config.yaml, to measure instead; repeat for more",
    )
    add("--image-size", type=int, nargs=2, default=(800, 1333), metavar=("H", "W"), help="of those")


def cases(arguments: argparse.Namespace) -> list[Case]:
    """Return the case of one image, or that of ``--model``."""
    if arguments.model:
        height, width = arguments.image_size
        given = partial(_build_any, configs=dict(arguments.model), size_hw=(height, width))
        return [Case("Models", f"{width} x {height}", given)]
    what = "a photograph" if arguments.image else "noise"
    name = f"R50-FPN, C=80, 800x1333, 100 detections on {what}"
    return [Case("Whole model", name, partial(build, image_file=arguments.image))]


if __name__ == "__main__":
    main("benchmarks.models")
