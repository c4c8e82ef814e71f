"""The training step: a batch in parts, in full or in mixed precision."""

import time
from contextlib import nullcontext
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import SimpleTrainer
from torch import Tensor
from torch.amp import GradScaler
from torch.nn.parallel import DistributedDataParallel

PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class PartwiseTrainer(SimpleTrainer):
    """Detectron2's steps, each with the mean gradient of several parts of its batch.

    The loss of a step is the mean of those of its parts. That is the loss of the whole batch as far
    as the parts hold equally much of what a loss is a mean of: RPN and box head (with as many
    proposals in each image), and semantic losses where parts have equally many labelled pixels.
    Gradients are clipped, and looked through for infinities, once: when they are complete.

    Args:
        parts: divides the number of images of a batch.
        precision: of what ``torch.autocast`` computes; None for that of the weights. Gradients of
            float16 are scaled against underflow; bfloat16 has the range of float32.
        rest: as for ``SimpleTrainer``.
    """

    def __init__(self, *rest: Any, parts: int = 1, precision: torch.dtype | None = None) -> None:
        super().__init__(*rest)
        self.parts, self.precision = parts, precision
        self.device_type = next(self.model.parameters()).device.type
        self.grad_scaler = GradScaler(self.device_type, enabled=precision is torch.float16)

    def run_step(self) -> None:
        """Train on one batch."""
        start = time.perf_counter()
        batch = next(self._data_loader_iter)
        data_time = time.perf_counter() - start
        self.optimizer.zero_grad()
        size = len(batch) // self.parts
        means: dict[str, Tensor] = {}
        for begin in range(0, len(batch), size):
            is_last = begin + size >= len(batch)
            waits = isinstance(self.model, DistributedDataParallel) and not is_last
            with self.model.no_sync() if waits else nullcontext():
                for name, loss in self._backward(batch[begin : begin + size]).items():
                    means[name] = means.get(name, 0) + loss.detach() / self.parts
        self.after_backward()
        self._write_metrics(means, data_time)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def _backward(self, part: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Add the gradients of a part; return its losses."""
        enabled = self.precision is not None
        with torch.autocast(self.device_type, dtype=self.precision, enabled=enabled):
            losses = self.model(part)
            if isinstance(losses, Tensor):
                losses = {"total_loss": losses}
            total = sum(losses.values()) / self.parts
        self.grad_scaler.scale(total).backward()
        return losses

    def state_dict(self) -> dict[str, Any]:
        """Return Detectron2's; with the scale of gradients where they are scaled."""
        state = super().state_dict()
        if self.grad_scaler.is_enabled():
            state["grad_scaler"] = self.grad_scaler.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it over.

        Raises:
            KeyError: gradients are scaled here and were not there.
        """
        super().load_state_dict(state_dict)
        if self.grad_scaler.is_enabled():
            self.grad_scaler.load_state_dict(state_dict["grad_scaler"])


def choose_steps(cfg: CfgNode, trainer: SimpleTrainer) -> SimpleTrainer:
    """Return the trainer, or what takes the steps that ``SOLVER`` asks for in its place."""
    parts, amp = cfg.SOLVER.ACCUMULATION_STEPS, cfg.SOLVER.AMP
    if parts == 1 and not amp.ENABLED:
        return trainer
    precision = PRECISIONS[amp.DTYPE] if amp.ENABLED else None
    return PartwiseTrainer(
        trainer.model, trainer.data_loader, trainer.optimizer, parts=parts, precision=precision
    )
