"""Our demo against Detectron2's: pictures read, predicted, drawn and written; and drawing alone."""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import Metadata
from detectron2.data.detection_utils import read_image
from detectron2.engine import DefaultPredictor
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Boxes, Instances
from detectron2.utils.visualizer import ColorMode, Visualizer
from torch import Tensor

from benchmarks.case import Case, Forms
from benchmarks.command import main
from benchmarks.heads import upstream_cfg
from pointrend_ext.data.reading import read_image_rgb
from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.demo import DemoOptions, Input, OutputWriter, find_inputs, run_demo
from pointrend_ext.inference.postprocess import with_instances
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.visualization import write_image

__all__ = ["add_arguments", "build_predictors", "cases", "compare", "run_detectron2"]

OURS, ORIGINAL = "PointRend, ours", "PointRend, original"
MASK_SIDE = 224
BOX_SIDES = (0.03, 0.4)  # in units of the shorter side of the picture


def run_detectron2(predictor: DefaultPredictor, pictures: Sequence[Path], output: Path) -> None:
    """Do what Detectron2's demo does."""
    for picture in pictures:
        image = read_image(str(picture), format="BGR")
        instances = predictor(image)["instances"].to("cpu")
        _write_as_detectron2(image, instances, predictor.metadata, output)


def _write_as_detectron2(
    image_bgr: np.ndarray, instances: Instances, metadata: Any, output: Path
) -> None:
    """Draw and write as ``demo/demo.py`` and ``demo/predictor.py`` of Detectron2's repository do.

    These files are not in its package; here the classes that they use are called in their order.
    """
    visualizer = Visualizer(image_bgr[:, :, ::-1], metadata, instance_mode=ColorMode.IMAGE)
    visualizer.draw_instance_predictions(predictions=instances).save(str(output))


def compare(ours: Predictor, theirs: DefaultPredictor, pictures: Sequence[Path]) -> str:
    """Check that boxes, and all but 1e-6 of the pixels in masks, are equal; return a sentence."""
    objects = pixels = differing = 0
    for picture in pictures:
        prediction = ours(read_image_rgb(picture))
        instances = theirs(read_image(str(picture), format="BGR"))["instances"].to("cpu")
        assert prediction.boxes is not None
        np.testing.assert_allclose(prediction.boxes, instances.pred_boxes.tensor.numpy(), atol=1e-3)
        masks = instances.pred_masks.numpy()
        objects += len(masks)
        pixels += int(np.count_nonzero(masks))
        differing += int(np.count_nonzero(np.asarray(prediction.masks) != masks))
    assert differing <= 1e-6 * pixels, f"{differing} of {pixels} pixels differ"
    return f"{objects} objects, {differing} of {pixels} mask pixels differ"


def build_predictors(
    arguments: argparse.Namespace, device: str
) -> dict[str, tuple[Predictor, DefaultPredictor]]:
    """Build PointRend, ours and the original, each in our predictor and in Detectron2's."""
    ours = Predictor.from_config(
        arguments.config_file,
        arguments.weights,
        confidence=arguments.confidence,
        opts=[*arguments.opts, "MODEL.DEVICE", device],
    )
    state = ours.model.state_dict()
    original = _default_predictor(upstream_cfg(ours.cfg), state)
    theirs = _default_predictor(ours.cfg, state)
    theirs.model = ours.model
    wrapped = Predictor(original.model, ours.cfg, classes=ours.classes)
    return {ORIGINAL: (wrapped, original), OURS: (ours, theirs)}


def _default_predictor(cfg: CfgNode, state: Mapping[str, Tensor]) -> DefaultPredictor:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.WEIGHTS = ""  # they come from the state
    predictor = DefaultPredictor(cfg)
    predictor.model.load_state_dict(state, strict=True)
    return predictor


def _build(
    device: str, *, arguments: argparse.Namespace, inputs: Sequence[Input], names: Sequence[str]
) -> Forms:
    predictors = build_predictors(arguments, device)
    theirs, ours = predictors[names[0]][1], predictors[names[-1]][0]
    folder = tempfile.TemporaryDirectory()  # goes with the forms
    pictures, output = [x.path for x in inputs], Path(folder.name)
    options = DemoOptions({"ours": ours}, OutputWriter(output, ["overlay"]), progress=False)
    run: dict[str, Callable[[], Any]] = {
        "upstream": partial(run_detectron2, theirs, pictures, output / "drawn.jpg"),
        "ours": partial(run_demo, inputs, options),
    }

    def check(results: Mapping[str, Any]) -> str:
        assert not results["ours"].failures, results["ours"].failures
        return compare(ours, theirs, pictures)

    return Forms(run, check, keep=folder)


