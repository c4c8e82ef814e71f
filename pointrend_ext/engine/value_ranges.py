"""What each value of a configuration may be, by itself."""

import math
from collections.abc import Callable
from typing import Any

import torch

from pointrend_ext.data.pixels import CHANNELS
from pointrend_ext.engine.loggers import LOGGERS

_Rule = tuple[str, Callable[[Any], bool], str]
_SCHEDULERS = ("WarmupMultiStepLR", "WarmupCosineLR", "WarmupStepWithFixedGammaLR", "WarmupPolyLR")


def _at_least(number: float) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value >= number, f"at least {number}"


def _one_of(*names: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in names, f"one of {', '.join(names)}"


_ABOVE_0 = (lambda value: value > 0, "above 0")
_SHARE = (lambda value: 0 <= value <= 1, "from 0 to 1")
_SIZES = (lambda value: len(value) > 0 and min(value) >= 1, "one size in pixels or more")


def _is_device(name: str) -> bool:
    try:
        device = torch.device(name)
    except RuntimeError:
        return False
    # Without any GPU the CPU is taken instead.
    available = torch.cuda.device_count() or math.inf
    return device.type != "cuda" or (device.index or 0) < available


def _is_expectation(item: Any) -> bool:
    """Tell [task, metric, value, tolerance]."""
    kinds = (str, str, int | float, int | float)
    is_list = isinstance(item, list | tuple) and len(item) == len(kinds)
    return is_list and all(isinstance(x, kind) for x, kind in zip(item, kinds, strict=True))


ALWAYS: tuple[_Rule, ...] = (
    ("OUTPUT_DIR", *(lambda value: bool(value.strip()), "a folder")),
    ("DATALOADER.NUM_WORKERS", *_at_least(0)),
    ("INPUT.FORMAT", *_one_of(*CHANNELS)),
    ("INPUT.MASK_FORMAT", *_one_of("polygon", "bitmask")),
    ("INPUT.MIN_SIZE_TEST", *(lambda value: value >= 0, "at least 1, or 0 to leave images be")),
    ("INPUT.MAX_SIZE_TEST", *_at_least(1)),
    ("TEST.DETECTIONS_PER_IMAGE", *_at_least(1)),
    (
        "TEST.EXPECTED_RESULTS",
        lambda value: all(map(_is_expectation, value)),
        "a list of [task, metric, value, tolerance], such as [['bbox', 'AP', 38.5, 0.2]]",
    ),
    ("MODEL.DEVICE", _is_device, "a device of this machine, such as cpu, cuda or cuda:1"),
    ("MODEL.PIXEL_STD", *(lambda value: all(v > 0 for v in value), "above 0 for every channel")),
)
"""Of every run: key, what tells whether its value is allowed, and what is allowed in words."""
TRAINING: tuple[_Rule, ...] = (
    ("DATASETS.TRAIN", *(lambda value: len(value) > 0, "one data set or more")),
    ("SOLVER.MAX_ITER", *_at_least(1)),
    ("SOLVER.IMS_PER_BATCH", *_at_least(1)),
    ("SOLVER.BASE_LR", *_ABOVE_0),
    ("SOLVER.GAMMA", *_ABOVE_0),
    ("SOLVER.MOMENTUM", *(lambda value: 0 <= value < 1, "at least 0 and below 1")),
    ("SOLVER.WEIGHT_DECAY", *_at_least(0)),
    ("SOLVER.WEIGHT_DECAY_NORM", *_at_least(0)),
    ("SOLVER.BIAS_LR_FACTOR", *_at_least(0)),
    ("SOLVER.ACCUMULATION_STEPS", *_at_least(1)),
    ("SOLVER.AMP.DTYPE", *_one_of("float16", "bfloat16")),
    ("SOLVER.EMA.DECAY", *(lambda value: 0 <= value < 1, "at least 0 and below 1")),
    ("SOLVER.BEST.PATIENCE", *_at_least(0)),
    ("SOLVER.CHECKPOINT_PERIOD", *_at_least(1)),
    ("SOLVER.CHECKPOINT_KEEP", *_at_least(0)),
    ("SOLVER.LR_SCHEDULER_NAME", *_one_of(*_SCHEDULERS)),
    ("SOLVER.WARMUP_METHOD", *_one_of("linear", "constant")),
    ("SOLVER.WARMUP_ITERS", *_at_least(0)),
    ("SOLVER.WARMUP_FACTOR", *_SHARE),
    ("SOLVER.POLY_LR_CONSTANT_ENDING", *_SHARE),
    ("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", *_one_of("value", "norm")),
    ("SOLVER.CLIP_GRADIENTS.CLIP_VALUE", *_ABOVE_0),
    (
        "LOGGERS.NAMES",
        lambda value: len(set(value)) == len(value) and set(value) <= {*LOGGERS},
        f"a list of {', '.join(LOGGERS)}, each at most once",
    ),
    ("LOGGERS.PROJECT", *(lambda value: bool(value.strip()), "a name")),
    ("TEST.EVAL_PERIOD", *_at_least(0)),
    ("INPUT.COPY_PASTE", *_SHARE),
    ("INPUT.MIN_SIZE_TRAIN", *_SIZES),
    ("INPUT.MAX_SIZE_TRAIN", *_at_least(1)),
    ("INPUT.MIN_SIZE_TRAIN_SAMPLING", *_one_of("choice", "range")),
    ("INPUT.RANDOM_FLIP", *_one_of("horizontal", "vertical", "none")),
)
"""Of a training."""
