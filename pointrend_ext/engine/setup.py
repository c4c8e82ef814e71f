"""What happens once per process before a model is built."""

import argparse
import logging
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from pointrend_ext.checkpoint.full_disk import naming_full_disk
from pointrend_ext.checkpoint.last_checkpoint import last_checkpoint
from pointrend_ext.data import (
    check_datasets,
    check_images,
    check_label_maps,
    check_num_classes,
    fit_ignore_value,
    register_datasets,
)
from pointrend_ext.data.coco import share_summaries
from pointrend_ext.engine.checks import check_processes, check_values, warn_of_schedule
from pointrend_ext.engine.config_file import find_config_file, read_cfg
from pointrend_ext.engine.launching import check_num_gpus
from pointrend_ext.engine.run_folder import check_no_other_training, release, take
from pointrend_ext.processes import first_on_machine


def setup_cfg(args: argparse.Namespace) -> CfgNode:
    """Turn arguments of Detectron2's ``default_argument_parser`` into a frozen configuration.

    Sets up logging and random seeds. Falls back to the CPU when there is no GPU. Registers the data
    sets of ``DATASETS.DESCRIPTIONS``, and the toy data sets when one is named, whose files are
    generated where there are none. The configuration is checked before anything is written or read,
    data sets and their files before a model is built.

    Raises:
        FileNotFoundError: a configuration, weights, a description or files of data sets are
            missing.
        ValueError: a key, a value, a description or a data set is wrong, this machine cannot serve
            what is asked for, or ``OUTPUT_DIR`` is in use or holds another training's checkpoints.
        OSError: the disk of ``OUTPUT_DIR`` is full.
    """
    cfg, notes = read_cfg(args.config_file, args.opts)
    notes += use_cpu_if_needed(cfg)
    check_values(cfg, training=not args.eval_only)
    check_processes(cfg, training=not args.eval_only)
    check_num_gpus(args.num_gpus)
    check_weights(cfg.MODEL.WEIGHTS)
    cfg.freeze()
    if args.config_file:
        args.config_file = str(find_config_file(args.config_file))  # default_setup logs its text
    if args.resume:
        last_checkpoint(cfg.OUTPUT_DIR)
    elif not args.eval_only:
        check_no_other_training(cfg.OUTPUT_DIR)
    try:
        with naming_full_disk(cfg.OUTPUT_DIR):
            take(cfg.OUTPUT_DIR)
            return _set_up(cfg, args, notes)
    except BaseException:
        release(cfg.OUTPUT_DIR)
        raise


def _set_up(cfg: CfgNode, args: argparse.Namespace, notes: list[str]) -> CfgNode:
    """Set up what is of the process, and check data sets and their files."""
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="pointrend_ext")
    default_setup(cfg, args)
    logger = logging.getLogger(__name__)
    for note in notes:
        logger.info(note)
    if not args.eval_only:
        warn_of_schedule(cfg)
    names = (*(() if args.eval_only else cfg.DATASETS.TRAIN), *cfg.DATASETS.TEST)
    with first_on_machine():  # it generates and checks files
        register_datasets(names, cfg.DATASETS.DESCRIPTIONS, generate=True)
        if comm.get_local_rank() == 0:
            check_datasets(cfg, names)
    share_summaries()
    with first_on_machine():  # the others read what it found
        cfg.defrost()
        for note in fit_ignore_value(cfg, names):
            logger.info(note)
        cfg.freeze()
        check_num_classes(cfg, names)
        if comm.get_local_rank() == 0:
            check_images(cfg, names)
    check_label_maps(cfg, names)  # all together
    return cfg


def check_weights(weights: str) -> None:
    """Raise FileNotFoundError where a local file of weights is missing; URLs are not looked up."""
    path = weights.partition("?")[0]  # the query says how names are matched
    if weights and "://" not in weights and not Path(path).is_file():
        raise FileNotFoundError(
            f"MODEL.WEIGHTS is {weights!r}, but there is no such file (looked in {Path.cwd()}). "
            "Give a path, a URL, or '' to start from random weights."
        )


def use_cpu_if_needed(cfg: CfgNode) -> list[str]:
    """Where there is no GPU, change ``cfg`` to run on the CPU; return notes of what was changed."""
    notes = []
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
        notes.append("No GPU is available: running on the CPU.")
    device, amp = cfg.MODEL.DEVICE, cfg.SOLVER.AMP
    is_mixed_possible = device.startswith("cuda") or (device, amp.DTYPE) == ("cpu", "bfloat16")
    if amp.ENABLED and not is_mixed_possible:
        amp.ENABLED = False
        notes.append(
            f"SOLVER.AMP.ENABLED ({amp.DTYPE}) needs a CUDA GPU: training in full precision. A CPU "
            "can do bfloat16 (SOLVER.AMP.DTYPE)."
        )
    return notes
