"""What is loaded, what must be there, and what the report says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.solver import build_lr_scheduler
from torch import nn

from pointrend_ext.checkpoint import (
    INSTANCE,
    SEMANTIC,
    IncompleteWeightsError,
    PointRendCheckpointer,
    WeightsFileError,
    files,
)
from tests.checkpoint.helpers import assert_same, drop

POINT = "roi_heads.mask_head.point_head."
FOUR = ["person", "car", "dog", "cat"]


# ---- warm starts


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: drop(s, "backbone.bottom_up.res4.1.conv2."), "A backbone .* 5 tensors"),
        (lambda s: drop(s, "backbone."), "A backbone that is not loaded"),
        (lambda s: drop(s, f"{POINT}fc2."), "half loaded, half random: 2 tensors"),
        (lambda s: {**s, f"{POINT}fc2.weight": torch.zeros(8, 9, 1)}, "half loaded.*: 1 tensors"),
        (
            lambda s: {n.replace("mask_head.", "mask_foo_head."): v for n, v in s.items()},
            "beside one of unknown names",
        ),
        (lambda s: {f"x.{name}": value for name, value in s.items()}, "No tensor of the file"),
    ],
)
def test_mixtures_do_not_train(make_model, files, load, change, text):
    path = files.pth(change(make_model("point_rend", seed=3).state_dict()))
    with pytest.raises(IncompleteWeightsError, match=text):
        load(make_model("point_rend"), path, training=True)
    load(make_model("point_rend"), path, training=True, allow_missing=True)


def test_a_batch_counter_may_be_missing(make_model, files, load):
    model = nn.Sequential(nn.BatchNorm2d(2))
    state = {n: v for n, v in model.state_dict().items() if "num_batches" not in n}
    assert load(model, files.pth(state)).names("ignored") == ["0.num_batches_tracked"]


@pytest.mark.parametrize("stored", [None, 5, 3])
def test_class_frequencies_are_the_data_sets(files, load, stored):
    """Detectron2's federated loss keeps them in a buffer; they are computed when it is built."""

    def make(frequencies):
        model = nn.Sequential(nn.Linear(2, 1))
        if frequencies is not None:
            model[0].register_buffer("fed_loss_cls_weights", frequencies)
        return model

    source, model = make(None if stored is None else torch.ones(stored)), make(torch.zeros(3))
    for training in (False, True):
        report = load(model, files.pth(source.state_dict()), training=training)
        assert report.names("ignored") == ["0.fed_loss_cls_weights"]
        assert report.names("loaded") == ["0.weight", "0.bias"]
        assert model[0].fed_loss_cls_weights.tolist() == [0, 0, 0]


def test_shared_parameters_are_not_missing(files, load):
    model = nn.Module()
    model.a = model.b = nn.Linear(2, 2)
    state = {"a.weight": torch.ones(2, 2), "a.bias": torch.zeros(2)}
    assert load(model, files.pth(state)).names("missing") == []


# ---- classes


def test_other_classes_keep_the_point_head(make_model, files, load):
    source, model = make_model("point_rend", seed=3), make_model("point_rend", 2)
    fresh = make_model("point_rend", 2).state_dict()
    report = load(model, files.pth(source.state_dict()), training=True)
    old, got = source.state_dict(), model.state_dict()
    for layer, others in (("fc1", 16), ("fc2", 8), ("fc3", 8)):
        name = f"{POINT}{layer}.weight"
        assert got[name].shape[1] == others + 2
        assert_same(got[name][:, :others], old[name][:, :others])
        assert_same(got[name][:, others:], fresh[name][:, others:])
    assert report.new_parts() == []
    assert len(report.names("partly re-initialised")) == 11
    assert report.names("missing", "shape mismatch", "unexpected") == []
    assert "0 of 2 classes taken from 4, 2 new; all other columns kept" in report.table()
    with pytest.raises(IncompleteWeightsError, match=r"number of classes differs.*NUM_CLASSES"):
        load(make_model("point_rend", 2), files.pth(source.state_dict()))


def test_classes_are_mapped_by_names_in_the_file(make_model, files, load):
    """A subset of the classes is complete, so it may also be evaluated."""
    source, model = make_model("point_rend", seed=3), make_model("point_rend", 2)
    path = files.pth({"model": source.state_dict(), "class_names": {INSTANCE: FOUR}})
    names = {INSTANCE: ["Cat", "person"]}
    report = load(model, path, map_classes=True, class_names=names)
    assert len(report.names("mapped")) == 11
    assert report.names("partly re-initialised", "missing") == []
    old, got = source.state_dict(), model.state_dict()
    name = f"{POINT}predictor.bias"
    assert_same(got[name], old[name][[3, 0]])
    name = "roi_heads.box_predictor.cls_score.weight"
    assert_same(got[name], old[name][[3, 0, 4]])
    name = f"{POINT}fc1.weight"
    assert_same(got[name], old[name][:, [*range(16), 19, 16]])


