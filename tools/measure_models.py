#!/usr/bin/env python3
"""Measure whole models: parameters, and seconds per image in interleaved rounds.

Weights are random. The time of semantic models does not depend on them; that of instance models
does, with the number of objects found.

Example: python tools/measure_models.py --image-size 360 480 --output costs.json \
--model "Semantic FPN=configs/CamVid-SemanticSegmentation/semantic_R_50_FPN_camvid.yaml"
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from benchmarking.measure import time_interleaved
from benchmarking.report import machine
from detectron2.modeling import build_model
from tabulate import tabulate
from torch import nn

from pointrend_ext.engine import load_cfg
from pointrend_ext.engine.command_line import named_value


def measure_models(
    models: Mapping[str, nn.Module], image_hw: tuple[int, int], *, rounds: int, device: str
) -> dict[str, dict[str, Any]]:
    """Run every model on one image of noise, in turn.

    Args:
        models: by name; put into evaluation mode.
        image_hw: rows and columns, as the network sees the image, and of the result.
        rounds: measured rounds; one more comes first and does not count.
        device: where the models are, "cpu" or "cuda".

    Returns:
        By name ``{"parameters": number, "seconds": {"median", "low", "high"}}``.
    """
    generator = torch.Generator().manual_seed(0)
    image = 255 * torch.rand(3, *image_hw, generator=generator)
    inputs = [{"image": image, "height": image_hw[0], "width": image_hw[1]}]
    with torch.inference_mode():
        timings, _ = time_interleaved(
            {name: partial(model.eval(), inputs) for name, model in models.items()},
            rounds=rounds,
            device=device,
        )
    return {
        name: {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "seconds": asdict(timings[name]),
        }
        for name, model in models.items()
    }


def table(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the measurements as a Markdown table."""
    rows = [
        (
            name,
            f"{row['parameters'] / 1e6:.2f}",
            f"{row['seconds']['median']:.3f}",
            f"{row['seconds']['low']:.3f} to {row['seconds']['high']:.3f}",
        )
        for name, row in measured.items()
    ]
    headers = ["model", "parameters (M)", "s per image", "rounds"]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def parse_args(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model",
        type=named_value,
        action="append",
        required=True,
        metavar="NAME=CONFIG",
        help="A name and a configuration, such as the config.yaml of a run; repeat for every one.",
    )
    parser.add_argument(
        "--image-size", type=int, nargs=2, required=True, metavar=("H", "W"), help="In pixels."
    )
    parser.add_argument("--rounds", type=int, default=9, help="Measured rounds.")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads.")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=Path, help="JSON file for tools/compare_runs.py --costs.")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print the table, and write the file."""
    args = parse_args(words)
    torch.set_num_threads(args.threads)
    models = {
        name: build_model(load_cfg(config, ["MODEL.DEVICE", args.device]))
        for name, config in args.model
    }
    measured = measure_models(
        models, tuple(args.image_size), rounds=args.rounds, device=args.device
    )
    print(table(measured))
    if args.output:
        report = {
            "machine": machine(args.device),
            "image_hw": args.image_size,
            "threads": args.threads,
            "rounds": args.rounds,
            "models": measured,
        }
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
