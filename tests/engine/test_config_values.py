"""Values of files and of the command line: what is read, and how a message says to write it."""

import math
import re

import pytest

from pointrend_ext.engine import load_cfg
from pointrend_ext.engine.config_values import fitting_value


def value_of(key, cfg):
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


RIGHT = [  # key, word, value
    ("SOLVER.BASE_LR", "1", 1.0),
    ("SOLVER.BASE_LR", "1e-3", 0.001),
    ("SOLVER.MAX_ITER", "1e4", 10000),
    ("SOLVER.MAX_ITER", "300.0", 300),
    ("SOLVER.MAX_ITER", " 5 ", 5),
    ("SEED", "9007199254740993", 2**53 + 1),
    ("SOLVER.STEPS", "(1e3, 2000)", (1000, 2000)),
    ("SOLVER.STEPS", "[500]", (500,)),
    ("SOLVER.STEPS", "()", ()),
    ("SOLVER.STEPS", "500, 600", (500, 600)),
    ("MODEL.MASK_ON", "false", False),
    ("MODEL.MASK_ON", "Yes", True),
    ("OUTPUT_DIR", "2024", "2024"),
    ("OUTPUT_DIR", "'a b'", "a b"),
    ("OUTPUT_DIR", "(1, 2)", "(1, 2)"),
    ("DATASETS.TRAIN", "('a',)", ("a",)),
    ("DATASETS.TRAIN", "['a', 'b']", ("a", "b")),
    ("MODEL.PIXEL_MEAN", "(1, 2, 3)", [1, 2, 3]),
    ("MODEL.ANCHOR_GENERATOR.SIZES", "[[32.5], [64]]", [[32.5], [64]]),
    ("MODEL.ANCHOR_GENERATOR.SIZES", "[32, 64]", [32, 64]),
    ("INPUT.CROP.SIZE", "(512, 1024)", [512, 1024]),
    ("INPUT.CROP.SIZE", "(0.5, 1)", [0.5, 1]),
    ("SOLVER.WEIGHT_DECAY_BIAS", "None", None),
    ("SOLVER.WEIGHT_DECAY_BIAS", "0", 0.0),
    ("SOLVER.CLIP_GRADIENTS.NORM_TYPE", "inf", math.inf),
    ("TEST.EXPECTED_RESULTS", "[['bbox', 'AP', 38.5, 0.2]]", [["bbox", "AP", 38.5, 0.2]]),
    ("MODEL.ROI_BOX_CASCADE_HEAD.IOUS", "[0.5, 0.6]", (0.5, 0.6)),
]


@pytest.mark.parametrize(("key", "word", "value"), RIGHT)
def test_words_of_the_command_line(key, word, value):
    got = value_of(key, load_cfg(opts=[key, word]))
    assert (got, type(got)) == (value, type(value))
    if isinstance(value, list | tuple):
        assert [type(item) for item in got] == [type(item) for item in value]


WRONG = [  # key, word, what is needed, how to write it
    ("SOLVER.MAX_ITER", "1.5", "a whole number", "2"),
    ("SOLVER.MAX_ITER", "0.4", "a whole number", "1"),
    ("SOLVER.MAX_ITER", "many", "a whole number", "40000"),
    ("SOLVER.MAX_ITER", "None", "a whole number", "40000"),
    ("SOLVER.MAX_ITER", "True", "a whole number", "40000"),
    ("SOLVER.MAX_ITER", "1e999", "a whole number", "40000"),
    ("SOLVER.MAX_ITER", str(2**63), "a whole number", "40000"),
    ("SOLVER.MAX_ITER", "(5,)", "a whole number", "40000"),
    ("SOLVER.BASE_LR", "fast", "a number", "0.001"),
    ("SOLVER.BASE_LR", "nan", "a number", "0.001"),
    ("SOLVER.BASE_LR", "inf", "a number", "0.001"),
    ("MODEL.MASK_ON", "3", "True or False", "False"),
    ("MODEL.MASK_ON", "1", "True or False", "True"),
    ("MODEL.MASK_ON", "maybe", "True or False", "False"),
    ("MODEL.FPN.NORM", "None", "text", "\"''\""),
    ("DATASETS.TRAIN", "my_train", "a tuple of texts", "\"('my_train',)\""),
    ("DATASETS.TRAIN", "a,b", "a tuple of texts", "\"('a', 'b')\""),
    ("DATASETS.TRAIN", "[a, b]", "a tuple of texts", "\"('a', 'b')\""),
    ("DATASETS.TRAIN", "('a', 5)", "a tuple of texts", "\"('name',)\""),
    ("DATASETS.TRAIN", "5", "a tuple of texts", "\"('name',)\""),
    ("SOLVER.STEPS", "500", "a tuple of whole numbers", '"(500,)"'),
    ("SOLVER.STEPS", "(1.5,)", "a tuple of whole numbers", '"(30000,)"'),
    ("SOLVER.STEPS", "('a',)", "a tuple of whole numbers", '"(30000,)"'),
    ("SOLVER.STEPS", "((1,), 2)", "a tuple of whole numbers", '"(30000,)"'),
    ("MODEL.PIXEL_STD", "[1, nan]", "a list of numbers", '"[1.0, 1.0, 1.0]"'),
    ("MODEL.RESNETS.OUT_FEATURES", "res5", "a list of texts", "\"['res5']\""),
    ("MODEL.RPN.BBOX_REG_WEIGHTS", "{}", "a tuple of numbers", '"(1.0, 1.0, 1.0, 1.0)"'),
    ("SOLVER.WEIGHT_DECAY_BIAS", "small", "a number", "0.0"),
    ("MODEL.ANCHOR_GENERATOR.SIZES", "[[32], 'a']", "a list of lists of numbers", None),
]


