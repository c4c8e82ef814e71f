"""Mutated checkpoints: each is refused with a clear error, or loads what was saved."""

import copy
import io
import pickle
import random
import time
from functools import reduce

import numpy as np
import pytest
import torch
from torch import nn

from pointrend_ext.checkpoint import IncompleteWeightsError, PointRendCheckpointer, WeightsFileError
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
        *path, leaf = name.split(".")
        parent = reduce(lambda m, part: m._modules.setdefault(part, nn.Module()), path, model)
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


BYTES = ("flip", "flip", "flip", "truncate", "overwrite", "cut out", "insert")


def damage(content, kind, rng):
    """Change the bytes of a file."""
    if kind == "flip":
        content = bytearray(content)
        for _ in range(rng.choice((1, 1, 1, 8))):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        return bytes(content)
    zeros = bytes(rng.choice((1, 16, 300)))
    removed, inserted = {
        "truncate": (len(content), b""),
        "overwrite": (len(zeros), zeros),
        "cut out": (rng.randrange(1, 40), b""),
        "insert": (0, rng.randbytes(rng.randrange(1, 20))),
    }[kind]
    start = rng.randrange(len(content))
    return content[:start] + inserted + content[start + removed :]


WEIGHTS = ("dtype", "shape", "not finite", "remove", "rename", "not a tensor")


def change(state, kind, rng):
    """Change weights so that they may not load."""
    is_any = {"dtype": lambda v: True, "shape": torch.Tensor.dim}.get(kind, torch.is_floating_point)
    name = rng.choice([name for name, value in state.items() if is_any(value)])
    value = state.pop(name)
    if kind == "dtype":
        others = (torch.int64, torch.bool, torch.complex64, torch.int8)
        state[name] = value.to(rng.choice(others) if value.is_floating_point() else torch.float32)
    elif kind == "shape":
        flat, twice = value.flatten()[:-1], torch.cat((value, value))
        state[name] = rng.choice((value[:-1], flat, value[None], twice, value[:0]))
    elif kind == "not finite":
        bad = rng.choice((float("nan"), float("inf"), -float("inf")))
        value.view(-1)[rng.randrange(value.numel())] = bad
        state[name] = value
    elif kind == "rename":
        state[f"{name}_"] = value
    elif kind == "not a tensor":
        state[name] = rng.choice(("text", None, 3, [1.0], {}))


def run_case(seed, folder):
    """Load one mutated file; return what came of it."""
    rng = random.Random(seed)
    torch.manual_seed(0)
    original = make_model().state_dict()
    model = make_model()
    fresh = copy.deepcopy(model.state_dict())
    container = CONTAINERS[seed % len(CONTAINERS)]
    kinds = BYTES if seed % 3 else WEIGHTS
    kind = kinds[seed // 3 % len(kinds)]
    if container == "safetensors" and kind == "not a tensor":
        kind = "remove"  # it cannot be written
    state = {name: value.clone() for name, value in original.items()}
    if kind in WEIGHTS:
        change(state, kind, rng)
    content = as_bytes(state, container)
    if kind in BYTES:
        content = damage(content, kind, rng)
    path = folder / f"{seed}.pth"
    path.write_bytes(content)
    start = time.perf_counter()
    try:
        PointRendCheckpointer(model).load(str(path))
    except (WeightsFileError, IncompleteWeightsError) as error:
        message = str(error)
        assert str(path) in message
        assert_same(model.state_dict(), fresh)
        return "refused"
    finally:
        assert time.perf_counter() - start < 10
    assert kind not in WEIGHTS, f"{kind} in a {container} was loaded"
    got = model.state_dict()
    if all(torch.equal(got[name], original[name]) for name in original):
        return "unharmed"
    # Numbers in a file without checksums were changed into other, sound numbers.
    assert container not in CHECKSUMS, f"{kind} in a {container} was loaded"
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
