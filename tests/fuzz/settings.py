"""Configurations and descriptions of data sets, which are YAML."""

import contextlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

from pointrend_ext.engine import load_cfg
from pointrend_ext.engine.upgrade_config import leaves
from tests.fuzz.base import CATEGORIES
from tests.fuzz.trees import Change, Mutator, bytes_mutators, mutators_of, tree_mutator

# What cannot be trained, evaluated or meant, by key.
WRONG: dict[str, list[Any]] = {
    "SOLVER.MAX_ITER": [0, -10, "many", 40.5],
    "SOLVER.BASE_LR": [0, -0.1, "0,01", math.nan, math.inf],
    "SOLVER.IMS_PER_BATCH": [0, -2, "two", 1.5],
    "SOLVER.WARMUP_ITERS": [1000, -5, "ten"],
    "SOLVER.STEPS": [500, [30, 20], [100], "30", [-1], ["a"]],
    "SOLVER.GAMMA": [-1, "x"],
    "SOLVER.LR_SCHEDULER_NAME": ["Cosine", 3, ""],
    "SOLVER.CHECKPOINT_PERIOD": [0, -5, "never"],
    "TEST.EVAL_PERIOD": [-3, "never"],
    "TEST.DETECTIONS_PER_IMAGE": [0, -1, "all"],
    "TEST.AUG": [{"ENABLED": True}],
    "DATALOADER.NUM_WORKERS": [-1, "two", 1.5],
    "INPUT.MIN_SIZE_TRAIN": [[], 48, "48", [-48], ["a"]],
    "INPUT.MIN_SIZE_TEST": [-1, [48], "big"],
    "INPUT.FORMAT": ["BRG", 3, ""],
    "INPUT.MASK_FORMAT": ["rle", 1],
    "INPUT.RANDOM_FLIP": ["both", True],
    "INPUT.CROP": [{"ENABLED": True, "SIZE": [-1, 4]}, {"ENABLED": True, "TYPE": "x"}, 3],
    "MODEL.ROI_HEADS": [{"NUM_CLASSES": 0}, {"NUM_CLASSES": 80}, {"NUM_CLASSES": -3}, 3],
    "MODEL.MASK_POINT_HEAD.TRAIN_NUM_POINTS": [0, -1, "49 points", 49.5],
    "MODEL.MASK_POINT_HEAD.OVERSAMPLE_RATIO": [0.5, -1, "3x"],
    "MODEL.MASK_POINT_HEAD.IMPORTANCE_SAMPLE_RATIO": [1.5, -0.1],
    "MODEL.MASK_POINT_HEAD.SUBDIVISION_STEPS": [-2, 2.5, "three"],
    "MODEL.MASK_POINT_HEAD.SUBDIVISION_NUM_POINTS": [0, -784],
    "MODEL.MASK_POINT_HEAD.IN_FEATURES": [[], "p2", ["p9"], ["p2", "p2"], [2]],
    "MODEL.MASK_POINT_HEAD.FC_DIM": [0, -4, "wide"],
    "MODEL.META_ARCHITECTURE": ["RCNN", 1, ""],
    "MODEL.DEVICE": ["gpu", "cuda:x", 0],
    "MODEL.WEIGHTS": ["no.pth", 3, "instance.yaml"],
    "MODEL.MASK_ON": ["yes please", 1, None],
    "MODEL.ANCHOR_GENERATOR": [{"SIZES": [8]}, {"SIZES": []}, {"SIZES": "8"}],
    "DATASETS.TRAIN": ["fuzz_train", [], ["fuzz_trian"], [3], None, ["fuzz_train", "fuzz_train"]],
    "DATASETS.TEST": ["fuzz_val", ["no"], None],
    "DATASETS.DESCRIPTIONS": ["instance.yaml", [], ["no.yaml"], ["train_instance.yaml"], [None]],
    "OUTPUT_DIR": ["instance.yaml", 3, None],
    "SEED": ["one", 1.5],
    "CUDNN_BENCHMARK": ["maybe"],
    "MODEL": [None, 3, [], "x"],
    "MODEL.MASK_POINT_HEAD.TRAIN_NUM_POINT": [49],
    "MODLE": [{"MASK_ON": True}],
    "_BASE_": ["train_instance.yaml", "no.yaml", ["base_instance.yaml"], 3, None, ".", "val.json"],
}
BASES: dict[str, Callable[[bytes], bytes]] = {
    "the file above it": lambda data: b"_BASE_: train_instance.yaml\n",
    "itself": lambda data: b"_BASE_: base_instance.yaml\n",
    "empty": lambda data: b"",
    "a list": lambda data: b"[1, 2]\n",
    "a text": lambda data: b"hello\n",
    "not UTF-8": lambda data: b"SEED: \xff\xfe\n",
    "a repeated key": lambda data: data + b"SEED: 2\nSEED: 3\n",
    "an unknown key": lambda data: data + b"SEEED: 2\n",
    "a tab": lambda data: b"MODEL:\n\tMASK_ON: True\n",
}
KEYS: dict[str, list[Any]] = {  # of descriptions
    "name": ["fuzz val", "", 7, "other", None, "../x", ["fuzz"]],
    "task": ["instance", "semantic", "panoptic", "Instance", True, ["instance"], {}],
    "root": ["no", "..", "/", "", 3, None, "./train"],
    "classes": [["disc", "box"], ["disc", "disc", "tri"], ["box", "disc", "tri"], "disc", [1, 2, 3],
                [True, "box", "tri"], [], None, {"0": "disc"}, ["disc", "box", "tri", "x"]],
    "ignore_value": [0, 2, 3, -1, 254, 300, "255", 70000, None, 255.0, True],
    "image_suffix": ["png", ".jpg", "", 3, "_0.png", "*"],
    "label_suffix": ["png", ".tif", ""],
    "colors": [[[0, 0, 0]], [[0, 0, 0], [0, 0, 0], [1, 1, 1]], "red", [[0, 0, 300]] * 3, None],
    "splits": [[], {}, None, "train", {"train": "train"}, {"train": {"images": "train"}}],
    "mask": [1],
}  # fmt: skip


