"""Running models on pictures and videos and writing what they see; ``tools/demo.py`` calls it."""

from pointrend_ext.inference.demo.inputs import Input, find_inputs
from pointrend_ext.inference.demo.outputs import OUTPUT_KINDS, OutputWriter
from pointrend_ext.inference.demo.run import DemoOptions, DemoReport, run_demo
from pointrend_ext.inference.demo.video import VideoSink, VideoSource

__all__ = [
    "OUTPUT_KINDS",
    "DemoOptions",
    "DemoReport",
    "Input",
    "OutputWriter",
    "VideoSink",
    "VideoSource",
    "find_inputs",
    "run_demo",
]
