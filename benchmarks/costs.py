"""Parameters and time per image of whole models with random weights, for ``benchmarks.runs``.

The time of semantic models does not depend on their weights; that of instance models does, with the
number of objects found.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from detectron2.modeling import build_model
from torch import nn

from benchmarks.measure import Timing, time_interleaved, timed
from benchmarks.options import limit_threads, named_path
from benchmarks.report import dumps, machine
from pointrend_ext.engine import load_cfg

__all__ = ["main", "time_models"]


def time_models(
    models: Mapping[str, nn.Module], image_hw: Sequence[int], *, rounds: int, device: str
) -> dict[str, Timing]:
    """Run every model on one image of noise, in turn.

    Args:
        models: by name; put into evaluation mode.
        image_hw: rows and columns, as the network sees the image, and of the result.
        rounds: measured rounds; one more comes first and does not count.
        device: where the models are, "cpu" or "cuda".
    """
    height, width = image_hw
    image = 255 * torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    inputs = [{"image": image, "height": height, "width": width}]

    def clock(model: nn.Module) -> float:
        seconds, _ = timed(partial(model, inputs), device)
        return seconds

    with torch.inference_mode():
        clocks = {name: partial(clock, model.eval()) for name, model in models.items()}
        return time_interleaved(clocks, rounds)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, and write the file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description=__doc__)
    add = parser.add_argument
    add(
        "--model",
        type=named_path,
        action="append",
        required=True,
        metavar="NAME=CONFIG",
        help="a name and a configuration, such as the config.yaml of a run; repeat for every one",
    )
    add("--image-size", type=int, nargs=2, required=True, metavar=("H", "W"), help="in pixels")
    add("--rounds", type=int, default=9, help="measured rounds")
    add("--threads", type=int, default=1, help="CPU threads")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--output", type=Path, help="JSON file for benchmarks.runs --costs")
    args = parser.parse_args(words)
    limit_threads(args.threads)
    options = ["MODEL.DEVICE", args.device]
    models = {name: build_model(load_cfg(config, options)) for name, config in args.model}
    about = {"image_hw": args.image_size, "threads": args.threads}
    about["processor"] = machine(args.device)["processor"]
    costs = {}
    timings = time_models(models, args.image_size, rounds=args.rounds, device=args.device)
    for name, timing in timings.items():
        parameters = sum(parameter.numel() for parameter in models[name].parameters())
        seconds = round(timing.median, 4)
        costs[name] = {"parameters": parameters, "seconds_per_image": seconds, **about}
        print(f"{name}: {parameters / 1e6:.2f} M parameters, {timing} s")  # noqa: T201
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(dumps(costs))


if __name__ == "__main__":
    main()
