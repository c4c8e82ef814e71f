"""Mutated and hostile weights files by a seed, and a process of its own that loads them.

``python -m tests.checkpoint.fuzz_cases FOLDER`` reads seeds from its input, a line each, and writes
what came of each, so that a file that hangs or kills the process is known.
"""

import copy
import io
import json
import pickle
import random
import resource
import sys
import time
import zipfile
from functools import reduce
from pathlib import Path

import torch
from safetensors.torch import save as save_safetensors
from torch import nn

from pointrend_ext.checkpoint import IncompleteWeightsError, PointRendCheckpointer, WeightsFileError
from tests.checkpoint.attacks import make_attack, repacked
from tests.checkpoint.helpers import assert_same

CONTAINERS = ("pickle", "pickle of tensors", "zip", "legacy torch", "safetensors")
CHECKSUMS = ("zip",)  # only here can a flipped bit of a number be seen
SECONDS = 10  # of a processor, for each file
ABOVE_FILE = 2 << 30  # bytes of memory above the size of the file


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
        return save_safetensors({name: value.contiguous() for name, value in state.items()})
    data = {"model": state, "__author__": "Detectron2 Model Zoo", "iteration": 5}
    if container == "pickle":
        data["model"] = {k: v.numpy() if torch.is_tensor(v) else v for k, v in state.items()}
    if container.startswith("pickle"):
        return pickle.dumps(data, 2)
    buffer = io.BytesIO()
    torch.save(data, buffer, _use_new_zipfile_serialization=container == "zip")
    return buffer.getvalue()


OPERATIONS = [bytes([code]) for code in b"02()]}t\x85\x86\x87R\x81ebsua\x90\x91\x8fQ.NK\x07"]
OPERATIONS += [b"h\x00", b"h\x05", b"ccollections\nOrderedDict\n)R", b"cargparse\nNamespace\n)\x81"]
OPERATIONS += [b"cnumpy\ndtype\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nSize\n"]


def with_operations(content, container, rng):
    """Put operations into the pickle of a file; that of an archive has its right checksum."""
    if container == "zip":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            pickled = archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))
        changed = with_operations(pickled, "pickle", rng)
        return repacked(content, data_pkl=lambda: [changed])
    start = rng.randrange(2, len(content))
    inserted = b"".join(rng.choice(OPERATIONS) for _ in range(rng.randrange(1, 5)))
    return content[:start] + inserted + content[start + rng.choice((0, 0, 1, 2)) :]


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


WRAPPED = ("Lightning", "compiled", "averages", "container")


def wrapped(state, kind):
    """Save the same weights as other tools do; all of these load."""
    average = {
        name: value + 1 if value.is_floating_point() else value for name, value in state.items()
    }
    if kind == "Lightning":
        return {"state_dict": {f"model.{name}": value for name, value in state.items()}}
    if kind == "compiled":
        return {"model": {f"_orig_mod.module.{name}": value for name, value in state.items()}}
    return {"net": state, "net_ema": average} if kind == "averages" else {"a": {"b": state}}


def make_case(seed):
    """Return the bytes of a file, its container, and what was done to it."""
    rng = random.Random(seed)
    container = CONTAINERS[seed % len(CONTAINERS)]
    family = ("bytes", "bytes", "weights", "operations", "attack", "wrapped")[seed // 5 % 6]
    torch.manual_seed(0)
    state = {name: value.clone() for name, value in make_model().state_dict().items()}
    if family == "attack":
        return make_attack(seed // 5 // 6), "attack", "attack"
    if family == "wrapped":
        buffer, kind = io.BytesIO(), rng.choice(WRAPPED)
        torch.save(wrapped(state, kind), buffer)
        return buffer.getvalue(), "zip", kind
    if family == "operations" and container != "safetensors":
        return with_operations(as_bytes(state, container), container, rng), container, family
    if family == "weights":
        kind = rng.choice(WEIGHTS)
        if container == "safetensors" and kind == "not a tensor":
            kind = "remove"  # it cannot be written
        change(state, kind, rng)
        return as_bytes(state, container), container, kind
    kind = rng.choice(BYTES)
    return damage(as_bytes(state, container), kind, rng), container, kind


def run_case(seed, folder):
    """Load one file; return what was done to it, what came of it, and the processor's time."""
    content, container, kind = make_case(seed)
    torch.manual_seed(0)
    original, model = make_model().state_dict(), make_model()
    fresh = copy.deepcopy(model.state_dict())
    path = folder / f"{seed}.pth"
    path.write_bytes(content)
    start = time.process_time()
    try:
        PointRendCheckpointer(model).load(str(path))
        message = None
    except (WeightsFileError, IncompleteWeightsError) as error:
        message = str(error)
    seconds = time.process_time() - start
    path.unlink()
    assert seconds < SECONDS, f"{seed}: {kind} took {seconds} s"
    got = model.state_dict()
    if message is not None:
        assert str(path) in message
        assert message.isprintable()
        assert len(message) < 2000
        assert "MemoryError" not in message, message
        assert "alloc" not in message, message
        assert kind not in WRAPPED, message
        assert_same(got, fresh)
        return kind, "refused", seconds
    assert kind not in (*WEIGHTS, "attack"), f"{kind} in a {container} was loaded"
    if all(torch.equal(got[name], original[name]) for name in original):
        return kind, "unharmed", seconds
    # Numbers in a file without checksums were changed into other, sound numbers.
    assert container not in CHECKSUMS or kind == "operations", f"{kind} in a {container} was loaded"
    assert all(bool(value.isfinite().all()) for value in got.values())
    return kind, "undetectable", seconds


def limit_memory(size):
    """Let whatever needs more than ``size`` bytes above what is in use fail."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + size, hard))


def main():
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        seed = int(line)
        limit_memory(len(make_case(seed)[0]) + ABOVE_FILE)
        try:
            result = run_case(seed, folder)
        except Exception as error:
            result = ("", f"{type(error).__name__}: {error}", 0.0)
        print(json.dumps(result), flush=True)
        limit_memory(1 << 40)


if __name__ == "__main__":
    main()
