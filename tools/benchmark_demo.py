#!/usr/bin/env python3
"""Measure images per second of our demo against Detectron2's, on the same pictures and weights.

Example: python tools/benchmark_demo.py --weights model_final.pth --input photos --threads 2
    --output docs/benchmarks/demo
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from benchmarking_demo.drawing import drawing_forms
from benchmarking_demo.models import build_models
from benchmarking_demo.pipelines import Pipeline, detectron2_pipeline, our_pipeline
from benchmarking_demo.report import described_machine, summary, write_results

from pointrend_ext.inference.demo import find_inputs

FOLDER = "COCO-InstanceSegmentation"


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--config-file", default=f"{FOLDER}/pointrend_rcnn_R_50_FPN_1x_coco.yaml", help="PointRend")
    add("--weights", required=True, help="its trained weights; the original gets them as well")
    add("--mask-rcnn-config", default=f"{FOLDER}/mask_rcnn_R_50_FPN_1x_coco.yaml")
    add("--mask-rcnn-weights", help="without, it has PointRend's, and its masks are whole boxes")
    add(
        "--input",
        nargs="+",
        action="extend",
        required=True,
        help="pictures, folders, or quoted patterns",
    )
    add("--max-images", type=int, help="take the first ones alone")
    add("--confidence", type=float, default=0.5, help="lowest score of an instance (%(default)s)")
    add("--rounds", type=int, default=5, help="measured rounds; one more does not count")
    add("--threads", type=int, nargs="+", default=[1], help="CPU threads, in turn")
    add("--drawing-objects", type=int, default=100, help="objects to draw alone; 0 for none")
    add("--drawing-size", type=int, nargs=2, default=(3000, 4000), metavar=("H", "W"))
    add("--output", type=Path, help="folder for results.json and results.md")
    add("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs that change all configurations")
    return parser.parse_args()


def set_threads(count: int) -> None:
    """Let PyTorch and OpenCV use so many threads."""
    torch.set_num_threads(count)
    cv2.setNumThreads(count)


def measure(
    pipelines: Mapping[str, Mapping[str, Pipeline]],
    pictures: Sequence[Path],
    rounds: int,
    folder: Path,
) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Run every demo with every model on every picture in turn, once per round.

    Args:
        pipelines: by model and demo.
        pictures: to read.
        rounds: measured rounds; one more comes first and does not count.
        folder: for the drawings.

    Returns:
        By model and demo, for each round the seconds by stage of all pictures together.
    """
    seconds: dict[str, dict[str, list[dict[str, float]]]] = {
        model: {demo: [] for demo in demos} for model, demos in pipelines.items()
    }
    for _ in range(rounds + 1):
        for demos in seconds.values():
            for of_rounds in demos.values():
                of_rounds.append({})
        for picture in pictures:
            for model, demos in pipelines.items():
                for demo, pipeline in demos.items():
                    now, _ = pipeline.run(picture, folder / f"{demo}.jpg")
                    total = seconds[model][demo][-1]
                    for stage, value in now.items():
                        total[stage] = total.get(stage, 0.0) + value
    return {
        model: {demo: of_rounds[1:] for demo, of_rounds in demos.items()}
        for model, demos in seconds.items()
    }


def compare(demos: Mapping[str, Pipeline], pictures: Sequence[Path], folder: Path) -> Any:
    """Count objects and compare what both demos of a model predict, pixel by pixel.

    Args:
        demos: by name.
        pictures: to read.
        folder: for the drawings.

    Returns:
        Number of objects, and a sentence for the report.

    Raises:
        AssertionError: more than 1e-6 of the pixels in masks, or a box differs.
    """
    objects = pixels = differing = 0
    for picture in pictures:
        theirs, ours = (
            demos[demo].found(demos[demo].run(picture, folder / "check.jpg")[1])
            for demo in ("detectron2", "ours")
        )
        np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=1e-3)
        objects += len(ours.boxes)
        pixels += np.count_nonzero(theirs.masks)
        differing += np.count_nonzero(ours.masks != theirs.masks)
    assert differing <= 1e-6 * pixels, f"{differing} of {pixels} pixels differ"
    return objects, f"{differing} of {pixels} mask pixels differ"


def measure_models(arguments: argparse.Namespace, pictures: Sequence[Path]) -> list[dict[str, Any]]:
    """Measure the demos: rows of the report."""
    models = build_models(
        arguments.config_file,
        arguments.weights,
        arguments.mask_rcnn_config,
        arguments.mask_rcnn_weights,
        confidence=arguments.confidence,
        opts=arguments.opts,
    )
    pipelines = {
        name: {"detectron2": detectron2_pipeline(theirs), "ours": our_pipeline(ours)}
        for name, (ours, theirs) in models.items()
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        found = {name: compare(x, pictures, Path(folder)) for name, x in pipelines.items()}
        for threads in arguments.threads:
            set_threads(threads)
            measured = measure(pipelines, pictures, arguments.rounds, Path(folder))
            for model, demos in measured.items():
                forms = {demo: summary(of_rounds) for demo, of_rounds in demos.items()}
                objects, equality = found[model]
                rows.append(
                    {
                        "model": model,
                        "threads": threads,
                        "objects": objects,
                        "forms": forms,
                        "ratio": _ratio(forms),
                        "equality": equality,
                    }
                )
    return rows


def measure_drawing(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure drawing alone: rows of the report."""
    if not arguments.drawing_objects:
        return []
    height, width = arguments.drawing_size
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        draw = drawing_forms((height, width), arguments.drawing_objects, Path(folder))
        for threads in arguments.threads:
            set_threads(threads)
            runs = [{n: form() for n, form in draw.items()} for _ in range(arguments.rounds + 1)]
            forms = {name: summary([run[name] for run in runs[1:]]) for name in draw}
            about = {"objects": arguments.drawing_objects, "height": height, "width": width}
            rows.append({**about, "threads": threads, "forms": forms, "ratio": _ratio(forms)})
    return rows


def _ratio(forms: Mapping[str, Any]) -> float:
    return forms["detectron2"]["total"]["median"] / forms["ours"]["total"]["median"]


def main() -> int:
    """Measure, print, and write the report; 2 if nothing could be measured."""
    arguments = parse_arguments()
    inputs, problems = find_inputs(arguments.input)
    pictures = [x.path for x in inputs if not x.is_video][: arguments.max_images]
    if problems or not pictures:
        print("benchmark_demo.py:", *(problems or ["no picture"]), file=sys.stderr)
        return 2
    rows, drawing = measure_models(arguments, pictures), measure_drawing(arguments)
    for row in rows:
        rates = [f"{n} {len(pictures) / x['total']['median']:.3f}" for n, x in row["forms"].items()]
        print(f"{row['model']}, {row['threads']} threads: images/s {', '.join(rates)}; ", end="")
        print(f"{row['ratio']:.2f}x; {row['objects']} objects, {row['equality']}")
    for row in drawing:
        times = [f"{n} {x['total']['median']:.2f}" for n, x in row["forms"].items()]
        print(f"drawing {row['objects']} objects, {row['threads']} threads: s {', '.join(times)}")
    if arguments.output:
        words = [x if x.startswith("docs") else Path(x).name if "/" in x else x for x in sys.argv]
        report = {
            "machine": described_machine(),
            "command": f"python tools/benchmark_demo.py {shlex.join(words[1:])}",
            "rounds": arguments.rounds,
            "images": len(pictures),
            "confidence": arguments.confidence,
            "rows": rows,
            "drawing": drawing,
        }
        write_results(arguments.output, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
