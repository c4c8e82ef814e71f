"""Is a graph being recorded? Then sizes are symbols, and a comparison of them would fix them."""

import torch


def is_exported() -> bool:
    """Tell whether what runs is being traced, exported or compiled.

    Forms that are chosen by size ask this first: a graph holds the one that suits every size.
    """
    return torch.jit.is_tracing() or torch.compiler.is_compiling()