def _last_node(text: str) -> str:
    return [line for line in text.splitlines() if line[:1] != " " and line.endswith(":")][-1]


# What means something else than it seems to, or nothing.
ODD: dict[str, Callable[[str], str]] = {
    "a node again": lambda text: f"{text}{_last_node(text)}\n  x: 1\n",
    "a last value again": lambda text: f"{text}{text.splitlines()[-1]}0\n",
    "a first value again": lambda text: f"{text}{text.splitlines()[0]}\n",
    "a tab": lambda text: text.replace("\n  ", "\n\t", 1),
    "tabs": lambda text: text.replace("  ", "\t"),
    "a Python tag": lambda text: f"{text}X: !!python/object/apply:os.getcwd []\n",
    "an unknown tag": lambda text: f"{text}X: !thing 3\n",
    "an alias to nothing": lambda text: f"{text}X: *nothing\n",
    "an alias to itself": lambda text: f"{text}X: &x [*x]\n",
    "two documents": lambda text: f"{text}---\n{text}",
    "a list": lambda text: f"- {text.splitlines()[0]}\n",
    "a text": lambda text: "hello\n",
    "a colon": lambda text: text.replace(": ", ":", 1),
    "an open quote": lambda text: f'{text}X: "abc\n',
    "a merge key": lambda text: f"{text}<<: {{X: 1}}\n",
    "a key that is a list": lambda text: f"{text}? [a, b]\n: 1\n",
    "a key that is a number": lambda text: f"{text}3: 1\n",
    "a key that is null": lambda text: f"{text}~: 1\n",
    "JSON": lambda text: json.dumps(yaml.safe_load(text)),
}


def _assignments(values: dict[str, list[Any]]) -> dict[str, Change]:
    """Return a change for each key and value; a mapping changes a mapping that is there."""

    def change_to(path: str, value: Any) -> Change:
        def change(rng: Random, content: dict) -> None:
            *nodes, leaf = path.split(".")
            for name in nodes:
                content = content.setdefault(name, {})
            old = content.get(leaf)
            is_part = isinstance(value, dict) and isinstance(old, dict)
            content[leaf] = {**old, **value} if is_part and "." in path else value

        return change

    return {f"{k} = {v!r}": change_to(k, v) for k, some in values.items() for v in some}


def _mutators(name: str, values: dict[str, list[Any]]) -> list[Mutator]:
    own = _assignments(values)
    odd = {title: lambda rng, text, t=title: ODD[t](text) for title in ODD}
    texts = mutators_of(name, odd, Path.read_text, Path.write_text)
    trees = [tree_mutator(name)] * (len(own) // 2)
    return [*mutators_of(name, own), *texts, *bytes_mutators(name), *trees]


def config_mutators() -> list[Mutator]:
    changes = {f"is {t}": lambda rng, data, t=t: BASES[t](data) for t in BASES}
    bases = mutators_of("base_instance.yaml", changes, Path.read_bytes, Path.write_bytes)
    return [*_mutators("train_instance.yaml", WRONG), *bases]


def description_mutators(name: str) -> list[Mutator]:
    return _mutators(name, KEYS)


# ---- oracles


def reads_as_written(project: Path, result: dict[str, Any]) -> bool:
    """Tell whether the configuration in use is what its file says, and nothing is out of range."""
    content = _strictly_read(project / "train_instance.yaml")
    base = load_cfg(project / content.pop("_BASE_")) if "_BASE_" in content else load_cfg()
    stated = dict(leaves(content))
    expected = {**dict(leaves(base)), **stated}
    return all(_listed(expected[key]) == _listed(value) for key, value in result.items()) and all(
        _is_sane(key, value) for key, value in stated.items()
    )


def _listed(value: Any) -> Any:
    """Make tuples lists, and texts of numbers, as YAML reads 1e4, numbers."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return list(map(_listed, value)) if isinstance(value, list | tuple) else value


def _is_sane(key: str, value: Any) -> bool:
    if any(type(value) is type(wrong) and value == wrong for wrong in WRONG.get(key, ())):
        return False
    return not isinstance(value, float | int) or (math.isfinite(value) and value >= 0)


def is_plausible_description(file: Path) -> bool:
    """Tell whether a description is right, though it may say something else."""
    content = _strictly_read(file)
    classes, is_instance = content.get("classes", [*CATEGORIES.values()]), "instance" in file.name
    keys = {"images", "annotations" if is_instance else "labels"}
    return (
        content["task"] == file.stem
        and len(set(classes)) == len(classes) == len(CATEGORIES)
        and all(isinstance(name, str) and name for name in classes)
        and (not is_instance or classes == [*CATEGORIES.values()])
        and content.get("ignore_value", 255) == 255
        and all(set(split) == keys for split in content["splits"].values())
    )


class _Strict(yaml.SafeLoader):
    """Refuses repeated keys."""


def _mapping(loader: _Strict, node: yaml.MappingNode) -> dict:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    if len(set(map(str, keys))) != len(keys):
        raise ValueError("repeated key")
    return {k: loader.construct_object(v, True) for k, (_, v) in zip(keys, node.value, strict=True)}


_Strict.add_constructor("tag:yaml.org,2002:map", _mapping)


def _strictly_read(file: Path) -> Any:
    return yaml.load(file.read_text(encoding="utf-8"), _Strict)
