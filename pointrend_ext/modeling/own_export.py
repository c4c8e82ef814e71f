"""Heads that are exported by graphs of their own, and refuse to be recorded by others.

What they do depends on sizes and on the number of regions. A trace keeps those of its example: it
is written without a complaint, and is wrong for the next image.
"""

from typing import Any

import torch


class OwnExport:
    """Base of such heads, beside ``nn.Module``."""

    def __prepare_scriptable__(self) -> Any:
        """Refuse ``torch.jit.script``, which asks this of every module.

        Raises:
            ValueError: always.
        """
        raise ValueError(self._refusal("scripted"))

    def refuse_recording(self) -> None:
        """Refuse ``torch.jit.trace`` and ``torch.export``; counters of operations may trace.

        Raises:
            ValueError: a file is being made.
        """
        # Set by torch.jit.trace, not by the traces that are looked at and thrown away.
        if getattr(torch.jit._trace, "_trace_module_map", None) is not None:
            raise ValueError(self._refusal("traced"))
        is_exporting = getattr(torch.compiler, "is_exporting", None)  # since torch 2.7
        if is_exporting is not None and is_exporting():
            raise ValueError(self._refusal("recorded by torch.export"))

    def _refusal(self, how: str) -> str:
        return (
            f"{type(self).__name__} cannot be {how}: the file would serve the sizes and the number "
            "of regions of its example alone. Use tools/export_model.py, or "
            "pointrend_ext.deploy.export, which write ONNX and torch.export files for any."
        )
