"""Turns weights of any known format into a clean file of this package's names."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from pointrend_ext.checkpoint.checkpointer import PointRendCheckpointer
from pointrend_ext.checkpoint.files import open_atomically
from pointrend_ext.checkpoint.report import TAKEN, LoadReport

ENDINGS = (".pth", ".safetensors")


def convert_weights(
    model: nn.Module,
    source: str,
    target: str | Path,
    *,
    class_names: Mapping[str, Sequence[str]] | None = None,
    cfg: CfgNode | None = None,
    half: bool = False,
    **options: Any,
) -> LoadReport:
    """Load weights into a model and write those that were loaded under the model's names.

    Args:
        model: freshly built; it is given the weights.
        source: a file or an address, as for ``MODEL.WEIGHTS``.
        target: the new file, ``.pth`` (tensors under ``model``) or ``.safetensors`` (the rest as
            metadata); it is complete or not there.
        class_names: the model's classes by kind, stored where the checkpointer finds them.
        cfg: the model's configuration; its text is stored.
        half: whether weights (tensors of two and more axes) are written with 16 bits a number.
        **options: of ``PointRendCheckpointer``. What the source does not have is not written.

    Raises:
        ValueError: another ending of the target, values that 16 bits cannot hold, or what
            ``PointRendCheckpointer.load`` raises.
        OSError: no such source, or no folder to write to.
        ModuleNotFoundError: safetensors are to be written and are not installed.
    """
    target, source_file = Path(target), Path(str(source).partition("?")[0])  # without its query
    is_source = source_file.exists() and target.exists() and target.samefile(source_file)
    if target.suffix not in ENDINGS or is_source:
        raise ValueError(
            f"The converted weights cannot be written to {str(target)!r}: give the name of another "
            f"file than the source's, with one of the endings {', '.join(ENDINGS)}."
        )
    if target.suffix == ".safetensors":
        from safetensors.torch import save  # says so first if it is not installed
    checkpointer = PointRendCheckpointer(model, class_names=class_names, cfg=cfg, **options)
    checkpointer.load(source)
    report, state = checkpointer.report, model.state_dict()
    assert report is not None
    tensors = {n: state[n].detach().cpu().contiguous() for n in report.names(*TAKEN)}
    if half:
        tensors = {n: _to_half(n, value) for n, value in tensors.items()}
    names, config = checkpointer.class_names, "" if cfg is None else cfg.dump()
    with open_atomically(target) as file:
        if target.suffix == ".safetensors":
            extras = {"class_names": json.dumps(names), "config": config}
            # It refuses tensors that share memory.
            file.write(save({n: value.clone() for n, value in tensors.items()}, metadata=extras))
        else:
            torch.save({"model": tensors, "class_names": names, "config": config}, file)
    return report


def _to_half(name: str, value: Tensor) -> Tensor:
    """Return weights with 16 bits a number; vectors, as variances may need the range, as they are.

    They are a hundredth of a model's size.
    """
    if value.dim() < 2 or not value.is_floating_point():
        return value
    if value.abs().max() > torch.finfo(torch.float16).max:
        raise ValueError(
            f"{name} holds {value.abs().max():.3g}, and 16 bits end at 65504: write the weights "
            "without --half."
        )
    return value.half()
