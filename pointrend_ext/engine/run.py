"""One run: train or evaluate."""

import json
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.evaluation import verify_results
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm

from pointrend_ext.checkpoint.full_disk import naming_full_disk
from pointrend_ext.checkpoint.last_checkpoint import last_checkpoint
from pointrend_ext.engine.loading import LoadOptions, build_checkpointer
from pointrend_ext.engine.run_folder import holding
from pointrend_ext.engine.trainer import Trainer
from pointrend_ext.evaluation import check_evaluation


def train_or_evaluate(
    cfg: CfgNode,
    *,
    eval_only: bool = False,
    resume: bool = False,
    load_options: LoadOptions | None = None,
) -> dict[str, Any]:
    """Train and evaluate, or evaluate alone; the results end ``OUTPUT_DIR/metrics.json``, too.

    Args:
        cfg: from ``setup_cfg``.
        eval_only: evaluate ``MODEL.WEIGHTS`` (with ``resume``: the last checkpoint) on
            ``DATASETS.TEST``.
        resume: continue from the last checkpoint of ``OUTPUT_DIR``, if there is one.
        load_options: how ``MODEL.WEIGHTS`` are loaded.

    Returns:
        The results: {task: {metric: per cent}}, for several test sets by their names.

    Raises:
        ValueError: an evaluation without weights, what building and loading raise, or another run
            in ``OUTPUT_DIR``.
        OSError: the disk is full.
        Stopped: a signal has ended the training.
    """
    with naming_full_disk(cfg.OUTPUT_DIR), holding(cfg.OUTPUT_DIR):
        if eval_only:
            return _evaluate(cfg, resume, load_options)
        trainer = Trainer(cfg, load_options)
        trainer.resume_or_load(resume=resume)
        return trainer.train()


def _evaluate(cfg: CfgNode, resume: bool, load_options: LoadOptions | None) -> dict[str, Any]:
    has_checkpoint = resume and last_checkpoint(cfg.OUTPUT_DIR) is not None
    if not cfg.MODEL.WEIGHTS and not has_checkpoint:
        raise ValueError(
            "--eval-only without weights would evaluate a random model: add MODEL.WEIGHTS "
            "path/to/model_final.pth, or --resume for the last checkpoint of OUTPUT_DIR."
        )
    check_evaluation(cfg, Trainer.build_evaluator)
    model = Trainer.build_model(cfg)
    build_checkpointer(cfg, model, load_options).resume_or_load(cfg.MODEL.WEIGHTS, resume=resume)
    results = Trainer.test(cfg, model)
    if comm.is_main_process():
        with Path(cfg.OUTPUT_DIR, "metrics.json").open("a") as file:  # as training writes it
            file.write(json.dumps(flatten_results_dict(results)) + "\n")
        verify_results(cfg, results)
    return results