def test_semantic_classes_are_mapped_by_name(make_model, files, load):
    source, model = (
        make_model("semantic_point_rend", seed=3),
        make_model("semantic_point_rend", 2),
    )
    report = load(
        model,
        files.pth({"model": source.state_dict(), "class_names": {SEMANTIC: FOUR}}),
        training=True,
        map_classes=True,
        class_names={SEMANTIC: ["sky", "dog"]},
    )
    name = "sem_seg_head.coarse_sem_seg_head.predictor.weight"
    fresh = make_model("semantic_point_rend", 2).state_dict()[name]
    expected = torch.stack([fresh[0], source.state_dict()[name][2]])
    assert_same(model.state_dict()[name], expected)
    assert len(report.names("partly re-initialised")) == 5


def test_mapping_needs_names(make_model, files, load):
    state = make_model("point_rend").state_dict()
    path = files.pth(state, "plain.pth")
    named = files.pth({"model": state, "class_names": {INSTANCE: FOUR}})
    options = {"map_classes": True, "training": True}
    with pytest.raises(ValueError, match="instance class names of the weights are not known"):
        load(make_model("point_rend", 2), path, class_names={INSTANCE: FOUR[:2]}, **options)
    with pytest.raises(ValueError, match="3 names are given"):
        load(make_model("point_rend", 2), path, class_names={INSTANCE: FOUR[:3]}, **options)
    with pytest.raises(ValueError, match="names of the model are not known"):
        load(make_model("point_rend", 2), named, **options)


def test_equally_many_other_classes_are_warned_of(make_model, files, load, caplog):
    data = {"model": make_model("point_rend").state_dict(), "class_names": {INSTANCE: FOUR}}
    model, path = make_model("point_rend"), files.pth(data)
    load(model, path, class_names={INSTANCE: FOUR})
    assert caplog.text == ""
    load(model, path, class_names={INSTANCE: FOUR[::-1]})
    assert "weights' instance classes are person, car, dog, cat, the model's cat" in caplog.text
    load(model, path, class_names={INSTANCE: ["ant", "Ant", "bee", "fly"]})  # nothing is mapped
    data["class_names"] = {INSTANCE: [1, 2, 3, 4]}
    load(model, files.pth(data), class_names={INSTANCE: FOUR})


# ---- values


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(make_model, files, load, value):
    state = make_model("point_rend").state_dict()
    state[f"{POINT}fc1.bias"][3] = value
    with pytest.raises(WeightsFileError, match=r"1 tensors hold NaN.*point_head.fc1.bias"):
        load(make_model("point_rend"), files.pth(state), training=True)


def test_large_numbers_are_finite(files, load):
    model = nn.Linear(4, 1)
    load(model, files.pth({"weight": torch.full((1, 4), 3e38), "bias": torch.zeros(1)}))
    assert model.weight.min() == torch.tensor(3e38)


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.complex64])
def test_swapped_types_are_refused(files, load, dtype):
    model = nn.Linear(2, 1)
    state = {"weight": torch.ones(1, 2).to(dtype), "bias": torch.zeros(1)}
    with pytest.raises(WeightsFileError, match=rf"1 tensors have another type.*t \({dtype}\)"):
        load(model, files.pth(state))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.bfloat16])
def test_other_precisions_are_converted(files, load, dtype):
    model = nn.Linear(2, 1)
    load(model, files.pth({"weight": torch.tensor([[1.5, 2]], dtype=dtype), "bias": torch.ones(1)}))
    assert model.weight.tolist() == [[1.5, 2]]
    assert model.weight.dtype == torch.float32


# ---- addresses


def test_absent_files(load, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.pth does not exist; correct MODEL"):
        load(nn.Linear(1, 1), str(tmp_path / "absent.pth"))
    with pytest.raises(FileNotFoundError, match="is a folder"):
        load(nn.Linear(1, 1), str(tmp_path))


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("detectron2://a/model.pkl", "https://dl.fbaipublicfiles.com/detectron2/a/model.pkl"),
        ("https://example.com/a/model.pkl", "https://example.com/a/model.pkl"),
        (
            "catalog://ImageNetPretrained/MSRA/R-50",
            "https://dl.fbaipublicfiles.com/detectron/ImageNetPretrained/MSRA/R-50.pkl",
        ),
    ],
)
def test_without_a_network_the_message_says_where_to_put_the_file(
    load, tmp_path, monkeypatch, address, url
):
    def fail(*_args, **_kwargs):
        raise OSError("no network")

    monkeypatch.setattr("iopath.common.file_io.download", fail)
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no network") as error:
        load(nn.Linear(1, 1), address)
    message = str(error.value)
    assert f"Download {url} elsewhere" in message
    place = message.split("put it at ")[1].split(", or")[0]
    # and there it is found
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    torch.save({"weight": torch.full((1, 1), 7.0), "bias": torch.zeros(1)}, place)
    model = nn.Linear(1, 1)
    load(model, address)
    assert model.weight.item() == 7


