"""Checks of the values of a configuration, before any data is read."""

import logging
from collections.abc import Iterator
from typing import Any

from detectron2.config import CfgNode
from detectron2.utils import comm

from pointrend_ext.data.checks import ROI_ARCHITECTURES
from pointrend_ext.data.mapper import SEMANTIC_ARCHITECTURES
from pointrend_ext.data.pixels import CHANNELS
from pointrend_ext.data.semantic_augmentation import check_crop
from pointrend_ext.engine.value_ranges import ALWAYS, TRAINING
from pointrend_ext.modeling.recording import leaves

logger = logging.getLogger(__name__)


def check_values(cfg: CfgNode, *, training: bool) -> None:
    """Raise ValueError for the first value that no training, or no evaluation, can have."""
    problem = next(_problems(cfg, training), None)
    if problem:
        raise ValueError(problem)
    if training:
        check_crop(cfg)


def check_processes(cfg: CfgNode, *, training: bool) -> None:
    """Raise ValueError for what several processes cannot share or compute."""
    processes, solver = comm.get_world_size(), cfg.SOLVER
    if processes == 1:
        return
    if training and not solver.REFERENCE_WORLD_SIZE and solver.IMS_PER_BATCH % processes:
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH is {solver.IMS_PER_BATCH}, but {processes} processes share a "
            f"batch: it must be a multiple of {processes}. Change it (and SOLVER.BASE_LR in "
            "proportion), or the number of processes."
        )
    device = cfg.MODEL.DEVICE
    if device.startswith("cuda:"):
        raise ValueError(
            f"MODEL.DEVICE is {device!r}, but each of {processes} processes takes a GPU of its "
            "own: set it to cuda, and choose GPUs with CUDA_VISIBLE_DEVICES."
        )
    names = {key for key, value in leaves(cfg.MODEL) if value in ("SyncBN", "nnSyncBN")}
    if training and names and not device.startswith("cuda"):
        raise ValueError(
            f"MODEL.{min(names)} is SyncBN, which PyTorch computes on GPUs alone when there are "
            f"several processes; MODEL.DEVICE is {device!r}. On processors, take naiveSyncBN."
        )


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
    for key, is_allowed, allowed in (*ALWAYS, *(TRAINING if training else ())):
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
    channels = CHANNELS[cfg.INPUT.FORMAT]
    if channels not in (1, len(cfg.MODEL.PIXEL_MEAN)):  # one is repeated for all
        yield (
            f"INPUT.FORMAT {cfg.INPUT.FORMAT} has {channels} channels, but MODEL.PIXEL_MEAN and "
            f"PIXEL_STD have {len(cfg.MODEL.PIXEL_MEAN)} numbers: they need one per channel."
        )
    for split in ("TRAIN", "TEST"):
        names = list(cfg.DATASETS[split])
        files = list(cfg.DATASETS[f"PROPOSAL_FILES_{split}"])
        if cfg.MODEL.LOAD_PROPOSALS and len(files) != len(names):
            yield (
                f"MODEL.LOAD_PROPOSALS is True, but DATASETS.PROPOSAL_FILES_{split} names "
                f"{len(files)} files for {len(names)} data sets: name one file per data set."
            )
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice and (split == "TEST" or training):
            yield f"DATASETS.{split} names {twice!r} twice. Name it once."
    if cfg.TEST.EXPECTED_RESULTS and not cfg.DATASETS.TEST:
        yield "TEST.EXPECTED_RESULTS is set, but DATASETS.TEST is empty: name a data set."
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
    solver, world = cfg.SOLVER, cfg.SOLVER.REFERENCE_WORLD_SIZE
    if world < 0 or (world and solver.IMS_PER_BATCH % world):
        yield (
            f"SOLVER.REFERENCE_WORLD_SIZE is {world}; it must be 0, or a divisor of "
            f"SOLVER.IMS_PER_BATCH, which is {solver.IMS_PER_BATCH}."
        )
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
    yield from _metric_problems(cfg)
    sizes = cfg.INPUT.MIN_SIZE_TRAIN
    if cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING == "range" and len(sizes) != 2:
        yield (
            f"INPUT.MIN_SIZE_TRAIN is {sizes}, but INPUT.MIN_SIZE_TRAIN_SAMPLING is 'range': the "
            "smallest and the largest size are needed."
        )


def _metric_problems(cfg: CfgNode) -> Iterator[str]:
    metric, losses = cfg.SOLVER.BEST.METRIC, cfg.TEST.VALIDATION_LOSS
    for key, is_set in (("TEST.VALIDATION_LOSS", losses), ("SOLVER.BEST.METRIC", bool(metric))):
        if is_set and not (cfg.TEST.EVAL_PERIOD and cfg.DATASETS.TEST):
            yield (
                f"{key} is set, but TEST.EVAL_PERIOD is {cfg.TEST.EVAL_PERIOD} and DATASETS.TEST "
                f"{tuple(cfg.DATASETS.TEST)}: it needs evaluations on the way."
            )
    for start, key, is_on in (
        ("ema/", "SOLVER.EMA.ENABLED", cfg.SOLVER.EMA.ENABLED),
        ("validation/", "TEST.VALIDATION_LOSS", losses),
    ):
        if metric.startswith(start) and not is_on:
            yield f"SOLVER.BEST.METRIC is {metric!r}, which needs {key} True."
    if cfg.SOLVER.BEST.PATIENCE and not metric:
        yield (
            f"SOLVER.BEST.PATIENCE is {cfg.SOLVER.BEST.PATIENCE}, but SOLVER.BEST.METRIC is empty: "
            "name what must get better, such as segm/AP."
        )


def _batch_problems(cfg: CfgNode) -> Iterator[str]:
    total, parts = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.ACCUMULATION_STEPS
    processes = cfg.SOLVER.REFERENCE_WORLD_SIZE or comm.get_world_size()
    if total // processes % parts:
        yield (
            f"SOLVER.ACCUMULATION_STEPS is {parts}, but a process trains on {total // processes} "
            f"images per iteration (SOLVER.IMS_PER_BATCH {total}): it must be a divisor of them."
        )
    node = cfg.MODEL.SEM_SEG_HEAD
    names = (node.NAME, cfg.MODEL.SEM_SEG_POINT_HEAD.COARSE_HEAD_NAME)
    name = names[1] if node.NAME == "PointRendSemanticHead" else names[0]
    if (
        name not in ("SFNetHead", "SFNetLiteHead")
        or cfg.MODEL.META_ARCHITECTURE not in SEMANTIC_ARCHITECTURES
    ):
        return
    batch = total // parts
    if node.NORM == "BN":
        batch //= comm.get_world_size()
    if batch == 1 and node.NORM.endswith("BN"):
        yield (
            f"{name} normalises maps of one cell over the batch, but has one image for it "
            f"(SOLVER.IMS_PER_BATCH {total}, MODEL.SEM_SEG_HEAD.NORM "
            f"{node.NORM}). Take two images per GPU or more, SyncBN on several GPUs, or NORM GN."
        )
