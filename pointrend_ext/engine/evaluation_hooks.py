"""What is measured beside Detectron2's evaluation of a training, and what follows from it."""

import weakref
from pathlib import Path
from typing import Any

from detectron2.engine import DefaultTrainer, HookBase
from detectron2.engine.hooks import EvalHook

from pointrend_ext.engine.average import WeightAverage
from pointrend_ext.engine.best_weights import BestWeights
from pointrend_ext.engine.validation_loss import validation_losses


def evaluation_hooks(trainer: DefaultTrainer, average: WeightAverage | None) -> list[HookBase]:
    """Build the hooks that come after the evaluation of a trainer's weights.

    Args:
        trainer: its ``cfg``, ``model`` and ``checkpointer`` are read.
        average: of the weights, if there is one.

    Raises:
        ValueError: a test set has no labels to measure losses with.
    """
    cfg, hooks = trainer.cfg, []
    if average:
        hooks.append(_evaluation_of(average, trainer))
    if cfg.TEST.VALIDATION_LOSS:
        hooks.append(EvalHook(cfg.TEST.EVAL_PERIOD, validation_losses(cfg, trainer.model)))
    best = cfg.SOLVER.BEST
    if best.METRIC:
        period, checkpointer = cfg.TEST.EVAL_PERIOD, trainer.checkpointer
        hooks.append(BestWeights(best.METRIC, checkpointer, period=period, patience=best.PATIENCE))
    return hooks


def _evaluation_of(average: WeightAverage, trainer: DefaultTrainer) -> EvalHook:
    """Evaluate averaged weights, too: what is measured of them begins with ``ema/``."""
    cfg = trainer.cfg.clone()
    cfg.defrost()
    cfg.OUTPUT_DIR = str(Path(cfg.OUTPUT_DIR, "ema"))
    own: Any = weakref.proxy(trainer)

    def evaluate() -> dict[str, Any]:
        results = own.test(cfg, average.model)
        if not results:  # of another process than the first
            return {}
        own._last_eval_results = {**own._last_eval_results, "ema": results}
        return {"ema": results}

    return EvalHook(cfg.TEST.EVAL_PERIOD, evaluate)
