"""The restricted unpickler: what it reads, and that nothing in a file is ever run."""

import collections
import io
import os
import pickle
import struct
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from pointrend_ext.checkpoint import UnsafeWeightsError, WeightsFileError, read_weights_file
from tests.checkpoint.helpers import assert_same

PLAIN = {
    "text": "päper",
    "bytes": b"\x00\xff",
    "no bytes": b"",
    "array of bytes": bytearray(b"ab"),
    "numbers": [0, -1, 255, 65536, 1 << 80, 1.5, float("inf"), 1 + 2j],
    "constants": (None, True, False, ()),
    "sets": [{1, "a"}, set(), frozenset([2])],
    "nested": {"a": [{"b": (1, (2, (3, 4, 5)))}]},
    7: {None: 1},
}
ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "view": np.arange(12.0).reshape(3, 4)[::2, 1:],
    "half": np.array([1.5, -2], np.float16),
    "integers": np.arange(3, dtype=np.uint8),
    "booleans": np.array([True, False]),
    "complex": np.array([1 + 2j]),
    "scalar array": np.array(2.5),
    "empty": np.zeros((0, 3), np.int64),
}


@pytest.fixture
def read(tmp_path):
    def run(content, **options):
        path = tmp_path / "file.pkl"
        path.write_bytes(content)
        return read_weights_file(path, **options)

    return run


@pytest.fixture
def _little_memory():
    """Leave half a gigabyte: what allocates more than that fails."""
    resource = pytest.importorskip("resource")
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except FileNotFoundError:
        pytest.skip("this system does not say how much memory is used")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_containers_and_arrays_are_read(read, protocol):
    shared = np.arange(3.0)
    data = {"arrays": ARRAYS, "shared": [shared, shared], "numpy scalar": np.float32(0.1)}
    got = read(pickle.dumps({**data, **PLAIN}, protocol))
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(got["arrays"][name], array, strict=True)
        assert got["arrays"][name].flags.writeable
    assert got["shared"][0] is got["shared"][1]
    assert got["numpy scalar"] == np.float32(0.1)
    assert type(got["numpy scalar"]) is np.float32
    plain = {name: value for name, value in got.items() if name not in data}
    assert plain == PLAIN
    assert [type(value) for value in plain.values()] == [type(value) for value in PLAIN.values()]


def test_both_numpy_generations_are_read(read):
    """NumPy 1 and 2 name the same functions differently."""
    one = pickle.dumps(ARRAYS, 2).replace(b"numpy._core.", b"numpy.core.")
    two = one.replace(b"numpy.core.", b"numpy._core.")
    assert one != two
    for content in (one, two):
        np.testing.assert_array_equal(read(content)["view"], ARRAYS["view"])


def test_foreign_byte_order_is_refused(read):
    """It is one flipped bit away from the native one, and gives numbers of any size."""
    with pytest.raises(WeightsFileError, match="byte order"):
        read(pickle.dumps({"a": np.arange(3, dtype=">f4")}))


def test_python_2_pickles_are_read(read):
    """Python 2 wrote array contents as text, and module names of its own."""
    data = struct.pack("<2f", 1.5, -300)
    content = (
        b"\x80\x02}q\x00U\x01wq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03"
        b"K\x00\x85U\x01b\x87Rq\x04(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02f4K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08" + data + b"tb"
        b"s."
    )
    np.testing.assert_array_equal(read(content)["w"], np.array([1.5, -300], "f4"))


@pytest.mark.parametrize("protocol", range(2, 6))
def test_tensors_inside_pickles_are_read(read, protocol):
    base = torch.arange(12.0).view(3, 4)
    data = collections.OrderedDict(a=base, b=base.t()[1:], c=torch.nn.Parameter(torch.ones(2)))
    data._metadata = {"": {"version": 2}}
    got = read(pickle.dumps({"model": data}, protocol))["model"]
    for name in data:
        assert_same(got[name], data[name].detach())
        assert type(got[name]) is torch.Tensor
    assert got._metadata == data._metadata


