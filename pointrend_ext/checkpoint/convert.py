"""Turns weights of any known format into a clean file of this package's names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pointrend_ext.checkpoint.checkpointer import PointRendCheckpointer
from pointrend_ext.checkpoint.files import write_atomically
from pointrend_ext.checkpoint.report import LOADED, MAPPED, PARTLY_NEW, LoadReport

__all__ = ["convert_weights", "write_weights"]

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
        target: the new file, ``.pth`` or ``.safetensors``.
        class_names: the model's classes by ``INSTANCE`` and ``SEMANTIC``, to be stored.
        config: the model's configuration as text, to be stored.
        map_classes: see ``PointRendCheckpointer``.
        allow_missing: accept weights that do not fill the model, such as a backbone's. What the
            source does not have is not written.
        allow_code: see ``PointRendCheckpointer``.

    Returns:
        What became of each tensor.

    Raises:
        FileNotFoundError: no such source.
        ValueError: another ending of the target, a source that is damaged or unsafe, or weights
            that do not fill the model.
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
    written = {name: state[name] for name in report.names(LOADED, MAPPED, PARTLY_NEW)}
    write_weights(target, written, class_names=class_names, config=config)
    return report


def write_weights(
    path: str | Path,
    state_dict: Mapping[str, Tensor],
    *,
    class_names: Mapping[str, Sequence[str]] | None = None,
    config: str = "",
) -> None:
    """Write weights and what belongs to them; the file is complete or not there.

    Args:
        path: ends in ``.pth`` (tensors under ``model``) or ``.safetensors`` (the rest as metadata).
        state_dict: name -> tensor.
        class_names: by ``INSTANCE`` and ``SEMANTIC``; the checkpointer finds them there.
        config: a configuration as text.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in state_dict.items()}
    names = {kind: list(names) for kind, names in (class_names or {}).items()}
    if Path(path).suffix == ".safetensors":
        from safetensors.torch import save

        extras = {"class_names": json.dumps(names), "config": config}
        # It refuses tensors that share memory.
        data = save({name: value.clone() for name, value in tensors.items()}, metadata=extras)
        write_atomically(path, lambda file: file.write(data))
    else:
        data = {"model": tensors, "class_names": names, "config": config}
        write_atomically(path, lambda file: torch.save(data, file))


def _check_target(source: str, target: Path) -> None:
    if target.suffix not in ENDINGS:
        raise ValueError(
            f"The converted weights {str(target)!r} cannot be written as {target.suffix!r}: end "
            f"the name in one of {', '.join(ENDINGS)}."
        )
    if not target.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(target.parent)!r} to write to: make it.")
    if target.exists() and target.samefile(source):
        raise ValueError(
            f"{str(target)!r} is the file that is converted: give the new one another name."
        )
    if target.suffix == ".safetensors":
        try:
            import safetensors  # noqa: F401
        except ModuleNotFoundError as error:
            raise ValueError(
                "Writing .safetensors needs the package safetensors: pip install safetensors, or "
                "write a .pth file."
            ) from error
