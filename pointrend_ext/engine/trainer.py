"""Detectron2's trainer with the data loaders, evaluators and solver of this package."""

import logging
import weakref
from collections.abc import Iterable
from functools import partial
from typing import Any
from unittest import mock

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase, SimpleTrainer, defaults
from detectron2.engine.hooks import CallbackHook, EvalHook
from detectron2.evaluation import DatasetEvaluator
from detectron2.projects.deeplab import build_lr_scheduler as build_deeplab_lr_scheduler
from detectron2.utils import comm
from detectron2.utils.events import EventWriter, TensorboardXWriter
from fvcore.common.checkpoint import Checkpointer
from torch import nn
from torch.optim import lr_scheduler

from pointrend_ext.checkpoint import PointRendCheckpointer
from pointrend_ext.data import build_test_loader, build_train_loader
from pointrend_ext.engine.average import WeightAverage
from pointrend_ext.engine.checkpoint_space import note_space
from pointrend_ext.engine.evaluation_hooks import evaluation_hooks
from pointrend_ext.engine.loading import LoadOptions, build_checkpointer
from pointrend_ext.engine.loggers import build_service_writers, check_loggers
from pointrend_ext.engine.parallel import share_buffers, share_model
from pointrend_ext.engine.resume import ExactResume
from pointrend_ext.engine.resume_settings import Settings, changes, check_frozen, training_settings
from pointrend_ext.engine.resume_state import check_state
from pointrend_ext.engine.safe_end import SafeEnd
from pointrend_ext.engine.solver import build_optimizer
from pointrend_ext.engine.steps import choose_steps
from pointrend_ext.engine.unread_keys import check_reads
from pointrend_ext.evaluation import (
    add_given_boxes,
    build_evaluator,
    check_evaluation,
    results_folder,
)
from pointrend_ext.modeling.given_boxes import GivenBoxesModel
from pointrend_ext.modeling.unread_keys import build_checked_model
from pointrend_ext.processes import first_on_machine, wait_for_all

logger = logging.getLogger(__name__)


