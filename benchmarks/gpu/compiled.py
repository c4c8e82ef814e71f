"""Part (d): the backbone compiled, and the mask head as a CUDA graph."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from detectron2.modeling import build_model
from torch import Tensor

from benchmarks.gpu.steps import Settings, Step
from benchmarks.heads import build_heads, random_detections, random_map
from benchmarks.measure import time_interleaved, timed
from pointrend_ext.engine import load_cfg

__all__ = ["steps"]


def steps(*, tiny: bool) -> Iterator[Step]:
    """Return the steps; a graph holds a fixed number of regions, so boxes are padded to it."""
    yield Step("compiled", "compiled_backbone", 90, _backbone)
    for regions in (2,) if tiny else (8, 32, 100):
        run = partial(_graph, regions)
        yield Step("compiled", f"cuda_graph_R{regions}", 20, run, needs_cuda=True)


@torch.inference_mode()
def _backbone(settings: Settings) -> dict[str, Any]:
    config = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_coco.yaml"
    options = ["MODEL.DEVICE", settings.device, "MODEL.WEIGHTS", ""]
    backbone = build_model(load_cfg(config, options)).backbone.eval()
    generator = torch.Generator().manual_seed(0)
    size_hw = (64, 64) if settings.tiny else (800, 1344)
    image = torch.randn(1, 3, *size_hw, generator=generator).to(settings.device)
    # a CPU has no compiler for sure, and only the script is tested there
    backend = "inductor" if settings.device == "cuda" else "eager"
    compiled = torch.compile(backbone, backend=backend)
    return _compared(
        {"eager": lambda: backbone(image), "compiled": lambda: compiled(image)}, settings
    )


@torch.inference_mode()
def _graph(regions: int, settings: Settings) -> dict[str, Any]:
    head, _ = build_heads(80, settings.device)
    features, boxes = random_map(settings.device), random_detections(regions, 80, settings.device)

    def run() -> dict[str, Tensor]:
        return {"masks": head(features, [boxes])[0].pred_masks}

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # a capture wants libraries that have been used before
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run()

    def replay() -> dict[str, Tensor]:
        graph.replay()
        return captured

    return _compared({"eager": run, "graph": replay}, settings)


def _compared(
    forms: dict[str, Callable[[], dict[str, Tensor]]], settings: Settings
) -> dict[str, Any]:
    """Time two forms in turn, and return the largest difference of their results."""
    results: dict[str, dict[str, Tensor]] = {}

    def clock(name: str) -> float:
        seconds, results[name] = timed(forms[name], settings.device)
        return seconds

    timings = time_interleaved({n: partial(clock, n) for n in forms}, settings.rounds)
    first, second = results.values()
    largest = max((first[key] - second[key]).abs().max().item() for key in first)
    ms = {n: round(1000 * t.median, 3) for n, t in timings.items()}
    return {"ms": ms, "largest difference": float(f"{largest:.1e}")}
