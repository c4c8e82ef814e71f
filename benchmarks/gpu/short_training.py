"""Part (e): a few steps of training on the device, whose losses are those of a CPU."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn

from benchmarks.gpu.steps import Settings, Step
from pointrend_ext.engine import load_cfg

__all__ = ["losses_of", "steps"]

_RATE = 0.002
_TOLERANCE = {"float32": 1e-3, "channels_last": 2e-2, "float16": 0.1, "bfloat16": 0.1}
"""The other layout rounds otherwise: with AVX2 one proposal changes sides, 0.8 % of a loss."""


def steps(*, tiny: bool) -> Iterator[Step]:
    """Return a step per precision and layout."""
    for form in _TOLERANCE:
        yield Step("training", f"training_{form}", 30, partial(_compare, form))


def _compare(form: str, settings: Settings) -> dict[str, Any]:
    """Train alike on the CPU and on the device.

    Raises:
        AssertionError: total losses differ by more than ``_TOLERANCE``, relative.
    """
    num_steps = 2 if settings.tiny else 20
    expected = losses_of("float32", "cpu", num_steps)
    found = losses_of(form, settings.device, num_steps)
    pairs = zip(found, expected, strict=True)
    worst = max(abs(ours / theirs - 1) for ours, theirs in pairs)
    result = {"first": found[0], "last": found[-1], "largest relative difference": worst}
    assert worst <= _TOLERANCE[form], f"losses differ: {result}"  # a NaN is no such number
    return {key: float(f"{value:.4g}") for key, value in result.items()}


def losses_of(form: str, device: str, num_steps: int) -> list[float]:
    """Return the total loss of each step of training the toy model from seed 0.

    Args:
        form: "float32", "float16", "bfloat16" (autocast) or "channels_last".
        device: to train on.
        num_steps: how many.
    """
    config = "Toy/pointrend_rcnn_toy.yaml"
    torch.manual_seed(0)
    model = build_model(load_cfg(config, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])).train()
    layout = torch.channels_last if form == "channels_last" else torch.contiguous_format
    model = model.to(device).to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=_RATE, momentum=0.9)
    scaler = torch.amp.GradScaler(device, enabled=form == "float16" and device != "cpu")
    inputs = [_input(seed) for seed in range(2)]
    losses = []
    for number in range(num_steps):
        torch.manual_seed(number)
        with EventStorage(), _numbers_of_a_cpu():
            losses.append(_step(model, inputs, optimizer, scaler, form, device))
    return losses


def _step(
    model: nn.Module,
    inputs: list[dict[str, Any]],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    form: str,
    device: str,
) -> float:
    dtype = getattr(torch, form) if form in ("float16", "bfloat16") else torch.float32
    with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
        loss = sum(model(inputs).values())
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


def _input(seed: int) -> dict[str, Any]:
    """Draw a picture of 128 x 128 with two discs."""
    generator = torch.Generator().manual_seed(seed)
    image = 40 * torch.rand(3, 128, 128, generator=generator)
    centers = torch.tensor([[40.0, 40.0], [88.0, 80.0]])
    rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    masks = torch.stack([(columns - x) ** 2 + (rows - y) ** 2 < 24**2 for x, y in centers])
    image[:, masks.any(0)] += 150
    objects = Instances((128, 128))
    objects.gt_masks = BitMasks(masks)
    objects.gt_boxes = Boxes(torch.cat((centers - 24, centers + 24), dim=1))
    objects.gt_classes = torch.tensor([0, 1])
    return {"image": image, "instances": objects, "height": 128, "width": 128}


@contextmanager
def _numbers_of_a_cpu() -> Iterator[None]:
    """Draw random numbers on the CPU, wherever they are wanted: devices draw others."""

    def on_cpu(draw: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def drawn(*args: Any, device: Any = None, **options: Any) -> torch.Tensor:
            return draw(*args, **options).to(device or "cpu")

        return drawn

    with ExitStack() as stack:
        for name in ("rand", "randperm", "randint", "randn"):
            stack.enter_context(mock.patch.object(torch, name, on_cpu(getattr(torch, name))))
        yield
