"""What checkpoints will take is known, and said, before the first is written."""

import re
import shutil
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pointrend_ext.checkpoint.full_disk import FullDiskError
from pointrend_ext.engine import checkpoint_space, load_cfg
from pointrend_ext.engine.checkpoint_space import checkpoint_bytes, number_of_checkpoints


@pytest.mark.parametrize(
    ("options", "bytes_of_state"),
    [
        ({"lr": 0.1}, 0),
        ({"lr": 0.1, "momentum": 0.9}, 4 * (30 + 3)),
        (None, 2 * 4 * (30 + 3)),
    ],
)
def test_bytes(options, bytes_of_state):
    """A frozen layer of 10 + 1 values, a trained one of 30 + 3, buffers of 3 + 3 floats and 8 B."""
    frozen, trained, norm = nn.Linear(10, 1), nn.Linear(10, 3), nn.BatchNorm1d(3, affine=False)
    own = trained.parameters()
    optimizer = torch.optim.AdamW(own) if options is None else torch.optim.SGD(own, **options)
    weights = 4 * (11 + 33 + 6) + 8
    model = nn.Sequential(frozen.requires_grad_(False), trained, norm)
    assert checkpoint_bytes(model, optimizer) == weights + bytes_of_state
    assert checkpoint_bytes(model, optimizer, averaged=True) == 2 * weights + bytes_of_state


@pytest.mark.parametrize(
    ("options", "start", "number"),
    [
        ([], 0, 4 + 1),  # after 5, 10, 15, 20 iterations, and model_final.pth
        ([], 10, 2 + 1),
        ([], 12, 2 + 1),
        (["SOLVER.CHECKPOINT_KEEP", 2], 0, 3 + 1),  # two, and the next until it is complete
        (["SOLVER.CHECKPOINT_KEEP", 9, "SOLVER.BEST.METRIC", "segm/AP"], 0, 4 + 1 + 1),
        (["SOLVER.CHECKPOINT_PERIOD", 100], 0, 1),
    ],
)
def test_number(options, start, number):
    cfg = load_cfg(None, ["SOLVER.MAX_ITER", 22, "SOLVER.CHECKPOINT_PERIOD", 5, *options])
    assert number_of_checkpoints(cfg, start) == number


def test_a_training_says_what_it_will_take(run, monkeypatch):
    """Six iterations with a checkpoint after four, and the final one."""
    computed = []

    def compute(*args, **options):
        computed.append(checkpoint_bytes(*args, **options))
        return computed[0]

    monkeypatch.setattr(checkpoint_space, "checkpoint_bytes", compute)
    folder = run("run")
    assert (folder / "log.txt").read_text().count("INFO: Checkpoints: up to 2 of") == 1
    sizes = [path.stat().st_size for path in folder.glob("*.pth")]
    assert len(sizes) == 2
    assert computed[0] < min(sizes) <= max(sizes) < computed[0] + 400_000  # names, and the rest

    free = computed[0] - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    with pytest.raises(FullDiskError, match=r"up to 2 of .* Not one has room: free some space"):
        run("full")
    free = 2 * computed[0] - 1
    said = (run("tight") / "log.txt").read_text()
    assert re.search(r"WARNING: Checkpoints: up to 2 of .* will not all have room: free", said)
