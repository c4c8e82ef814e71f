"""Mutated checkpoints: each is refused with a clear error, or loads what was saved."""

from __future__ import annotations

import copy
import io
import pickle
import random
import time

import numpy as np
import pytest
import torch
from torch import nn

from pointrend_ext.checkpoint import (
    IncompleteWeightsError,
    PointRendCheckpointer,
    WeightsFileError,
)
from tests.checkpoint.helpers import assert_same

safetensors = pytest.importorskip("safetensors.torch")
CONTAINERS = ("pickle", "pickle of tensors", "zip", "legacy torch", "safetensors")
CHECKSUMS = ("zip",)  # only here can a flipped bit of a number be seen


def make_model():
    """A few layers under names of a PointRend model."""
    model = nn.Module()
    for name, layer in {
        "backbone.bottom_up.stem.conv1": nn.Conv2d(3, 2, 3),
        "backbone.bottom_up.stem.conv1.norm": nn.BatchNorm2d(2),
        "roi_heads.box_predictor.cls_score": nn.Linear(3, 4),
        "roi_heads.box_predictor.bbox_pred": nn.Linear(3, 12),
        "roi_heads.mask_head.coarse_head.prediction": nn.Linear(2, 12),
        "roi_heads.mask_head.point_head.fc1": nn.Conv1d(5, 4, 1),
        "roi_heads.mask_head.point_head.predictor": nn.Conv1d(7, 3, 1),
    }.items():
        parent = model
        *path, leaf = name.split(".")
        for part in path:
            if not hasattr(parent, part):
                parent.add_module(part, nn.Module())
            parent = getattr(parent, part)
        parent.add_module(leaf, layer)
    return model


def as_bytes(state, container):
    if container == "safetensors":
        return safetensors.save({name: value.contiguous() for name, value in state.items()})
    data = {"model": state, "__author__": "Detectron2 Model Zoo", "iteration": 5}
    if container == "pickle":
        data["model"] = {k: v.numpy() if torch.is_tensor(v) else v for k, v in state.items()}
    if container.startswith("pickle"):
        return pickle.dumps(data, 2)
    buffer = io.BytesIO()
    torch.save(data, buffer, _use_new_zipfile_serialization=container == "zip")
    return buffer.getvalue()


# ---- mutations of bytes


def flip_bits(content, rng):
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 8))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def truncate(content, rng):
    return content[: rng.randrange(len(content))]


def overwrite(content, rng):
    start = rng.randrange(len(content))
    block = bytes(rng.choice((1, 16, 300)))
    return content[:start] + block + content[start + len(block) :]


def cut_out(content, rng):
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.randrange(1, 40) :]


def insert(content, rng):
    start = rng.randrange(len(content))
    return content[:start] + rng.randbytes(rng.randrange(1, 20)) + content[start:]


BYTES = (flip_bits, flip_bits, flip_bits, truncate, overwrite, cut_out, insert)

# ---- mutations of weights: none of these may load


def pick(state, rng, accept=lambda value: True):
    return rng.choice([name for name, value in state.items() if accept(value)])


def swap_dtype(state, rng):
    name = pick(state, rng)
    other = (torch.int64, torch.bool, torch.complex64, torch.int8)
    state[name] = state[name].to(
        rng.choice(other) if state[name].is_floating_point() else torch.float32
    )


def change_shape(state, rng):
    name = pick(state, rng, lambda value: value.dim() > 0)
    value = state[name]
    state[name] = rng.choice(
        (value[:-1], value.flatten()[:-1], value[None], torch.cat((value, value)), value[:0])
    )


def not_finite(state, rng):
    name = pick(state, rng, torch.is_floating_point)
    bad = rng.choice((float("nan"), float("inf"), -float("inf")))
    state[name].view(-1)[rng.randrange(state[name].numel())] = bad


def remove(state, rng):
    del state[pick(state, rng, torch.is_floating_point)]


def rename(state, rng):
    name = pick(state, rng, torch.is_floating_point)
    state[f"{name}_"] = state.pop(name)


def not_a_tensor(state, rng):
    state[pick(state, rng, torch.is_floating_point)] = rng.choice(("text", None, 3, [1.0], {}))


WEIGHTS = (swap_dtype, change_shape, not_finite, remove, rename, not_a_tensor)


def run_case(seed, folder):
    """Load one mutated file; return what came of it."""
    rng = random.Random(seed)
    torch.manual_seed(0)
    original = make_model().state_dict()
    model = make_model()
    fresh = copy.deepcopy(model.state_dict())
    container = CONTAINERS[seed % len(CONTAINERS)]
    mutations = BYTES if seed % 3 else WEIGHTS
    mutate = mutations[seed // 3 % len(mutations)]
    if container == "safetensors" and mutate is not_a_tensor:
        mutate = remove  # it cannot be written
    state = {name: value.clone() for name, value in original.items()}
    if mutate in WEIGHTS:
        mutate(state, rng)
        content = as_bytes(state, container)
    else:
        content = mutate(as_bytes(state, container), rng)
    path = folder / f"{seed}.pth"
    path.write_bytes(content)
    start = time.perf_counter()
    error = None
    try:
        PointRendCheckpointer(model).load(str(path))
    except (WeightsFileError, IncompleteWeightsError) as caught:
        error = str(caught)
    assert time.perf_counter() - start < 10
    if error is not None:
        assert str(path) in error
        assert_same(model.state_dict(), fresh)
        return "refused"
    assert mutate not in WEIGHTS, f"{mutate.__name__} in a {container} was loaded"
    got = model.state_dict()
    if all(torch.equal(got[name], original[name]) for name in original):
        return "unharmed"
    # Numbers in a file without checksums were changed into other, sound numbers.
    assert container not in CHECKSUMS, f"{mutate.__name__} in a {container} was loaded"
    assert all(np.isfinite(value.numpy()).all() for value in got.values())
    return "undetectable"


def test_the_unmutated_files_load(tmp_path):
    torch.manual_seed(0)
    original = make_model().state_dict()
    for container in CONTAINERS:
        path = tmp_path / "x"
        path.write_bytes(as_bytes(original, container))
        model = make_model()
        PointRendCheckpointer(model).load(str(path))
        assert_same(model.state_dict(), original)


@pytest.mark.parametrize(
    ("seeds", "refused"),
    [
        *((range(15 * block, 15 * block + 15), 8) for block in range(4)),
        pytest.param(range(1000, 1500), 350, marks=pytest.mark.slow),
    ],
)
def test_mutated_checkpoints(tmp_path, seeds, refused):
    outcomes = [run_case(seed, tmp_path) for seed in seeds]
    print({kind: outcomes.count(kind) for kind in ("refused", "unharmed", "undetectable")})
    assert outcomes.count("refused") >= refused
