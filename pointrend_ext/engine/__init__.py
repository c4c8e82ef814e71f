"""From command-line arguments to an evaluated model; shared by the tools and the tests."""

from pointrend_ext.engine.classes import find_class_names
from pointrend_ext.engine.config_file import find_config_file, load_cfg
from pointrend_ext.engine.loading import LoadOptions, build_checkpointer
from pointrend_ext.engine.run import train_or_evaluate
from pointrend_ext.engine.safe_end import Stopped
from pointrend_ext.engine.setup import setup_cfg
from pointrend_ext.engine.trainer import Trainer

__all__ = [
    "LoadOptions",
    "Stopped",
    "Trainer",
    "build_checkpointer",
    "find_class_names",
    "find_config_file",
    "load_cfg",
    "setup_cfg",
    "train_or_evaluate",
]
