"""Where the weights are in files as training frameworks write them."""

import argparse
import logging
import time
from contextlib import suppress

import pytest
import torch
from torchvision.models import resnet18

from pointrend_ext.checkpoint import WeightsFileError, find_weights, to_detectron2_names
from pointrend_ext.engine import LoadOptions
from pointrend_ext.engine.command_line import add_load_arguments, load_options
from tests.checkpoint.helpers import assert_same

MODEL = ["backbone.bottom_up.stem.conv1.weight", "roi_heads.box_head.fc1.weight"]
STATE = {name: torch.full((2,), i) for i, name in enumerate(MODEL)}
AVERAGE = {name: value + 10 for name, value in STATE.items()}
RESNET = {
    name: torch.full((1,), float(i))
    for i, name in enumerate(n for n in resnet18().state_dict() if not n.startswith("fc."))
}


def under(prefix, state=STATE):
    return {f"{prefix}{name}": value for name, value in state.items()}


# ---- prefixes and containers


@pytest.mark.parametrize(
    "wrapper", ["", "module.", "model.", "module.model.", "_orig_mod.module.", "net.", "a.b.c."]
)
@pytest.mark.parametrize("container", [None, "state_dict", "model_state", "net", "ema"])
def test_whatever_stands_before_all_names_is_removed(wrapper, container):
    data = {container: under(wrapper), "epoch": 3} if container else under(wrapper)
    got = find_weights(data, "file", MODEL)
    assert_same(got.state, STATE)
    assert got.extras == ({"epoch": 3} if container else {})
    assert got.place == f"{container or ''}.{wrapper}".strip(".")
    assert (got.beside, got.others) == ((), ())


SHARED = {"model": STATE, "ema": STATE, "teacher": {"module": under("m.")}}
SHARED["student"] = {"module": SHARED["teacher"]["module"]}


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("ema", "ema"),
        ("model", "model"),
        ("student", "student.module.m"),
        ("teacher.module", "teacher.module.m"),
        ("student.module.m", "student.module.m"),
        ("", "model"),
    ],
)
def test_one_dictionary_under_several_names(key, place):
    """As before the first step of averaging, where both are one."""
    got = find_weights(SHARED, "file", MODEL, key=key)
    assert got.place == place
    assert_same(got.state, STATE)
    with pytest.raises(WeightsFileError, match="no weights of a known kind under 'emas'"):
        find_weights(SHARED, "file", MODEL, key="emas")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"state_dict": under("model.") | {"criterion.weight": torch.ones(6)}}, "state_dict.model"),
        ({"a": {"b": {"c": {"module": STATE}}}}, "a.b.c.module"),
        ({"model": STATE, "rng": torch.ones(9), "optimizer": {"state": {0: {"m": 1}}}}, "model"),
        ({"model": STATE, "state_dict": STATE | {}}, "model"),  # as ever, the first of the list
        ({"EMA.x": under("model.")}, "EMA.x.model"),
    ],
)
def test_weights_among_other_things(data, place):
    got = find_weights(data, "file", MODEL)
    assert got.place == place
    assert_same(got.state, STATE)


