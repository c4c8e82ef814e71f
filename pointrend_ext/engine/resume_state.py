"""The state of a training that is resumed, checked before any of it is taken over.

PyTorch's ``load_state_dict`` takes what it is given: momentum of other shapes fails in the first
step, and NaN in it, or a schedule at another iteration, makes wrong numbers without a word.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.amp import GradScaler
from torch.optim import Optimizer

_MOST = 2**31 - 1  # the scaler counts in int32
_FLOAT32 = torch.finfo(torch.float32)
# What a scaler of losses holds: how each value must be, and in words. Of a scale beyond float32 it
# makes infinity, with which every step is skipped for ever, and of one below 0 or NaN wrong steps.
_SCALER: dict[str, tuple[Callable[[Any], bool], str]] = {
    "scale": (lambda x: _FLOAT32.tiny <= x <= _FLOAT32.max, "a positive number of float32"),
    "growth_factor": (lambda x: 1 < x < math.inf, "a number above 1"),
    "backoff_factor": (lambda x: 0 < x < 1, "a number between 0 and 1"),
    "growth_interval": (lambda x: _is_count(x) and 0 < x <= _MOST, "a whole number from 1"),
    "_growth_tracker": (lambda x: _is_count(x) and x <= _MOST, "a whole number from 0"),
}


def check_state(state: Any, optimizer: Optimizer, scaler: GradScaler | None = None) -> None:
    """Raise ValueError, "its ...", where the state of a ``Trainer`` cannot be gone on with.

    Args:
        state: as of ``Trainer.state_dict``; whether there are groups of the optimizer, and as many,
            is PyTorch's check.
        optimizer: whose parameters the state of the optimizer must fit.
        scaler: of the losses, in mixed precision; another training's scale is not looked at.
    """
    if not isinstance(state, Mapping):
        raise ValueError(f"its state is a {type(state).__name__}, not a dict")
    iteration: Any = state.get("iteration")
    if not _is_count(iteration):
        raise ValueError(f"its iteration is {iteration!r:.60}, not a whole number from 0")
    for path in (
        *(("hooks",), ("hooks", "LRScheduler"), ("hooks", "ExactResume")),
        *(("_trainer",), ("settings",)),
    ):
        part: Any = state
        for key in path:
            part = part.get(key, {})
        if not isinstance(part, Mapping):
            raise ValueError(f"its {'.'.join(path)} is a {type(part).__name__}, not a dict")
    hooks = state.get("hooks", {})
    _check_schedule(hooks.get("LRScheduler", {}), iteration)
    _check_randomness(hooks.get("ExactResume", {}))
    if "optimizer" in state.get("_trainer", {}):
        _check_optimizer(state["_trainer"]["optimizer"], optimizer)
    if scaler is not None:
        was_mixed = state.get("settings", {}).get("SOLVER.AMP.ENABLED", False)
        _check_scaler(state.get("_trainer", {}).get("grad_scaler"), was_mixed)


def _check_schedule(schedule: Mapping[str, Any], iteration: int) -> None:
    done = schedule.get("last_epoch", iteration + 1)
    if done != iteration + 1:
        raise ValueError(
            f"its schedule of learning rates stands after {done!r:.60} iterations, and its "
            f"iteration is {iteration}, which is {iteration + 1} iterations"
        )


def _check_randomness(state: Mapping[str, Any]) -> None:
    if not state:  # of Detectron2's own trainer
        return
    if not _is_count(state.get("seed")):
        raise ValueError(f"its seed is {state.get('seed')!r:.60}, not a whole number from 0")
    scalars = state.get("scalars")
    if not isinstance(scalars, Mapping) or not all(map(_is_history, scalars.values())):
        raise ValueError("its recent losses are no lists of (value, iteration)")


def _check_optimizer(state: Any, optimizer: Optimizer) -> None:
    if not isinstance(state, Mapping) or not isinstance(state.get("state"), Mapping):
        raise ValueError("its optimizer has no dict 'state'")
    groups = state.get("param_groups")
    if not isinstance(groups, list) or not all(
        isinstance(group, Mapping) and isinstance(group.get("params"), list) for group in groups
    ):
        raise ValueError("its optimizer has no list 'param_groups' with 'params' in each")
    ours = [group["params"] for group in optimizer.param_groups]
    theirs = [group["params"] for group in groups]
    if [*map(len, ours)] != [*map(len, theirs)]:
        return  # PyTorch says it, and the caller which settings are new
    parameters, numbers = itertools.chain(*ours), itertools.chain(*theirs)
    of_number = dict(zip(map(repr, numbers), parameters, strict=True))
    for number, values in state["state"].items():
        parameter = of_number.get(repr(number))
        if parameter is None or not isinstance(values, Mapping):
            raise ValueError(f"its optimizer has a state of parameter {number!r:.60}, unknown here")
        for name, value in values.items():
            place = f"its optimizer's {name!r:.60} of parameter {number}"
            if not isinstance(value, torch.Tensor):
                continue
            if value.ndim and value.shape != parameter.shape:
                raise ValueError(
                    f"{place} has the shape {tuple(value.shape)}, the parameter "
                    f"{tuple(parameter.shape)}"
                )
            if not value.isfinite().all():
                raise ValueError(f"{place} holds NaN or infinite numbers")


def _check_scaler(state: Any, was_mixed: bool) -> None:
    if state is None and not was_mixed:  # the training begins with a scale of its own
        return
    if not isinstance(state, Mapping):
        raise ValueError(f"its scaler of losses is a {type(state).__name__}, not a dict")
    for name, (is_right, words) in _SCALER.items():
        value: Any = state.get(name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not is_right(value):
            raise ValueError(f"its scaler of losses has {name} {value!r:.60}, not {words}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_history(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(pair, (list, tuple))
        and len(pair) == 2
        and isinstance(pair[0], (int, float))
        and _is_count(pair[1])
        for pair in values
    )
