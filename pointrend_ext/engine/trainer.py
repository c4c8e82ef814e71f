"""Detectron2's trainer with the data loaders and evaluators of this package."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer
from detectron2.evaluation import DatasetEvaluator

from pointrend_ext.data import build_test_loader, build_train_loader
from pointrend_ext.evaluation import build_evaluator

__all__ = ["Trainer"]


class Trainer(DefaultTrainer):
    """Trains, evaluates, writes checkpoints, TensorBoard and ``metrics.json``, prints an ETA."""

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable[list[dict[str, Any]]]:
        """Build the loader of ``DATASETS.TRAIN``; bad data sets are reported here, at the start."""
        return build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable[list[dict[str, Any]]]:
        """Build the loader of one test set."""
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """Build the evaluator of one test set, writing below ``OUTPUT_DIR/inference``.

        With several test sets each has a folder of its own, so that none overwrites another's
        predictions.
        """
        folder = Path(cfg.OUTPUT_DIR, "inference")
        if len(cfg.DATASETS.TEST) > 1:
            folder = folder / dataset_name
        return build_evaluator(cfg, dataset_name, str(folder))

    def train(self) -> dict[str, Any]:
        """Train from ``start_iter`` to ``SOLVER.MAX_ITER``.

        Returns:
            The results of the last evaluation; empty without any test set, and on other processes
            than the first.
        """
        super().train()
        return getattr(self, "_last_eval_results", None) or {}