class Trainer(DefaultTrainer):
    """Trains, evaluates, writes checkpoints, ``metrics.json`` and ``LOGGERS``, prints an ETA.

    A resumed training goes on as if it had not been interrupted (``ExactResume``).
    """

    checkpointer: Checkpointer
    _hooks: list[HookBase]
    _trainer: SimpleTrainer
    _last_eval_results: dict[str, Any]

    def __init__(self, cfg: CfgNode, load_options: LoadOptions | None = None) -> None:
        """Build model, data loader, optimizer and hooks of a configuration of ``setup_cfg``.

        Raises:
            ValueError: the command line states keys that this training does not read, among others.
        """
        self.load_options = load_options or LoadOptions()
        self.safe_end = SafeEnd()
        check_loggers(cfg)
        with first_on_machine():
            check_evaluation(cfg, self.build_evaluator)  # now, not after the training
        # AMPTrainer, which gives way to ours below, would warn of what it does not find on a CPU.
        ours = {"create_ddp_model": share_model, "AMPTrainer": SimpleTrainer}
        with mock.patch.multiple(defaults, **ours):
            super().__init__(cfg)
        self._trainer = choose_steps(self.cfg, self._trainer)
        if comm.is_main_process():  # the others write no checkpoints and no logs
            check_reads(cfg)

    def build_hooks(self) -> list[HookBase | None]:
        """Build Detectron2's hooks, around our checkpointer, and our own."""
        ema = self.cfg.SOLVER.EMA
        average = WeightAverage(self.model, ema.DECAY) if ema.ENABLED else None
        # Detectron2 has just made a checkpointer of its own, which its hooks would keep.
        if not isinstance(self.checkpointer, PointRendCheckpointer):
            self.checkpointer = build_checkpointer(
                self.cfg,
                self.model,
                self.load_options,
                for_training=True,
                trainer=weakref.proxy(self),
                **({"ema": average} if average else {}),
            )
        hooks = super().build_hooks()
        evaluation = next(i for i, hook in enumerate(hooks) if isinstance(hook, EvalHook))
        return [
            # First, so that a failing evaluation or writer keeps neither from its work.
            self.safe_end,
            CallbackHook(before_train=note_space, after_train=_log_dropped),
            ExactResume(self.data_loader, self.cfg.SEED),
            _averaging(average) if average else None,
            *hooks[:evaluation],  # with the checkpointer
            CallbackHook(after_step=lambda trainer: trainer.safe_end.end_step()),
            hooks[evaluation],
            *evaluation_hooks(self, average),
            *hooks[evaluation + 1 :],
        ]

    def build_writers(self) -> list[EventWriter]:
        """Build Detectron2's writers, and those of ``LOGGERS.NAMES``."""
        writers = super().build_writers()
        if "tensorboard" not in self.cfg.LOGGERS.NAMES:
            writers = [writer for writer in writers if not isinstance(writer, TensorboardXWriter)]
        return [*writers, *build_service_writers(self.cfg)]

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Build the model; keys that no part of it reads are refused."""
        return build_checked_model(cfg, super().build_model)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable[list[dict[str, Any]]]:
        """Build the loader of ``DATASETS.TRAIN``; bad data sets are reported here, at the start."""
        return build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable[list[dict[str, Any]]]:
        """Build the loader of one test set, with boxes where ``TEST.GIVEN_BOXES`` asks for them."""
        prepare = partial(add_given_boxes, cfg, dataset_name) if cfg.TEST.GIVEN_BOXES else None
        return build_test_loader(cfg, dataset_name, prepare, together=True)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """Build the evaluator of one test set, writing below ``OUTPUT_DIR/inference``."""
        return build_evaluator(cfg, dataset_name, results_folder(cfg, dataset_name))

    @classmethod
    def test(
        cls, cfg: CfgNode, model: nn.Module, evaluators: list[DatasetEvaluator] | None = None
    ) -> dict[str, Any]:
        """Evaluate on ``DATASETS.TEST``, as Detectron2 does, or with ``TEST.GIVEN_BOXES``."""
        share_buffers(model)
        if cfg.TEST.GIVEN_BOXES:
            model = GivenBoxesModel(getattr(model, "module", model)).train(model.training)
        results = super().test(cfg, model, evaluators)
        wait_for_all()  # the first process scores, and Detectron2's barrier after that has a limit
        return results

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """Build the optimizer, with ``SOLVER.SEM_SEG_HEAD_LR_FACTOR`` for the semantic head."""
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(
        cls, cfg: CfgNode, optimizer: torch.optim.Optimizer
    ) -> lr_scheduler.LRScheduler:
        """Build the schedule; ``WarmupPolyLR`` is there beside Detectron2's own."""
        return build_deeplab_lr_scheduler(cfg, optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Return Detectron2's, and the settings that the training has."""
        return {**super().state_dict(), "settings": training_settings(self.cfg)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over all but the settings: those of the configuration hold, and it is said.

        Raises:
            ValueError: the state is damaged, or the configuration asks for another optimizer or
                other frozen parts than the checkpoint's, or for fewer iterations.
        """
        check_frozen(state_dict, self.cfg)
        scaler = getattr(self._trainer, "grad_scaler", None)  # in mixed precision alone
        try:
            check_state(state_dict, self.optimizer, scaler)
        except ValueError as error:
            raise ValueError(
                f"The checkpoint to resume from is damaged: {error}. Name an earlier one of "
                f"{self.cfg.OUTPUT_DIR} in its file last_checkpoint; or start anew, without "
                "--resume, with MODEL.WEIGHTS and another OUTPUT_DIR."
            ) from error
        done = state_dict["iteration"] + 1
        if done > self.max_iter:
            raise ValueError(
                f"The checkpoint to resume from has {done} iterations behind it, but "
                f"SOLVER.MAX_ITER is {self.max_iter}. Set it higher, or start without --resume."
            )
        changed = changes(state_dict.get("settings", {}), training_settings(self.cfg))
        settings = Settings(self.optimizer, self.scheduler)
        if scaler and "_trainer" in state_dict:  # of a training in full precision it has none
            state_dict["_trainer"].setdefault("grad_scaler", scaler.state_dict())
        try:
            super().load_state_dict(state_dict)
        except (ValueError, KeyError) as error:  # of groups of parameters
            raise ValueError(
                f"The checkpoint cannot be resumed with this configuration ({error}). What is "
                f"new: {', '.join(changed) or 'not known, it is an older checkpoint'}. Set it as "
                "it was, or start without --resume, with MODEL.WEIGHTS."
            ) from error
        of_optimizer = settings.restore()
        changed = changed or of_optimizer
        if changed:
            logger.warning(
                "Resuming after %d iterations with new settings, which hold from here on: %s",
                done,
                ", ".join(changed),
            )

    def run_step(self) -> None:
        """Train one iteration; a process that is lost ends the training."""
        with self.safe_end.stopping():
            super().run_step()
        self.safe_end.end_training_step()

    def after_step(self) -> None:
        """Run the hooks; images that cannot be loaded, and what the system refuses, end it."""
        with self.safe_end.stopping():
            super().after_step()

    def after_train(self) -> None:
        """Run the hooks, but for the last evaluation where the training did not come to its end."""
        if self.iter < self.max_iter:
            self._hooks = [hook for hook in self._hooks if not isinstance(hook, EvalHook)]
        with self.safe_end.stopping():
            super().after_train()

    def train(self) -> dict[str, Any]:
        """Train, and return the results of the last evaluation.

        They are empty without any test set, and on other processes than the first.

        Raises:
            Stopped, LoadingError, OSError: see ``SafeEnd``.
        """
        with self.safe_end.ending_well():
            super().train()
        return getattr(self, "_last_eval_results", None) or {}


def _averaging(average: WeightAverage) -> HookBase:
    return CallbackHook(
        before_train=lambda _: average.start(),
        after_step=lambda trainer: average.update(trainer.iter + 1),
    )


def _log_dropped(trainer: Trainer) -> None:
    """Log what this process' training left out, also of a training that was interrupted."""
    mapper = getattr(trainer.data_loader, "mapper", None)  # a loader of the user's has none
    if mapper is not None:
        mapper.drops.log_total()