def test_unknown_catalogue_entries_and_queries(load, files):
    with pytest.raises(FileNotFoundError, match="not in Detectron2's model catalogue"):
        load(nn.Linear(1, 1), "catalog://nothing")
    with pytest.raises(ValueError, match=r"the query \['x'\]"):
        load(nn.Linear(1, 1), files.pth({"weight": torch.ones(1, 1)}) + "?x=1")


def test_no_path_loads_nothing(load):
    assert load(nn.Linear(1, 1), "") is None


# ---- resuming


def make_training(folder, seed):
    torch.manual_seed(seed)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = build_lr_scheduler(get_cfg(), optimizer)
    checkpointer = PointRendCheckpointer(
        model,
        str(folder),
        for_training=True,
        class_names={INSTANCE: FOUR},
        optimizer=optimizer,
        scheduler=scheduler,
    )

    def step():
        optimizer.zero_grad()
        loss = model(torch.ones(3, 2)).square().sum()
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss.item()

    return checkpointer, step


def test_resuming_restores_everything_without_code(tmp_path):
    checkpointer, step = make_training(tmp_path, 0)
    losses = [step() for _ in range(3)]
    checkpointer.save("model_2", iteration=2)
    losses += [step() for _ in range(3)]
    resumed, step = make_training(tmp_path, 1)
    extra = resumed.resume_or_load("", resume=True)
    assert extra == {"iteration": 2, "class_names": {INSTANCE: FOUR}}
    assert [step() for _ in range(3)] == losses[3:]


def test_a_resumed_training_must_be_complete(tmp_path):
    checkpointer, _ = make_training(tmp_path, 0)
    torch.save({"model": {"weight": torch.ones(1, 2)}}, tmp_path / "model_1.pth")
    checkpointer.tag_last_checkpoint("model_1.pth")
    with pytest.raises(IncompleteWeightsError, match="do not fill the model: 1 tensors, bias"):
        checkpointer.resume_or_load("", resume=True)


def test_a_lost_last_checkpoint_is_explained(tmp_path):
    checkpointer, _ = make_training(tmp_path, 0)
    checkpointer.save("model_1")
    checkpointer.tag_last_checkpoint("model_2.pth")
    with pytest.raises(FileNotFoundError, match=r"names 'model_2.pth'.*found: model_1.pth"):
        checkpointer.resume_or_load("", resume=True)


def test_load_works_again_after_an_error(files):
    checkpointer = PointRendCheckpointer(nn.Linear(2, 1))
    with pytest.raises(IncompleteWeightsError):
        checkpointer.load(files.pth({"weight": torch.ones(1, 2)}))
    checkpointer.load(files.pth({"weight": torch.ones(1, 2), "bias": torch.ones(1)}))
    assert checkpointer.model.bias.item() == 1


# ---- atomic writing


@pytest.mark.parametrize("crash_in", ["torch.save", "os.fsync", "os.replace"])
def test_a_crash_leaves_the_previous_checkpoint(tmp_path, monkeypatch, crash_in):
    checkpointer, step = make_training(tmp_path, 0)
    checkpointer.save("model_final", iteration=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    step()

    class Killed(BaseException):
        pass

    def crash(*args, **_kwargs):
        if crash_in == "torch.save":
            args[1].write(b"half a file")
        raise Killed

    monkeypatch.setattr(crash_in, crash)
    # the process is gone: nothing is cleaned up
    monkeypatch.setattr(Path, "unlink", lambda *_args, **_kwargs: None)
    with pytest.raises(Killed):
        checkpointer.save("model_final", iteration=2)
    monkeypatch.undo()
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after.pop("model_final.pth.tmp") is not None
    assert after == before
    resumed, _ = make_training(tmp_path, 1)
    assert resumed.resume_or_load("", resume=True)["iteration"] == 1
    checkpointer.save("model_final", iteration=3)
    assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "model_final.pth"]
    assert make_training(tmp_path, 1)[0].resume_or_load("", resume=True)["iteration"] == 3


def test_an_error_while_writing_leaves_no_rest(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")

    def write():
        with files.open_atomically(path) as file:
            file.write(b"new")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


def test_the_tag_follows_the_file(tmp_path, monkeypatch):
    """A crash between the two leaves a complete previous state."""
    checkpointer, _ = make_training(tmp_path, 0)
    checkpointer.save("model_1", iteration=1)
    monkeypatch.setattr(PointRendCheckpointer, "tag_last_checkpoint", lambda *_: None)
    checkpointer.save("model_2", iteration=2)
    assert (tmp_path / "last_checkpoint").read_text() == "model_1.pth"
    assert (tmp_path / "model_2.pth").is_file()


def test_other_processes_write_nothing(tmp_path):
    PointRendCheckpointer(nn.Linear(1, 1), str(tmp_path), save_to_disk=False).save("x")
    assert os.listdir(tmp_path) == []
