"""Files are recognised by content; what is no weights file is refused with what it is."""

import pickle
import random
import sys
import zipfile

import numpy as np
import pytest
import torch

from pointrend_ext.checkpoint import WeightsFileError, read_weights_file
from tests.checkpoint.helpers import assert_same

WEIGHTS = {"model": {"w": torch.arange(6.0).view(2, 3)}, "iteration": 7}


def save(path, kind):
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"model": {"w": WEIGHTS["model"]["w"].numpy()}}))
    else:
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=kind == "zip")
    return path


@pytest.mark.parametrize("kind", ["zip", "legacy torch", "pickle"])
@pytest.mark.parametrize("name", ["w.pth", "w.pkl", "w.pt", "w.safetensors", "w"])
def test_content_decides_not_the_extension(tmp_path, kind, name):
    got = read_weights_file(save(tmp_path / name, kind))
    np.testing.assert_array_equal(np.asarray(got["model"]["w"]), WEIGHTS["model"]["w"])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", r"\(0 bytes, .* but empty"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"\n <HTML><body>Sign in</body>", "web page"),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b'{"message": "Not Found"}', "JSON"),
        (b"\x1f\x8b\x08\x00", "compressed archive"),
        (b"a" * 257 + b"ustar", "tar archive"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (bytes(1000), "nothing but zeros"),
        (b"\x80\x02", "damaged or was cut off"),
        (b"PK\x03\x04 and then it stops", "damaged or was cut off"),
        (b"hello", r"beginning with b'hello'\) is not a weights file but unknown"),
        (b"\x80\x09\x00\x00", "not a weights file"),
    ],
)
def test_other_files_are_named(tmp_path, content, text):
    path = tmp_path / "model_final.pkl"
    path.write_bytes(content)
    with pytest.raises(WeightsFileError, match=text) as error:
        read_weights_file(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("kind", ["zip", "legacy torch", "pickle"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path, kind, share):
    path = save(tmp_path / "w.pth", kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsFileError, match=r"w.pth \(\d+ bytes\)"):
        read_weights_file(path)


def test_a_flipped_bit_in_torch_files_is_found(tmp_path):
    """torch writes checksums and does not read them."""
    path = save(tmp_path / "w.pth", "zip")
    content = bytearray(path.read_bytes())
    content[content.find(WEIGHTS["model"]["w"].numpy().tobytes()) + 7] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path)["model"]["w"], WEIGHTS["model"]["w"])
    with pytest.raises(WeightsFileError, match="checksum"):
        read_weights_file(path)


def test_a_flipped_bit_anywhere_in_an_archive_changes_no_number(tmp_path):
    """Its list of parts has no checksum, and torch and zipfile read a damaged one otherwise."""
    path = save(tmp_path / "w.pth", "zip")
    content, refused = path.read_bytes(), 0
    rng = random.Random(0)
    start = content.index(b"PK\x01\x02")
    assert start > 500
    for place in (*range(start, len(content)), *rng.sample(range(start), 200)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            got = read_weights_file(path)
        except WeightsFileError:
            refused += 1
        else:
            assert_same(got["model"]["w"], WEIGHTS["model"]["w"])
            assert got["iteration"] == 7
    assert refused > 200


def test_torch_files_without_checksums_are_read(tmp_path):
    set_options = getattr(torch.serialization, "set_crc32_options", None)
    if set_options is None:
        pytest.skip("this torch always writes checksums")
    set_options(False)
    try:
        save(tmp_path / "w.pth", "zip")
    finally:
        set_options(True)
    got = read_weights_file(tmp_path / "w.pth")
    assert_same(got["model"]["w"], WEIGHTS["model"]["w"])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            {"readme.txt": b"x", "model_final.pkl": b"x"},
            r"a zip archive \(of readme.txt, model_final.pkl, \.\.\.\); unpack it",
        ),
        ({"a/data.pkl": b"x", "a/constants.pkl": b"x"}, "TorchScript"),
        ({"a/data.pkl": pickle.dumps({}), "a/data/0": bytes(1 << 24)}, "unpacks to 16777"),
    ],
)
def test_other_archives_and_packed_bombs_are_refused(tmp_path, content, text):
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    with pytest.raises(WeightsFileError, match=text):
        read_weights_file(tmp_path / "w.pth")


# ---- safetensors


def test_safetensors_need_their_package(tmp_path, monkeypatch):
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (tmp_path / "w.bin").write_bytes((64).to_bytes(8, "little") + header)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(WeightsFileError, match="pip install safetensors"):
        read_weights_file(tmp_path / "w.bin")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_safetensors(tmp_path, metadata):
    torch_format = pytest.importorskip("safetensors.torch")
    tensors = {
        "a": torch.arange(6.0).view(2, 3),
        "b.c": torch.tensor([1.5, -2], dtype=torch.bfloat16),
        "n": torch.tensor(7),
    }
    torch_format.save_file(tensors, tmp_path / "w.bin", metadata=metadata)
    assert_same(read_weights_file(tmp_path / "w.bin"), tensors)


@pytest.mark.parametrize(
    ("keep", "metadata"),
    [
        *((keep, None) for keep in (9, 40, 70, 100, 1000)),  # the header alone has 72 bytes
        (2000, {"class_names": "[ant"}),  # no JSON
    ],
)
def test_damaged_safetensors_are_refused(tmp_path, keep, metadata):
    torch_format = pytest.importorskip("safetensors.torch")
    content = torch_format.save({"w": torch.ones(256)}, metadata=metadata)[:keep]
    (tmp_path / "w.safetensors").write_bytes(content)
    text = rf"w.safetensors \({len(content)} bytes\) is damaged"
    with pytest.raises(WeightsFileError, match=text):
        read_weights_file(tmp_path / "w.safetensors")