# ---- attacks


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def attacks(target):
    """Pickles that create the file ``target`` when Python reads them."""
    code, shell = f"open({target!r}, 'w').close()", f"touch {target}"
    evil = Call(os.system, shell)
    objects = {
        "builtins.eval": Call(eval, code),
        "builtins.exec": Call(exec, code),
        "builtins.getattr": Call(getattr, "a", "join"),
        "open": Call(open, target, "w"),
        "array of objects": np.array([evil, evil], dtype=object),
        "array inside weights": {"model": {"w": np.array([evil], dtype=object)}},
        "array with an attacker's class": Call(np.ones(1).__reduce__()[0], Evil, (0,), b"b"),
        "torch storage": Call(torch.storage._load_from_bytes, torch_file(evil)),
        "torch tensor": Call(torch._utils._rebuild_tensor_v2, evil, 0, (1,), (1,), False, {}),
        "torch parameter": Call(torch._utils._rebuild_parameter, evil, False, {}),
        "torch type": Call(torch._utils._import_dotted_name, "os.system"),
        "ordered dictionary": Call(collections.OrderedDict, [("a", evil)]),
        "numpy.load": Call(np.load, target),
    }
    return {name: pickle.dumps(value) for name, value in objects.items()} | {
        "posix by hand": b"cposix\nsystem\n(S'" + shell.encode() + b"'\ntR.",
        "INST": b"(S'" + shell.encode() + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + shell.encode() + b"'\no.",
        "extension registry": b"\x80\x02\x82\x01.",
        "nested name": b"\x80\x04\x8c\x05numpy\x8c\x0fdtype.__class__\x93\x8c\x01x\x85R.",
        "persistent id": b"\x80\x02X\x01\x00\x00\x00aQ.",
        "state of a name": b"\x80\x02cnumpy\ndtype\n}(X\x01\x00\x00\x00aK\x01ub.",
    }


class Evil:
    pass


def torch_file(value, *, zipped=False):
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


@pytest.mark.parametrize("name", sorted(attacks("target")))
def test_attacks_are_refused_and_run_nothing(read, tmp_path, name):
    target = tmp_path / "written"
    content = attacks(str(target))[name]
    with pytest.raises(WeightsFileError):
        read(content)
    assert not target.exists()
    if name in ("builtins.eval", "array inside weights", "INST"):  # the attacks are real
        read(content, allow_code=True)
        assert target.exists()


@pytest.mark.parametrize("write", [pickle.dumps, torch_file, partial(torch_file, zipped=True)])
def test_refusal_names_the_global_and_the_flag(read, tmp_path, write):
    target = tmp_path / "written"
    content = write({"model": {"w": torch.ones(2), "x": Call(os.system, f"touch {target}")}})
    text = r"file.pkl .*needs posix.system.*=True \(--allow-code"
    with pytest.raises(UnsafeWeightsError, match=text):
        read(content)
    assert not target.exists()
    read(content, allow_code=True)
    assert target.exists()


# ---- bombs and absurdities: each ends at once, with a message


