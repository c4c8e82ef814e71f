"""What training scripts save beside weights: plain and inert in every container, never run."""

import argparse
import collections
import io
import pathlib
import pickle
import types
import zipfile

import numpy as np
import pytest
import torch
from yacs.config import CfgNode

from pointrend_ext.checkpoint import WeightsFileError, read_weights_file
from tests.checkpoint.helpers import assert_same

TENSOR = torch.arange(6.0).view(2, 3)
INERT = {  # what is saved, what is read
    "numpy.float64": (np.float64(0.3), np.float64(0.3)),
    "numpy.int64": (np.int64(-7), np.int64(-7)),
    "numpy.bool": (np.bool_(True), np.bool_(True)),
    "numpy.str": (np.str_("a"), np.str_("a")),
    "array": (np.arange(3.0), np.arange(3.0)),
    "Namespace": (argparse.Namespace(lr=0.1, n={"a": 1}), {"lr": 0.1, "n": {"a": 1}}),
    "SimpleNamespace": (types.SimpleNamespace(lr=0.1), {"lr": 0.1}),
    "path": (pathlib.PurePosixPath("/a/b"), "/a/b"),
    "relative path": (pathlib.PurePosixPath("a/b"), "a/b"),
    "defaultdict": (collections.defaultdict(list, a=[1]), {"a": [1]}),
    "Counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
    "deque": (collections.deque([1, 2], maxlen=5), [1, 2]),
    "OrderedDict": (collections.OrderedDict(b=1, a=2), collections.OrderedDict(b=1, a=2)),
    "keys": ({(0, 1): 2, 3: 4, None: 5, 1.5: 6}, {(0, 1): 2, 3: 4, None: 5, 1.5: 6}),
    "keys of NumPy": ({np.int64(1): 2, np.float32(0.5): 3}, {1: 2, 0.5: 3}),
    "sets": ({1, "a", (1, 2)}, {1, "a", (1, 2)}),
    "device": (torch.device("cuda:1"), ("cuda", 1)),
    "dtype": (torch.bfloat16, torch.bfloat16),
    "size": (torch.Size([2, 3]), torch.Size([2, 3])),
    "class": ([bool, float], ["builtins.bool", "builtins.float"]),
}


def write(path, data, container):
    if container == "pickle":
        path.write_bytes(pickle.dumps(data, 2))
    elif container == "pickle of now":
        path.write_bytes(pickle.dumps(data, pickle.HIGHEST_PROTOCOL))
    elif container == "old pickle":
        path.write_bytes(pickle.dumps(data, 1))
    else:
        torch.save(data, path, _use_new_zipfile_serialization=container == "zip")
    return path


@pytest.mark.parametrize(
    "container", ["zip", "legacy torch", "pickle", "pickle of now", "old pickle"]
)
@pytest.mark.parametrize("name", INERT)
def test_values_beside_weights(tmp_path, name, container):
    if name == "dtype" and container == "old pickle":
        pytest.skip("a dtype is pickled as a plain name, which the old protocols write as code")
    value, expected = INERT[name]
    got = read_weights_file(write(tmp_path / "w", {"x": value, "after": 7}, container))
    assert got["after"] == 7
    np.testing.assert_equal(got["x"], expected)
    assert type(got["x"]) is type(expected)


def test_settings_of_detectron2_are_read_as_a_dictionary(tmp_path):
    cfg = CfgNode({"A": {"B": 1}})
    got = read_weights_file(write(tmp_path / "w", {"cfg": cfg}, "zip"))["cfg"]
    assert type(got) is dict
    assert got["A"]["B"] == 1


@pytest.mark.parametrize("container", ["zip", "legacy torch"])
def test_tensors_as_torch_reads_them(tmp_path, container):
    """Views of one storage stay views of one; every type, shape and layout has its numbers."""
    base = torch.arange(24.0)
    data = {
        "view": base.view(4, 6).t()[1:, ::2],
        "all": base,
        "repeated": torch.tensor([2.5]).expand(3, 4),
        "empty": torch.zeros(0, 3),
        "number": torch.tensor(7),
        "parameter": torch.nn.Parameter(TENSOR.clone()),
        "frozen": torch.nn.Parameter(TENSOR.clone(), requires_grad=False),
        **{
            str(dtype): TENSOR.to(dtype)
            for dtype in (torch.half, torch.bfloat16, torch.double, torch.int8, torch.uint8)
            + (torch.int16, torch.int32, torch.int64, torch.bool, torch.complex64)
        },
    }
    data["parameter"].note = "an attribute"
    if container == "zip":
        data["float8"] = TENSOR.to(torch.float8_e4m3fn)
        if torch.uint16 in torch.storage._dtype_to_storage_type_map():  # not in torch 2.4
            data["uint16"] = TENSOR.to(torch.uint16)
    got = read_weights_file(write(tmp_path / "w", data, container))
    expected = torch.load(tmp_path / "w", weights_only=False)
    assert got.keys() == data.keys()
    for name, value in got.items():
        assert type(value) is torch.Tensor
        assert value.stride() == data[name].stride()
        as_bytes = [
            x.detach().contiguous().view(torch.uint8) if x.dim() else x
            for x in (value, expected[name])
        ]
        assert_same(*as_bytes)
    got["all"][1] = 100
    assert got["view"][0, 0] == 100


def test_a_module_of_torch_is_refused_by_name(tmp_path):
    with pytest.raises(WeightsFileError, match=r"needs torch.nn.modules.linear.Linear"):
        read_weights_file(write(tmp_path / "w", {"model": torch.nn.Linear(1, 1)}, "zip"))


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (torch.tensor([1 + 2j]).conj(), "negative or conjugate"),
        (torch.tensor([1 + 2j]).conj().imag, "negative or conjugate"),
        (torch.eye(2).to_sparse(), "quantised or sparse"),
        (torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantised or sparse"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_not_their_numbers_are_refused(tmp_path, tensor, text):
    with pytest.raises(WeightsFileError, match=text):
        read_weights_file(write(tmp_path / "w", {"w": tensor}, "zip"))


def test_numbers_of_another_machine_are_refused(tmp_path):
    buffer = io.BytesIO()
    torch.save({"w": TENSOR}, buffer)
    content = buffer.getvalue()
    assert content.count(b"little") == 1
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(tmp_path / "w", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, b"big" if name.endswith("byteorder") else data)
    with pytest.raises(WeightsFileError, match="byte order"):
        read_weights_file(tmp_path / "w")
