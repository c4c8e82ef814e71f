"""Small files that ask for endless time or memory: each as bytes, by its name."""

import io
import pickle
import random
import struct
import zipfile
from functools import cache

import torch

__all__ = ["ATTACKS", "Call", "make_attack", "repacked", "torch_file"]


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def torch_file(value, *, zipped=True):
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def repacked(content, *, compress=zipfile.ZIP_STORED, **replaced):
    """Write an archive of torch anew, with other contents of some of its parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", compress) as new:
        for name in old.namelist():
            part = name.partition("/")[2].replace("/", "_").replace(".", "_")
            with new.open(name, "w", force_zip64=True) as file:
                for chunk in replaced[part]() if part in replaced else [old.read(name)]:
                    file.write(chunk)
    return buffer.getvalue()


def shapes(rng):
    """A shape of 62 sizes of 2^62 - 1, and a long tail."""
    storage = torch.ones(1)._typed_storage()
    call = Call(torch._utils._rebuild_tensor_v2, storage, 0, (9,), (1,), 0, {})
    sizes = b"(\x8a\x08" + struct.pack("<q", (1 << 62) - 1) + b"2" * 61 + b"t"
    return pickle.dumps([call], 2).replace(b"K\x09\x85", sizes, 1) + b" " * rng.randrange(100_000)


def endless_list(_rng):
    """A shape that is a list of 100,000 long numbers."""
    number = b"\x8a\x08" + b"\xff" * 7 + b"\x7f"
    return b"\x80\x02ctorch\nSize\n](" + number + b"2" * 100_000 + b"e\x85R."


def colliding_integers(rng):
    """Integers that fill one cycle of a dictionary's places, and others that walk along it."""
    table, place, keys = 1 << 17, 0, []
    for _ in range(60_000):
        keys.append(place)
        place = (5 * place + 1) % table
    shift = rng.choice((17, 20, 40))
    keys += [1 + (key << shift) for key in range(20_000)]
    packed = b"".join(b"\x8a\x08" + struct.pack("<q", key) + b"N" for key in dict.fromkeys(keys))
    return b"\x80\x02}(" + packed + b"u."


def colliding_tuples(_rng):
    keys = (b"J" + struct.pack("<i", i) + b"K\x00\x86N" for i in range(60_000))
    return b"\x80\x02}(" + b"".join(keys) + b"u."


def nested_tuples(_rng):
    """Each tuple holds the one before twice, in what torch wrote before 1.6."""
    tuples = b")" + b"2\x86" * 200
    content = torch_file({"a": 1}, zipped=False)
    value = pickle.dumps({"a": 1}, 2)
    assert content.count(value) == 1
    return content.replace(value, b"\x80\x02}" + tuples + b"K\x01s.")


def zeros(size):
    return lambda: (bytes(1 << 24) for _ in range(size >> 24))


def deflated_storage(_rng):
    """One megabyte of an archive that unpacks to one gigabyte."""
    content = torch_file({"w": torch.ones(1)})
    return repacked(content, compress=zipfile.ZIP_DEFLATED, data_0=zeros(1 << 30))


def nested_deflated_storage(_rng):
    """The same as the bytes of a tensor inside a pickle."""
    inner = repacked(
        torch_file(torch.ones(1)._typed_storage()),
        compress=zipfile.ZIP_DEFLATED,
        data_0=zeros(1 << 28),
    )
    return pickle.dumps({"w": Call(torch.storage._load_from_bytes, inner)}, 4)


def expanded(rng):
    """Seven kilobytes of tensors, each one number repeated."""
    shape = rng.choice(((1 << 30,), (1 << 20, 1 << 20), (64, 1 << 24)))
    state = {f"w{i}": torch.ones(1).expand(shape) for i in range(60)}
    return torch_file(state, zipped=rng.random() < 0.5)


def one_storage_in_many_tensors(_rng):
    base = torch.ones(1 << 18)
    return torch_file({f"w{i}": base.view(512, 512) for i in range(20_000)})


def endless_dictionary(rng):
    data = {"iteration": 3, "w": torch.ones(2)}
    for name in ("model", "state_dict", "ema", "optimizer", "class_names", "callbacks"):
        data[name] = data
    data["list"] = [data]
    return torch_file(data, zipped=rng.random() < 0.5)


def many_names(rng):
    """Names that fit a table's rules, all behind prefixes of their own."""
    ends = ("layer1.0.conv1.weight", "bn1.bias", "res2.0.x", "roi_heads.mask_head.predictor.weight")
    w = torch.ones(1)
    return torch_file({f"{'a.' * (i % 20)}p{i}.{rng.choice(ends)}": w for i in range(20_000)})


def long_names(_rng):
    return torch_file({"res2." * 400_000 + "w": torch.ones(1), "_" * 2_000_000: torch.ones(1)})


def many_sets(_rng):
    return b"\x80\x04(" + b"\x8f" * 2_900_000 + b"t."


def copies_of_attributes(_rng):
    """A large dictionary as the attributes of many objects."""
    items = b"".join(b"X\x06\x00\x00\x00%06dN" % i for i in range(100_000))
    one = b"cargparse\nNamespace\n)R" + b"h\x00b"
    return b"\x80\x02}(" + items + b"uq\x000](" + one * 10_000 + b"e."


def deep(_rng):
    return b"\x80\x02" + b"}X\x05\x00\x00\x00model" * 300_000 + b"}" + b"s" * 300_000 + b"."


def large_storage_without_data(_rng):
    content = torch_file({"w": torch.ones(3)}, zipped=False)
    assert content.count(b"K\x03N") == 1
    return content.replace(b"K\x03N", b"\x8a\x05" + (1 << 35).to_bytes(5, "little") + b"N")


ATTACKS = (
    shapes,
    endless_list,
    colliding_integers,
    colliding_tuples,
    nested_tuples,
    deflated_storage,
    nested_deflated_storage,
    expanded,
    one_storage_in_many_tensors,
    endless_dictionary,
    many_names,
    long_names,
    many_sets,
    copies_of_attributes,
    deep,
    large_storage_without_data,
)


SLOW = (deflated_storage, nested_deflated_storage, one_storage_in_many_tensors, many_sets, deep)
once = cache(lambda attack: attack(None))


def make_attack(seed):
    attack = ATTACKS[seed % len(ATTACKS)]
    return once(attack) if attack in SLOW else attack(random.Random(seed))