def long(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def array_pickle(shape, dtype=b"f8", raw=b""):
    shape = b"(" + b"".join(map(long, shape)) + b"t"
    return (
        b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R("
        b"K\x01" + shape + b"cnumpy\ndtype\nX" + struct.pack("<I", len(dtype)) + dtype + b"\x85R"
        b"\x89B" + struct.pack("<I", len(raw)) + raw + b"tb."
    )


def test_the_hand_made_array_is_sound(read):
    np.testing.assert_array_equal(read(array_pickle([2], b"i1", b"\x01\x02")), [1, 2])


STORAGE = torch.ones(1)._typed_storage()
TEN_GB = struct.pack("<Q", 10 << 30)
TUPLES = b")" + b"2\x86" * 200  # each holds the one before twice
BOMBS = {
    "shape": array_pickle([1 << 50]),
    "negative shape": array_pickle([-1, -1], raw=b"x" * 8),
    "overflowing shape": array_pickle([1 << 40, 1 << 40]),
    "shape of many sizes": array_pickle([1] * 65, b"i1", b"x"),
    "long numbers as sizes": array_pickle([1], b"i1", b"x").replace(
        long(1), b"\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20) + b"2" * 60
    ),
    "sub-array": array_pickle([1], b"(1000000000,)f8"),
    "record": array_pickle([1], b"f8,f8", b"x" * 16),
    "text": array_pickle([1], b"U9999", b"x"),
    "numbers that torch lacks": array_pickle([1], b"f16", b"x" * 16),
    "declared bytes": b"\x80\x04\x8e" + TEN_GB + b"x.",
    "declared text": b"\x80\x04\x8d" + TEN_GB + b"x.",
    "declared bytearray": b"\x80\x05\x96" + TEN_GB + b"x.",
    "declared number": b"\x80\x02\x8b\xff\xff\xff\x7fx.",
    "declared frame": b"\x80\x04\x95" + TEN_GB + b"}",
    "bytearray": b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    "bytes": b"\x80\x02cbuiltins\nbytes\nJ\xff\xff\xff\x7f\x85R.",
    "text of a tuple": array_pickle([7], b"i1").replace(b"(" + long(7) + b"t", TUPLES),
    "hash of a tuple": b"\x80\x04" + TUPLES + b"\x940}(h\x00K\x01u.",
    "tuple as a key": b"\x80\x04}" + TUPLES + b"K\x01s.",
    "tuple in a dictionary": b"(" + TUPLES + b"K\x01d.",
    "tuple in a set": b"\x80\x04\x8f(" + TUPLES + b"\x90.",
    "tuple in a frozenset": b"\x80\x04(" + TUPLES + b"\x91.",
    "keys of one hash": b"\x80\x02}(\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x1fNu.",
    "no stack": b"\x80\x02s.",
    "no memo": b"\x80\x02h\x05.",
    "appended to a number": b"\x80\x02K\x01K\x02a.",
    "added to an array": array_pickle([1], b"i1", b"x")[:-1] + b"(K\x01\x90.",
    "set in an array": array_pickle([1], b"i1", b"x")[:-1] + b"K\x00K\x01s.",
    "arguments of an array": b"\x80\x03cbuiltins\nlist\n" + array_pickle([0])[2:-1] + b"R.",
    "one dictionary twice": b"\x80\x02}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00aK\x02u.",
    "a key without a value": b"\x80\x02}(K\x01u.",
    "two objects": b"\x80\x02}}.",
    "an open mark": b"\x80\x02}(}.",
    "no end": b"\x80\x02}",
    "more behind the end": b"\x80\x02}.}.",
    # in a zip archive, which could be deflated; torch writes none of these here
    "packed storage": pickle.dumps(
        Call(torch.storage._load_from_bytes, torch_file(STORAGE, zipped=True))
    ),
    "repeated number": pickle.dumps(
        Call(torch._utils._rebuild_tensor_v2, STORAGE, 0, (1 << 30,), (0,), 0, {})
    ),
    "many operations": b"\x80\x02" + b"N0" * 2_600_000 + b"}.",
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.usefixtures("_little_memory")
def test_bombs_end_at_once_without_memory(read, name):
    start = time.process_time()
    with pytest.raises(WeightsFileError, match=r"file.pkl") as error:
        read(BOMBS[name])
    assert "MemoryError" not in str(error.value)
    assert time.process_time() - start < (5 if name == "many operations" else 1)


@pytest.mark.usefixtures("_little_memory")
def test_places_in_the_memo_take_no_memory_and_depth_no_stack(read):
    """The place is the last of 2^32, the depth 100 000."""
    assert read(b"\x80\x02K\x07r\xff\xff\xff\xff0j\xff\xff\xff\xff.") == 7
    got, depth = read(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."), 0
    while got:
        (got,), depth = got, depth + 1
    assert depth == 99_999


@pytest.mark.usefixtures("_little_memory")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("builtins\nbytearray", b"h\x00X\x01\x00\x00\x00x\x86"),
        ("_codecs\nencode", b"h\x00X\x01\x00\x00\x00x\x86"),
        ("builtins\nlist", b"h\x00\x85"),
    ],
)
def test_one_content_cannot_be_copied_without_end(read, name, arguments):
    content = b"X\x00\x00\x10\x00" + b"x" * (1 << 20)
    if name == "builtins\nlist":
        content = b"](" + b"N" * (1 << 20) + b"e"
    call = b"h\x01" + arguments + b"R"
    start = b"\x80\x02](" + content + b"q\x00c" + name.encode() + b"\nq\x01"
    assert len(read(start + call + b"e.")) == 3
    with pytest.raises(WeightsFileError, match=r"the (copies|items) are larger than the file"):
        read(start + call * 1000 + b"e.")


def test_one_content_cannot_be_used_for_many_arrays(read):
    """A thousand arrays of the same 250 bytes need a file of 250 000 bytes."""
    raw = b"B" + struct.pack("<I", 255) + b"y" * 255
    array = array_pickle([255], b"u1", b"y" * 255)[2:-1]
    assert array.count(raw) == 1
    first = array.replace(raw, raw + b"r\x99\x00\x00\x00")
    again = array.replace(raw, b"j\x99\x00\x00\x00")
    read(b"\x80\x03](" + first + b"e.")
    with pytest.raises(WeightsFileError, match="larger than the file"):
        read(b"\x80\x03](" + first + again * 1000 + b"e.")