def _drawing_case(size_hw: tuple[int, int], count: int) -> Case:
    """Return the case of a picture of that size with that many objects."""
    height, width = size_hw

    def build(_device: str) -> Forms:
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, (height // 50 + 1, width // 50 + 1, 3)).astype(np.uint8)
        image = cv2.resize(noise, (width, height))
        raw = _objects(rng, size_hw, count)
        folder = tempfile.TemporaryDirectory()  # goes with the forms
        output = Path(folder.name) / "drawn.jpg"

        def ours() -> None:
            picture = with_instances(Prediction(image, "", Classes()), raw, 0.0).draw()
            write_image(output, picture)

        def upstream() -> None:
            fields = Instances(raw.image_size, **raw.get_fields())
            instances = detector_postprocess(fields, height, width)
            _write_as_detectron2(image[:, :, ::-1], instances, Metadata(), output)

        forms = {"upstream": upstream, "ours": ours}
        return Forms(forms, lambda results: "not compared", keep=folder)

    return Case("Drawing", f"{count} objects on {width} x {height}, pasted and written", build)


def _objects(rng: np.random.Generator, size_hw: tuple[int, int], count: int) -> Instances:
    """Make wavy objects, as a model gives them before their masks are pasted."""
    y, x = np.mgrid[:MASK_SIDE, :MASK_SIDE] / (MASK_SIDE - 1) - 0.5
    angle, radius = np.arctan2(y, x), np.hypot(y, x)
    edges = [0.38 + 0.08 * np.sin(angle * lobes) for lobes in rng.integers(2, 12, count)]
    maps = np.stack([1 / (1 + np.exp(MASK_SIDE / 2 * (radius - edge))) for edge in edges])
    low, high = np.log(BOX_SIDES)
    sides = min(size_hw) * np.exp(rng.uniform(low, high, (count, 1)))
    corner = rng.random((count, 2)) * (np.array(size_hw[::-1]) - sides)
    boxes = np.concatenate([corner, corner + sides], axis=1)
    return Instances(
        size_hw,
        pred_boxes=Boxes(torch.from_numpy(boxes).float()),
        pred_masks=torch.from_numpy(maps[:, None]).float(),
        scores=torch.linspace(0.99, 0.5, count),
        pred_classes=torch.arange(count) % 80,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for models and pictures."""
    add = parser.add_argument
    config = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_coco.yaml"
    add("--config-file", default=config, help="PointRend")
    add("--weights", required=True, help="its trained weights; the original gets them as well")
    add("--input", nargs="+", action="extend", required=True, help="pictures, folders or patterns")
    add("--max-images", type=int, help="take the first ones alone")
    add("--confidence", type=float, default=0.5, help="lowest score of an instance (%(default)s)")
    add("--drawing-objects", type=int, default=100, help="objects to draw alone; 0 for none")
    add("--drawing-size", type=int, nargs=2, default=(3000, 4000), metavar=("H", "W"))
    add("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that change the configuration")


def cases(arguments: argparse.Namespace) -> list[Case]:
    """Return each model in both demos, the original in one and ours in the other, and drawing."""
    found_inputs = find_inputs(arguments.input)
    inputs = [x for x in found_inputs.inputs if not x.is_video][: arguments.max_images]
    if found_inputs.problems or not inputs:
        raise FileNotFoundError(
            " ".join(found_inputs.problems) or f"{arguments.input} has no picture."
        )
    found = []
    for names in ([ORIGINAL], [OURS], [ORIGINAL, OURS]):
        name = f"{' / '.join(names)}: {len(inputs)} pictures"
        build = partial(_build, arguments=arguments, inputs=inputs, names=names)
        found.append(Case("Demo", name, build))
    if arguments.drawing_objects:
        found.append(_drawing_case(tuple(arguments.drawing_size), arguments.drawing_objects))
    return found


if __name__ == "__main__":
    main("benchmarks.demo")
