"""Shared by all tests: seeded randomness, slow oracles, real data, waiting for the device."""

import logging
import math
import os
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from pointrend_ext.layers import forms_for

pytest_plugins = ["tests.tiny_models", "tests.toy_detector", "tests.toy_instances"]

REAL_DATA = Path(
    os.environ.get("POINTREND_REAL_DATA", Path(__file__).parents[2] / "shared" / "data")
)


def pytest_collection_modifyitems(config, items):
    absent = {}
    if not (REAL_DATA / "coco").is_dir():
        absent["real_data"] = f"no data in {REAL_DATA}; set POINTREND_REAL_DATA"
    if not torch.cuda.is_available():
        absent["gpu"] = "no CUDA device"
    for item in items:
        for marker, reason in absent.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Root of the real data; only in tests marked ``real_data``."""
    return REAL_DATA


@pytest.fixture(autouse=True, scope="session")
def _own_check_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POINTREND_CACHE", str(tmp_path_factory.getbasetemp() / "checks"))
        yield


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  (Detectron2 draws from it)


@pytest.fixture(autouse=True)
def _loggers():
    """Undo what ``setup_logger`` does to the loggers of the process."""
    loggers = [logging.getLogger(name) for name in ("pointrend_ext", "detectron2", "fvcore")]
    before = [(logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(1234)


@pytest.fixture(params=["cpu", "cuda"])
def device_form(request):
    """Run a test once with the forms made for a CPU, and once with those for other devices."""
    with forms_for(request.param):
        yield request.param


# ---- slow oracles: float64, python loops, nothing of the package


def bilinear(grid, x, y):
    """Read an (H, W) array at (x, y) in [0, 1] of its extent, zeros outside."""
    height, width = grid.shape
    column, row = x * width - 0.5, y * height - 0.5
    left, top = math.floor(column), math.floor(row)
    value = 0.0
    for i in (top, top + 1):
        for j in (left, left + 1):
            if 0 <= i < height and 0 <= j < width:
                value += float(grid[i, j]) * (1 - abs(column - j)) * (1 - abs(row - i))
    return value


def upsample(grid):
    """Double an (H, W) array bilinearly, pixel centres at half-integers, borders repeated."""
    height, width = grid.shape
    out = np.zeros((2 * height, 2 * width))
    for o in range(2 * height):
        for p in range(2 * width):
            row = min(max((o + 0.5) / 2 - 0.5, 0), height - 1)
            column = min(max((p + 0.5) / 2 - 0.5, 0), width - 1)
            i, j = int(row), int(column)
            i1, j1 = min(i + 1, height - 1), min(j + 1, width - 1)
            a, b = row - i, column - j
            out[o, p] = (1 - a) * ((1 - b) * grid[i, j] + b * grid[i, j1]) + a * (
                (1 - b) * grid[i1, j] + b * grid[i1, j1]
            )
    return out


@pytest.fixture(scope="session")
def oracle():
    """Slow, independent implementations."""
    return SimpleNamespace(bilinear=bilinear, upsample=upsample)


# ---- does the host wait for its accelerator?


class NoWaiting(TorchFunctionMode):
    """Records calls that would make the host wait for its accelerator.

    On the device "meta", where no tensor has values, asking for one fails by itself.
    """

    def __init__(self):
        super().__init__()
        self.waits = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        if isinstance(result, torch.Tensor) and result.device.type != "cpu":
            was_on_host = args and isinstance(args[0], torch.Tensor) and args[0].is_cpu
            is_copy = name in ("tensor", "as_tensor", "new_tensor") or was_on_host
            if is_copy and not kwargs.get("non_blocking"):
                self.waits.append(name)
        return result


@pytest.fixture
def no_waiting():
    """A context in which no call may make the host wait; use it on the device "meta"."""

    @contextmanager
    def context():
        with torch.inference_mode(), NoWaiting() as mode:
            yield
        assert mode.waits == []

    return context


@pytest.fixture
def no_cuda_waiting():
    """The same on a GPU, where the driver is asked."""

    @contextmanager
    def context():
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            with torch.inference_mode():
                yield
        finally:
            torch.cuda.set_sync_debug_mode("default")

    return context