MOCO = under("module.encoder_q.", RESNET) | under(
    "module.encoder_k.", RESNET | {"x": RESNET["bn1.bias"]}
)
FOUND = {
    "torchvision": (RESNET, ""),
    "MoCo": (MOCO | {"module.queue": torch.ones(3)}, "module.encoder_q"),
    "MoCo v3": (
        under("module.base_encoder.", RESNET) | under("module.momentum_encoder.", RESNET),
        "module.base_encoder",
    ),
    "Barlow Twins": (
        {
            "model": under("module.backbone.", RESNET)
            | {"module.projector.0.weight": RESNET["conv1.weight"]}
        },
        "model.module.backbone",
    ),
    "DETR": (
        {"model": under("backbone.0.body.", RESNET) | {"class_embed.weight": torch.ones(2)}},
        "model.backbone.0.body",
    ),
    "mmdetection": (
        {"meta": {}, "state_dict": under("backbone.", RESNET) | {"neck.a": torch.ones(2)}},
        "state_dict.backbone",
    ),
    "torchvision segmentation": (
        under("backbone.", RESNET) | {"classifier.4.weight": torch.ones(2)},
        "backbone",
    ),
    "Lightning": ({"state_dict": under("model.encoder.", RESNET)}, "state_dict.model.encoder"),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_resnet_is_found_in_larger_networks(name):
    data, place = FOUND[name]
    got = find_weights(data, "file", MODEL)
    assert got.place == place
    assert_same(got.state, RESNET)
    assert to_detectron2_names(got.state, MODEL).format == "torchvision ResNet"


def test_mask2former_has_detectron2s_resnet_elsewhere():
    resnet = {"stem.conv1.weight": torch.ones(2), "res2.0.conv1.weight": torch.ones(3)}
    data = {"model": under("backbone.", resnet) | {"sem_seg_head.predictor.x": torch.ones(1)}}
    got = find_weights(data, "file", MODEL)
    assert (got.place, got.beside) == ("model.backbone", ("sem_seg_head.predictor.x",))
    assert_same(got.state, resnet)


def test_dino_has_two_and_the_user_says_which():
    data = {"student": under("module.backbone.", RESNET), "teacher": under("backbone.", RESNET)}
    text = r"'student.module.backbone', 'teacher.backbone': .*--weights-key"
    with pytest.raises(WeightsFileError, match=text):
        find_weights(data, "file", MODEL)
    assert find_weights(data, "file", MODEL, key="teacher").place == "teacher.backbone"


# ---- averages


@pytest.mark.parametrize(
    ("plain", "average"),
    [
        ("model", "ema"),
        ("model", "ema_state"),
        ("model", "model_ema"),
        ("state_dict", "state_dict_ema"),
        ("state_dict", "ema_state_dict"),
        ("net", "net_ema"),
        ("model", "swa_model"),
        ("model", "averaged_model"),
    ],
)
@pytest.mark.parametrize("wrapper", ["", "module."])
def test_averages_are_mentioned_and_can_be_chosen(caplog, plain, average, wrapper):
    data = {average: under(wrapper, AVERAGE), plain: STATE, "epoch": 1}
    got = find_weights(data, "w.pth", MODEL)
    assert_same(got.state, STATE)
    got.log("w.pth")
    place = f"{average}.{wrapper}".strip(".")
    assert f"w.pth also holds averaged weights, under '{place}'" in caplog.text
    assert f"--weights-key {place}" in caplog.text
    for key in (place, average):
        got = find_weights(data, "w.pth", MODEL, key=key)
        assert_same(got.state, AVERAGE)
        assert got.extras == {plain: STATE, "epoch": 1}


def test_averages_of_a_callback_and_in_one_dictionary(caplog):
    data = {"state_dict": STATE, "callbacks": {"EMACallback": {"weights": AVERAGE}}}
    got = find_weights(data, "file", MODEL)
    assert (got.place, got.others) == ("state_dict", ("callbacks.EMACallback.weights",))
    both = under("model.") | under("model_ema.module.", AVERAGE)
    got = find_weights({"state_dict": both}, "file", MODEL)
    assert (got.place, got.others) == ("state_dict.model", ("state_dict.model_ema.module",))
    assert_same(got.state, STATE)
    caplog.set_level(logging.INFO, logger="pointrend_ext")
    got.log("file")
    assert "are taken from 'state_dict.model'" in caplog.text


def test_words_that_contain_ema_are_no_averages():
    assert find_weights({"schema": STATE, "ema": AVERAGE}, "file", MODEL).place == "schema"
    assert find_weights({"cinema": STATE}, "file", MODEL).others == ()


@pytest.mark.parametrize("key", ["em", "ema.x", "optimizer"])
def test_a_wrong_key_is_refused_with_those_that_there_are(key):
    text = rf"file holds no weights of a known kind under '{key}'.* under 'ema', 'model'"
    with pytest.raises(WeightsFileError, match=text):
        find_weights({"model": STATE, "ema": AVERAGE}, "file", MODEL, key=key)


def test_the_option_reaches_the_loader(make_model, files, load):
    parser = argparse.ArgumentParser()
    add_load_arguments(parser)
    options = load_options(parser.parse_args(["--weights-key", "ema"]))
    assert options == LoadOptions(weights_key="ema")
    raw, average = (make_model("mask_rcnn", seed=seed).state_dict() for seed in (1, 2))
    model, path = make_model("mask_rcnn"), files.pth({"model": raw, "ema": {"module": average}})
    load(model, path)
    assert_same(model.state_dict(), raw)
    load(model, path, **vars(options))
    assert_same(model.state_dict(), average)


# ---- what is no weights, and attacks

ENDLESS: dict = {"epoch": 3}
ENDLESS["model"] = ENDLESS["other"] = ENDLESS


@pytest.mark.parametrize("data", [[1], {}, {"epoch": 3}, {"model": {}}, {"model": 3}, ENDLESS])
def test_files_without_weights_are_refused(data):
    with pytest.raises(WeightsFileError, match="file holds no tensors"):
        find_weights(data, "file", MODEL)


def test_a_dictionary_that_holds_itself():
    data = dict(STATE)
    data["model"] = data["ema"] = data
    got = find_weights(data, "file", MODEL)
    assert (got.place, got.others) == ("", ())
    assert_same(got.state, STATE)


@pytest.mark.parametrize(
    "names",
    [
        [f"p{i}.layer1.0.conv1.weight" for i in range(20_000)],
        [f"p{i}.{end}" for i in range(10_000) for end in ("layer1.0.conv1.weight", "bn1.bias")],
        [f"p{i}.{MODEL[0]}" for i in range(20_000)],
        ["a." * 500_000 + "b"] * 1,
        ["res2." * 12 + f"{i}" for i in range(20_000)],
    ],
)
def test_many_names_take_linear_time(names):
    start = time.process_time()
    state = dict.fromkeys(names, torch.ones(1))
    with suppress(WeightsFileError):  # several places, or one parameter twice
        got = find_weights({"model": state}, "file", MODEL)
        to_detectron2_names(got.state, MODEL)
    assert time.process_time() - start < 5
