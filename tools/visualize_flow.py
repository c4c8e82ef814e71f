#!/usr/bin/env python3
"""Draw the flows of a model with feature alignment over an image."""

import argparse
import logging
import sys

import torch

from pointrend_ext.engine.command_line import add_model_arguments, run_tool
from pointrend_ext.inference.predictor import build_predictor
from pointrend_ext.inspection.sample_pictures import seen_image
from pointrend_ext.modeling.alignment import record_flows
from pointrend_ext.visualization import flow_panel, write_image

GRID = 32  # the coarsest stride: then all maps cover the image exactly


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", required=True, metavar="FILE", help="a picture")
    parser.add_argument("--output", required=True, help="the drawing, .png or .jpg")
    add_model_arguments(parser)
    return parser


def draw(args: argparse.Namespace) -> None:
    """Run the model on the image and draw its flows."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    predictor = build_predictor(args, confidence=None)
    resized = predictor.model_input(predictor.read_image(args.input))["image"]
    height, width = (side // GRID * GRID for side in resized.shape[1:])
    if not height or not width:
        raise ValueError(
            f"{args.input} is resized to {resized.shape[2]} x {resized.shape[1]} pixels, but "
            f"{GRID} are needed on each side. Raise INPUT.MIN_SIZE_TEST and INPUT.MAX_SIZE_TEST."
        )
    model_input = {"image": resized[:, :height, :width], "height": height, "width": width}
    with torch.no_grad(), record_flows(predictor.model) as flows:
        predictor.model([model_input])
    if not flows:
        raise ValueError(
            f"The model of {args.config_file} has no feature alignment, so it has no flow to draw. "
            "Set MODEL.BACKBONE.NAME build_resnet_aligned_fpn_backbone and "
            "MODEL.FPN.ALIGNMENT.NAME FAM, or use SFNetHead, SFNetLiteHead or AlignSegHead."
        )
    arrays = {flow.name: flow.flow_px[0].cpu().numpy() for flow in flows}
    write_image(args.output, flow_panel(seen_image(model_input, predictor.cfg), arrays))
    print(f"{len(flows)} flows in {args.output}")


def main() -> int:
    """Run the tool."""
    return run_tool(build_parser(), draw)


if __name__ == "__main__":
    sys.exit(main())
