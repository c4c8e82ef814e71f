#!/usr/bin/env python3
"""Draw the flows of a model with feature alignment over an image."""

from __future__ import annotations

import argparse
import logging
import sys

import numpy as np
import torch
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.modeling import build_model

from pointrend_ext.engine import build_checkpointer, load_cfg
from pointrend_ext.modeling.alignment import record_flows
from pointrend_ext.visualization import flow_panel, read_image_rgb, write_image

GRID = 32  # the coarsest stride: then all maps cover the image exactly


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config-file", required=True, help="configuration of the model")
    parser.add_argument("--image", required=True, help="a picture")
    parser.add_argument("--output", required=True, help="the drawing, .png or .jpg")
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs, such as MODEL.WEIGHTS FILE"
    )
    return parser.parse_args()


def draw_flows(args: argparse.Namespace) -> int:
    """Run the model on the image and write the drawing; return the number of flows."""
    device = [] if torch.cuda.is_available() else ["MODEL.DEVICE", "cpu"]
    cfg = load_cfg(args.config_file, [*args.opts, *device])
    model = build_model(cfg).eval()
    build_checkpointer(cfg, model).load(cfg.MODEL.WEIGHTS, checkpointables=[])
    resize = ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
    image = read_image_rgb(args.image)
    image = resize.get_transform(image).apply_image(image)
    height, width = (side // GRID * GRID for side in image.shape[:2])
    if not height or not width:
        raise ValueError(
            f"{args.image} is resized to {image.shape[1]} x {image.shape[0]} pixels, but {GRID} "
            "are needed on each side. Raise INPUT.MIN_SIZE_TEST and INPUT.MAX_SIZE_TEST."
        )
    image = np.ascontiguousarray(image[:height, :width])
    pixels = image if cfg.INPUT.FORMAT == "RGB" else image[:, :, ::-1]
    record = {"image": torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32))}
    with torch.no_grad(), record_flows(model) as flows:
        model([{**record, "height": height, "width": width}])
    if not flows:
        raise ValueError(
            f"The model of {args.config_file} has no feature alignment, so it has no flow to draw. "
            "Set MODEL.BACKBONE.NAME build_resnet_aligned_fpn_backbone and "
            "MODEL.FPN.ALIGNMENT.NAME FAM, or use SFNetHead or AlignSegHead."
        )
    write_image(
        args.output, flow_panel(image, {flow.name: flow.flow_px[0].cpu().numpy() for flow in flows})
    )
    return len(flows)


def main() -> int:
    """Draw; 2 if nothing could be done."""
    args = parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        number = draw_flows(args)
    except (ValueError, OSError) as error:
        print(f"visualize_flow.py: {error}", file=sys.stderr)
        return 2
    print(f"{number} flows in {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
