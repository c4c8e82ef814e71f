"""Running models on pictures and videos and writing what they see; ``tools/demo.py`` calls it."""

from pointrend_ext.inference.demo.coco_ids import CocoIds
from pointrend_ext.inference.demo.detections import Detections
from pointrend_ext.inference.demo.inputs import Input, find_inputs
from pointrend_ext.inference.demo.outputs import OUTPUT_KINDS, OutputWriter
from pointrend_ext.inference.demo.run import DemoOptions, run_demo
from pointrend_ext.inference.demo.telling import run_and_tell
from pointrend_ext.inference.demo.video import open_camera, open_video, write_video

__all__ = [
    "OUTPUT_KINDS",
    "CocoIds",
    "DemoOptions",
    "Detections",
    "Input",
    "OutputWriter",
    "find_inputs",
    "open_camera",
    "open_video",
    "run_and_tell",
    "run_demo",
    "write_video",
]
