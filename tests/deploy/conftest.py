"""Exports need a newer torch than the oldest supported set has."""

import torch

from pointrend_ext.deploy.packages import OLDEST_TORCH

if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
    collect_ignore_glob = ["*.py"]  # those of `runtime` as well
