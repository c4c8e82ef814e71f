"""Checks of the values of a configuration, before any data is read."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

from detectron2.config import CfgNode
from detectron2.utils import comm

from pointrend_ext.data.checks import ROI_ARCHITECTURES
from pointrend_ext.data.mapper import SEMANTIC_ARCHITECTURES
from pointrend_ext.data.semantic_augmentation import check_crop

__all__ = ["check_values", "warn_of_schedule"]

logger = logging.getLogger(__name__)

_Rule = tuple[str, Callable[[Any], bool], str]
_SCHEDULERS = ("WarmupMultiStepLR", "WarmupCosineLR", "WarmupStepWithFixedGammaLR", "WarmupPolyLR")


def _at_least(number: float) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value >= number, f"at least {number}"


def _one_of(*names: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in names, f"one of {', '.join(names)}"


_ABOVE_0 = (lambda value: value > 0, "above 0")
_SHARE = (lambda value: 0 <= value <= 1, "from 0 to 1")
_SIZES = (lambda value: len(value) > 0 and min(value) >= 1, "one size in pixels or more")
_ALWAYS: tuple[_Rule, ...] = (
    ("OUTPUT_DIR", *(lambda value: bool(value.strip()), "a folder")),
    ("DATALOADER.NUM_WORKERS", *_at_least(0)),
    ("INPUT.MASK_FORMAT", *_one_of("polygon", "bitmask")),
    ("INPUT.MIN_SIZE_TEST", *(lambda value: value >= 0, "at least 1, or 0 to leave images be")),
    ("INPUT.MAX_SIZE_TEST", *_at_least(1)),
    ("TEST.DETECTIONS_PER_IMAGE", *_at_least(1)),
    ("MODEL.PIXEL_STD", *(lambda value: all(v > 0 for v in value), "above 0 for every channel")),
)
_TRAINING: tuple[_Rule, ...] = (
    ("DATASETS.TRAIN", *(lambda value: len(value) > 0, "one data set or more")),
    ("SOLVER.MAX_ITER", *_at_least(1)),
    ("SOLVER.IMS_PER_BATCH", *_at_least(1)),
    ("SOLVER.BASE_LR", *_ABOVE_0),
    ("SOLVER.GAMMA", *_ABOVE_0),
    ("SOLVER.MOMENTUM", *(lambda value: 0 <= value < 1, "at least 0 and below 1")),
    ("SOLVER.WEIGHT_DECAY", *_at_least(0)),
    ("SOLVER.WEIGHT_DECAY_NORM", *_at_least(0)),
    ("SOLVER.BIAS_LR_FACTOR", *_at_least(0)),
    ("SOLVER.CHECKPOINT_PERIOD", *_at_least(1)),
    ("SOLVER.LR_SCHEDULER_NAME", *_one_of(*_SCHEDULERS)),
    ("SOLVER.WARMUP_METHOD", *_one_of("linear", "constant")),
    ("SOLVER.WARMUP_ITERS", *_at_least(0)),
    ("SOLVER.WARMUP_FACTOR", *_SHARE),
    ("SOLVER.POLY_LR_CONSTANT_ENDING", *_SHARE),
    ("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", *_one_of("value", "norm")),
    ("SOLVER.CLIP_GRADIENTS.CLIP_VALUE", *_ABOVE_0),
    ("TEST.EVAL_PERIOD", *_at_least(0)),
    ("INPUT.MIN_SIZE_TRAIN", *_SIZES),
    ("INPUT.MAX_SIZE_TRAIN", *_at_least(1)),
    ("INPUT.MIN_SIZE_TRAIN_SAMPLING", *_one_of("choice", "range")),
    ("INPUT.RANDOM_FLIP", *_one_of("horizontal", "vertical", "none")),
)


def check_values(cfg: CfgNode, *, training: bool) -> None:
    """Refuse values that no run can have.

    Args:
        cfg: the configuration.
        training: whether there is a training; else there is an evaluation.

    Raises:
        ValueError: the first value, with what is allowed.
    """
    problem = next(_problems(cfg, training), None)
    if problem:
        raise ValueError(problem)
    if training:
        check_crop(cfg)


def warn_of_schedule(cfg: CfgNode) -> None:
    """Warn of a schedule that is allowed, but hardly meant."""
    solver = cfg.SOLVER
    if solver.WARMUP_ITERS > solver.MAX_ITER:
        logger.warning(
            "SOLVER.WARMUP_ITERS is %d, but the training ends after SOLVER.MAX_ITER %d iterations: "
            "the learning rate never reaches SOLVER.BASE_LR. Set a shorter warm-up.",
            solver.WARMUP_ITERS,
            solver.MAX_ITER,
        )
    if cfg.TEST.EVAL_PERIOD and not cfg.DATASETS.TEST:
        logger.warning("TEST.EVAL_PERIOD is set, but DATASETS.TEST is empty: nothing is evaluated.")


def _problems(cfg: CfgNode, training: bool) -> Iterator[str]:
    for key, is_allowed, allowed in (*_ALWAYS, *(_TRAINING if training else ())):
        value: Any = cfg
        for part in key.split("."):
            value = dict.__getitem__(value, part)  # a check is no use of a key: nothing is noted
        if not is_allowed(value):
            yield f"{key} is {value!r}; it must be {allowed}."
    yield from _class_problems(cfg)
    if len(cfg.MODEL.PIXEL_MEAN) != len(cfg.MODEL.PIXEL_STD):
        yield (
            f"MODEL.PIXEL_MEAN has {len(cfg.MODEL.PIXEL_MEAN)} numbers, but MODEL.PIXEL_STD has "
            f"{len(cfg.MODEL.PIXEL_STD)}: both need one per channel of INPUT.FORMAT."
        )
    for split in ("TRAIN", "TEST"):
        names = list(cfg.DATASETS[split])
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice and (split == "TEST" or training):
            yield f"DATASETS.{split} names {twice!r} twice. Name it once."
    if training:
        yield from _schedule_problems(cfg)
    elif not cfg.DATASETS.TEST:
        yield (
            "--eval-only with an empty DATASETS.TEST would evaluate nothing: name a data set, such "
            "as DATASETS.TEST \"('coco_2017_val',)\"."
        )


def _class_problems(cfg: CfgNode) -> Iterator[str]:
    for node, architectures in (
        ("ROI_HEADS", ROI_ARCHITECTURES),
        ("SEM_SEG_HEAD", SEMANTIC_ARCHITECTURES),
    ):
        number = cfg.MODEL[node].NUM_CLASSES
        if cfg.MODEL.META_ARCHITECTURE in architectures and number < 1:
            yield f"MODEL.{node}.NUM_CLASSES is {number}; it must be at least 1."


def _schedule_problems(cfg: CfgNode) -> Iterator[str]:
    solver = cfg.SOLVER
    if solver.LR_SCHEDULER_NAME == "WarmupMultiStepLR":
        steps = list(solver.STEPS)
        counted = [step for step in steps if step <= solver.MAX_ITER]
        if steps != sorted(set(steps)) or (steps and steps[0] < 1):
            yield f"SOLVER.STEPS is {solver.STEPS}; it must be iterations in ascending order."
        elif solver.MAX_ITER in steps or len(counted) >= solver.MAX_ITER:
            yield (
                f"SOLVER.STEPS is {solver.STEPS}, but the training ends after SOLVER.MAX_ITER "
                f"{solver.MAX_ITER} iterations: a step must come before the end. Leave it out."
            )
    if solver.LR_SCHEDULER_NAME == "WarmupCosineLR" and not (
        0 <= solver.BASE_LR_END <= solver.BASE_LR
    ):
        yield (
            f"SOLVER.BASE_LR_END is {solver.BASE_LR_END}; it must be from 0 to SOLVER.BASE_LR, "
            f"which is {solver.BASE_LR}."
        )
    yield from _batch_problems(cfg)
    sizes = cfg.INPUT.MIN_SIZE_TRAIN
    if cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING == "range" and len(sizes) != 2:
        yield (
            f"INPUT.MIN_SIZE_TRAIN is {sizes}, but INPUT.MIN_SIZE_TRAIN_SAMPLING is 'range': the "
            "smallest and the largest size are needed."
        )


def _batch_problems(cfg: CfgNode) -> Iterator[str]:
    node = cfg.MODEL.SEM_SEG_HEAD
    names = (node.NAME, cfg.MODEL.SEM_SEG_POINT_HEAD.COARSE_HEAD_NAME)
    name = names[1] if node.NAME == "PointRendSemanticHead" else names[0]
    if name != "SFNetHead" or cfg.MODEL.META_ARCHITECTURE not in SEMANTIC_ARCHITECTURES:
        return
    batch = cfg.SOLVER.IMS_PER_BATCH
    if node.NORM == "BN":
        batch //= comm.get_world_size()
    if batch == 1 and node.NORM.endswith("BN"):
        yield (
            f"SFNetHead normalises maps of one cell over the batch, but has one image for it "
            f"(SOLVER.IMS_PER_BATCH {cfg.SOLVER.IMS_PER_BATCH}, MODEL.SEM_SEG_HEAD.NORM "
            f"{node.NORM}). Take two images per GPU or more, SyncBN on several GPUs, or NORM GN."
        )
