"""The best checkpoint of a training, and the end of one that gets no better."""

import math
from pathlib import Path

from detectron2.engine import HookBase
from detectron2.utils import comm
from fvcore.common.checkpoint import Checkpointer

from pointrend_ext.checkpoint import read_weights_file

_NAME = "model_best"
VALIDATION = "validation/"
"""What the names of metrics begin with of which less is better."""


class BestWeights(HookBase):
    """Writes ``model_best.pth`` after each evaluation that is better than all before.

    To be called after what evaluates. Unlike Detectron2's ``BestCheckpointer`` it knows the best
    value of a training that is resumed, since the file holds it, refuses a metric that is not
    measured, and leaves ``last_checkpoint`` as it is.
    """

    def __init__(
        self, metric: str, checkpointer: Checkpointer, *, period: int, patience: int = 0
    ) -> None:
        """Choose the metric.

        Args:
            metric: its name in ``metrics.json``, such as "segm/AP"; more is better, but for those
                that begin with ``validation/``.
            checkpointer: the training's.
            period: iterations between two evaluations.
            patience: evaluations without a better one after which the training ends; 0 for none.
        """
        self.metric, self.period, self.patience = metric, period, patience
        self.checkpointer = checkpointer
        self.best, self.best_done = math.nan, 0  # the value, and the iterations behind it

    def before_train(self) -> None:
        """Take over the best value of a training that is resumed.

        Raises:
            WeightsFileError: the file of the best weights is damaged.
        """
        path = Path(self.checkpointer.save_dir, f"{_NAME}.pth")
        if comm.is_main_process() and self.trainer.start_iter and path.is_file():
            best = read_weights_file(path).get("best", {})  # Detectron2's has none
            if best.get("metric") == self.metric:
                self.best, self.best_done = best["value"], best["iterations"]
        # All of them end together.
        self.best, self.best_done = comm.all_gather((self.best, self.best_done))[0]

    def after_step(self) -> None:
        """Look at the evaluation of this iteration, if there was one."""
        done = self.trainer.iter + 1
        if done % self.period == 0 and done != self.trainer.max_iter:
            self._look(done)
            waited = (done - self.best_done) // self.period
            if self.patience and waited >= self.patience:
                self.trainer.safe_end.finish(
                    f"{self.metric} was best after {self.best_done} iterations ({self.best:.5g}), "
                    f"and not so good in {waited} evaluations since: the training ends."
                )

    def after_train(self) -> None:
        """Look at the last evaluation."""
        if self.trainer.iter >= self.trainer.max_iter:
            self._look(self.trainer.max_iter)

    def _look(self, done: int) -> None:
        """Compare, and save what is better.

        Raises:
            ValueError: the metric was not measured.
        """
        storage = self.trainer.storage
        found = {name: value for name, (value, i) in storage.latest().items() if i == storage.iter}
        # The first process measures, and all of them go on or end.
        value, names = comm.all_gather((found.get(self.metric), sorted(found)))[0]
        if value is None:
            measured = ", ".join(name for name in names if "/" in name)
            raise ValueError(
                f"SOLVER.BEST.METRIC is {self.metric!r}, which is not measured. Choose one of "
                f"{measured}."
            )
        sign = -1 if self.metric.startswith(VALIDATION) else 1
        if sign * value > sign * self.best or (math.isnan(self.best) and not math.isnan(value)):
            self.best, self.best_done = value, done
            if comm.is_main_process():
                self._save(done)

    def _save(self, done: int) -> None:
        trainer, before = self.trainer, self.trainer.iter
        last = self.checkpointer.get_checkpoint_file() if self.checkpointer.has_checkpoint() else ""
        best = {"metric": self.metric, "value": float(self.best), "iterations": done}
        trainer.iter = trainer.storage.iter = done - 1  # at the end Detectron2 counts one more
        self.checkpointer.save(_NAME, iteration=done - 1, best=best)
        trainer.iter = trainer.storage.iter = before
        if last:
            self.checkpointer.tag_last_checkpoint(Path(last).name)
