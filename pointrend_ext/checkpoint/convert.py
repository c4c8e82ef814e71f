"""Turns weights of any known format into a clean file of this package's names."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from pointrend_ext.checkpoint.checkpointer import PointRendCheckpointer
from pointrend_ext.checkpoint.files import open_atomically
from pointrend_ext.checkpoint.report import TAKEN, LoadReport

__all__ = ["convert_weights"]

ENDINGS = (".pth", ".safetensors")


def convert_weights(
    model: nn.Module,
    source: str,
    target: str | Path,
    *,
    class_names: Mapping[str, Sequence[str]] | None = None,
    config: str = "",
    map_classes: bool = False,
    allow_missing: bool = False,
    allow_code: bool = False,
) -> LoadReport:
    """Load weights into a model and write those that were loaded under the model's names.

    Args:
        model: freshly built; it is given the weights.
        source: a file or an address, as for ``MODEL.WEIGHTS``.
        target: the new file, ``.pth`` (tensors under ``model``) or ``.safetensors`` (the rest as
            metadata); it is complete or not there.
        class_names: the model's classes by ``INSTANCE`` and ``SEMANTIC``, to be stored where the
            checkpointer finds them.
        config: the model's configuration as text, to be stored.
        map_classes: see ``PointRendCheckpointer``.
        allow_missing: accept weights that do not fill the model, such as a backbone's. What the
            source does not have is not written.
        allow_code: see ``PointRendCheckpointer``.

    Returns:
        What became of each tensor.

    Raises:
        FileNotFoundError: no such source, or no folder to write to.
        ValueError: another ending of the target, a source that is damaged or unsafe, or weights
            that do not fill the model.
        ModuleNotFoundError: safetensors are to be written and are not installed.
    """
    _check_target(source, Path(target))
    checkpointer = PointRendCheckpointer(
        model,
        class_names=class_names,
        map_classes=map_classes,
        allow_missing=allow_missing,
        allow_code=allow_code,
    )
    checkpointer.load(source)
    report, state = checkpointer.report, model.state_dict()
    assert report is not None
    tensors = {n: state[n].detach().cpu().contiguous() for n in report.names(*TAKEN)}
    names = {kind: list(names) for kind, names in (class_names or {}).items()}
    with open_atomically(target) as file:
        if Path(target).suffix == ".safetensors":
            from safetensors.torch import save

            extras = {"class_names": json.dumps(names), "config": config}
            # It refuses tensors that share memory.
            file.write(save({n: value.clone() for n, value in tensors.items()}, metadata=extras))
        else:
            torch.save({"model": tensors, "class_names": names, "config": config}, file)
    return report


def _check_target(source: str, target: Path) -> None:
    if target.suffix not in ENDINGS:
        raise ValueError(
            f"The converted weights {str(target)!r} cannot be written as {target.suffix!r}: end "
            f"the name in one of {', '.join(ENDINGS)}."
        )
    if target.resolve() == Path(source).resolve():
        raise ValueError(
            f"{str(target)!r} is the file that is converted: give the new one another name."
        )
    if target.suffix == ".safetensors":
        importlib.import_module("safetensors")  # says so first if it is not installed