@pytest.mark.parametrize(("key", "word", "need", "line"), WRONG)
def test_the_line_to_write(key, word, need, line):
    with pytest.raises(ValueError, match=key) as caught:
        load_cfg(opts=[key, word])
    text = str(caught.value)
    start = f"{key} is {word!r}, but {need} is needed. Write it like this: {key} "
    assert text.startswith(start)
    if line is not None:
        assert text == start + line
        load_cfg(opts=[key, line.strip('"')])  # what a shell makes of it can be read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SOLVER: {BASE_LR: fast}", "my.yaml: SOLVER.BASE_LR is 'fast', .* like this: BASE_LR: 0"),
        ("DATASETS: {TRAIN: a}", "TRAIN is 'a', but a tuple of .* this: TRAIN: ('a',)$"),
        ("OUTPUT_DIR: 2024", 'OUTPUT_DIR is 2024, but text is .* this: OUTPUT_DIR: "2024"$'),
        ("OUTPUT_DIR: 2024-01-01", "OUTPUT_DIR is datetime.*, but text is needed"),
        ("SEED: {A: 1}", r"Unknown .*SEED.A .SEED is a value; no key can stand below it"),
        ("SEED: {}", "SEED is {}, but a whole number is needed"),
        ("MODEL: [1]", r"MODEL is a section of the configuration, but is given \[1\]"),
        ("SOLVER: {MAX_ITER: .nan}", "MAX_ITER is nan, but a whole number"),
    ],
)
def test_values_of_a_file(tmp_path, text, message):
    path = tmp_path / "my.yaml"
    path.write_text(f"{text}\n")
    with pytest.raises(ValueError, match=message.replace("('a',)", re.escape("('a',)"))):
        load_cfg(path)


def test_what_yaml_leaves_as_text(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text(
        "SOLVER: {MAX_ITER: 1e4, BASE_LR: 1, STEPS: [10, 20]}\nMODEL: {MASK_ON: yes}\n"
        'OUTPUT_DIR: "007"\nDATASETS:\n  TRAIN: ("a", "b")\n  TEST: [a]\n'
    )
    cfg = load_cfg(path)
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR, cfg.SOLVER.STEPS) == (10000, 1.0, (10, 20))
    assert (cfg.MODEL.MASK_ON, cfg.OUTPUT_DIR) == (True, "007")
    assert (cfg.DATASETS.TRAIN, cfg.DATASETS.TEST) == (("a", "b"), ("a",))


def test_values_given_in_python():
    cfg = load_cfg(opts=["DATASETS.TEST", [], "SOLVER.BASE_LR", 1, "MODEL.DEVICE", "cpu"])
    assert (cfg.DATASETS.TEST, cfg.SOLVER.BASE_LR) == ((), 1.0)
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS is 5, but text"):
        load_cfg(opts=["MODEL.WEIGHTS", 5])


def test_unusual_literals_are_text():
    for word in ("{[]: 1}", "(" * 500, "a\0b", "1 +"):
        assert fitting_value("OUTPUT_DIR", word, "") == word


def test_a_long_value_is_cut():
    with pytest.raises(ValueError, match=r"SEED is '1{199}\.\.\., but a whole"):
        load_cfg(opts=["SEED", "1" * 5000])
