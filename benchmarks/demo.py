"""Our demo against Detectron2's: pictures read, predicted, drawn and written."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultPredictor
from torch import Tensor, nn

from benchmarks.case import Case, Forms
from benchmarks.command import main
from benchmarks.drawing import drawing_case
from benchmarks.pipelines import STAGES, Pipeline, detectron2_pipeline, our_pipeline
from benchmarks.upstream import upstream_cfg
from pointrend_ext.engine import load_cfg
from pointrend_ext.inference.demo import find_inputs
from pointrend_ext.inference.predictor import Predictor

__all__ = ["add_arguments", "build_models", "cases", "compare"]

PLAIN, ORIGINAL, OURS = "Mask R-CNN", "PointRend, original", "PointRend, ours"
FOLDER = "COCO-InstanceSegmentation"
_WHOLE_BOX_LOGIT = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for models and pictures."""
    add = parser.add_argument
    add("--config-file", default=f"{FOLDER}/pointrend_rcnn_R_50_FPN_1x_coco.yaml", help="PointRend")
    add("--weights", required=True, help="its trained weights; the original gets them as well")
    add("--mask-rcnn-config", default=f"{FOLDER}/mask_rcnn_R_50_FPN_1x_coco.yaml")
    add("--mask-rcnn-weights", help="without, it has PointRend's, and its masks are whole boxes")
    add("--input", nargs="+", action="extend", required=True, help="pictures, folders or patterns")
    add("--max-images", type=int, help="take the first ones alone")
    add("--confidence", type=float, default=0.5, help="lowest score of an instance (%(default)s)")
    add("--drawing-objects", type=int, default=100, help="objects to draw alone; 0 for none")
    add("--drawing-size", type=int, nargs=2, default=(3000, 4000), metavar=("H", "W"))
    add("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that change all configurations")


def cases(arguments: argparse.Namespace) -> list[Case]:
    """Return each model in both demos, the original in one and ours in the other, and drawing.

    Raises:
        FileNotFoundError: there is no picture.
    """
    inputs, problems = find_inputs(arguments.input)
    pictures = [x.path for x in inputs if not x.is_video][: arguments.max_images]
    if problems or not pictures:
        raise FileNotFoundError(" ".join(problems) or f"{arguments.input} has no picture.")
    about = f"{len(pictures)} pictures, scores from {arguments.confidence}"
    found = [
        Case(
            "Demo",
            (upstream if upstream == ours else f"{upstream} / {ours}") + f"; {about}",
            partial(_build, arguments=arguments, pictures=pictures, models=(upstream, ours)),
        )
        for upstream, ours in [(PLAIN,) * 2, (ORIGINAL,) * 2, (OURS,) * 2, (ORIGINAL, OURS)]
    ]
    if arguments.drawing_objects:
        found.append(drawing_case(tuple(arguments.drawing_size), arguments.drawing_objects))
    return found


def _build(
    device: str,
    *,
    arguments: argparse.Namespace,
    pictures: Sequence[Path],
    models: tuple[str, str],
) -> Forms:
    pairs = build_models(arguments, device)
    pipelines = {
        "upstream": detectron2_pipeline(pairs[models[0]][1]),
        "ours": our_pipeline(pairs[models[1]][0]),
    }
    output = Path(tempfile.mkdtemp()) / "drawn.jpg"

    def check(_results: Mapping[str, Any]) -> str:
        medians = {name: pipeline.medians() for name, pipeline in pipelines.items()}
        rates = (f"{len(pictures) / sum(stages):.3f}" for stages in medians.values())
        times = (" + ".join(f"{s / len(pictures):.3f}" for s in x) for x in medians.values())
        return (
            f"{compare(pipelines, pictures, output)}; images/s {' and '.join(rates)}; "
            f"{' + '.join(STAGES)}, s per image: {' and '.join(times)}"
        )

    run = {name: partial(x.run, pictures, output) for name, x in pipelines.items()}
    return Forms(run, check)


def compare(pipelines: Mapping[str, Pipeline], pictures: Sequence[Path], output: Path) -> str:
    """Count objects and compare what both demos predict, pixel by pixel.

    Args:
        pipelines: "upstream" and "ours".
        pictures: to read.
        output: for the drawings.

    Returns:
        A sentence for the report.

    Raises:
        AssertionError: more than 1e-6 of the pixels in masks, or a box differs.
    """
    objects = pixels = differing = 0
    for picture in pictures:
        (theirs, their_masks), (boxes, masks) = (
            pipelines[name].found(pipelines[name].run([picture], output))
            for name in ("upstream", "ours")
        )
        np.testing.assert_allclose(boxes, theirs, atol=1e-3)
        objects += len(boxes)
        pixels += np.count_nonzero(their_masks)
        differing += np.count_nonzero(masks != their_masks)
    assert differing <= 1e-6 * pixels, f"{differing} of {pixels} pixels differ"
    return f"{objects} objects, {differing} of {pixels} mask pixels differ"


def build_models(
    arguments: argparse.Namespace, device: str
) -> dict[str, tuple[Predictor, DefaultPredictor]]:
    """Build PointRend, ours and the original, and Mask R-CNN, each in both predictors.

    Without weights of its own, Mask R-CNN gets all of PointRend's but the mask head, and that
    predicts whole boxes.

    Returns:
        By the model's name our Predictor and Detectron2's, around the same module.
    """
    opts = [*arguments.opts, "MODEL.DEVICE", device]
    options = {"confidence": arguments.confidence, "opts": opts}
    ours = Predictor.from_config(arguments.config_file, arguments.weights, **options)
    state = ours.model.state_dict()
    if arguments.mask_rcnn_weights:
        plain = Predictor.from_config(
            arguments.mask_rcnn_config, arguments.mask_rcnn_weights, **options
        )
        their_plain = _default_predictor(plain.cfg, plain.model.state_dict())
    else:
        score = ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", arguments.confidence]
        cfg = load_cfg(arguments.mask_rcnn_config, [*opts, *score])
        their_plain = _default_predictor(cfg, state, strict=False)
        _predict_whole_boxes(their_plain.model)
        plain = Predictor(their_plain.model, cfg, classes=ours.classes)
    original = _default_predictor(upstream_cfg(ours.cfg), state)
    pairs = {
        PLAIN: (plain, their_plain),
        ORIGINAL: (Predictor(original.model, ours.cfg, classes=ours.classes), original),
        OURS: (ours, _default_predictor(ours.cfg, state)),
    }
    for predictor, theirs in pairs.values():  # both predictors run the same weights for certain
        theirs.model = predictor.model
    return pairs


def _default_predictor(
    cfg: CfgNode, state: Mapping[str, Tensor], *, strict: bool = True
) -> DefaultPredictor:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.WEIGHTS = ""  # they come from the state
    predictor = DefaultPredictor(cfg)
    predictor.model.load_state_dict(state, strict=strict)
    return predictor


@torch.no_grad()
def _predict_whole_boxes(model: nn.Module) -> None:
    """Make an untrained mask head predict what costs no more to draw than an object."""
    predictor = model.roi_heads.mask_head.predictor
    predictor.weight.zero_()
    predictor.bias.fill_(_WHOLE_BOX_LOGIT)


if __name__ == "__main__":
    main("benchmarks.demo")
