"""What is loaded, what must be there, and what the report says."""

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
    ],
)
def test_mixtures_do_not_train(make_model, files, load, change, text):
    path = files.pth(change(make_model("point_rend", seed=3).state_dict()))
    with pytest.raises(IncompleteWeightsError, match=text):
        load(make_model("point_rend"), path, training=True)
    load(make_model("point_rend"), path, training=True, allow_missing=True)


@pytest.mark.parametrize("stored", [None, 5, 3])
def test_class_frequencies_are_the_data_sets(files, load, stored):
    """Detectron2's federated loss keeps them in a buffer; they are computed when it is built."""
    model, state = nn.Sequential(nn.Linear(2, 1)), {"0.weight": torch.ones(1, 2)}
    state["0.bias"] = torch.ones(1)
    model[0].register_buffer("fed_loss_cls_weights", torch.zeros(3))
    if stored is not None:
        state["0.fed_loss_cls_weights"] = torch.ones(stored)
    for training in (False, True):
        report = load(model, files.pth(state), training=training)
        assert report.names("ignored") == ["0.fed_loss_cls_weights"]
        assert report.names("loaded") == ["0.weight", "0.bias"]
        assert model[0].fed_loss_cls_weights.tolist() == [0, 0, 0]


def test_batch_counters_and_shared_parameters_are_not_missing(files, load):
    model = nn.Module()
    model.a = model.b = nn.BatchNorm2d(2)
    state = {f"a.{n}": v for n, v in model.a.state_dict().items() if "num_batches" not in n}
    report = load(model, files.pth(state))
    assert report.names("missing") == []
    assert report.names("ignored")[0] == "a.num_batches_tracked"


# ---- classes


def test_other_classes_keep_the_point_head(make_model, files, load):
    old, model = make_model("point_rend", seed=3).state_dict(), make_model("point_rend", 2)
    fresh, path = make_model("point_rend", 2).state_dict(), files.pth(old)
    with pytest.raises(IncompleteWeightsError, match=r"number of classes differs.*NUM_CLASSES"):
        load(model, path)
    report = load(model, path, training=True)
    got = model.state_dict()
    for layer, others in (("fc1", 16), ("fc2", 8), ("fc3", 8)):
        name = f"{POINT}{layer}.weight"
        assert_same(got[name], torch.cat([old[name][:, :others], fresh[name][:, others:]], dim=1))
    assert report.new_parts() == []
    assert len(report.names("partly re-initialised")) == 11
    assert report.names("missing", "shape mismatch", "unexpected") == []
    assert "0 of 2 classes taken from 4, 2 new; all other columns kept" in report.table()


def test_classes_are_mapped_by_names_in_the_file(make_model, files, load):
    """A subset of the classes is complete, so it may also be evaluated."""
    old, model = make_model("point_rend", seed=3).state_dict(), make_model("point_rend", 2)
    path = files.pth({"model": old, "class_names": {INSTANCE: FOUR}})
    report = load(model, path, map_classes=True, class_names={INSTANCE: ["Cat", "person"]})
    assert len(report.names("mapped")) == 11
    assert report.names("partly re-initialised", "missing") == []
    got, score = model.state_dict(), "roi_heads.box_predictor.cls_score.weight"
    assert_same(got[f"{POINT}predictor.bias"], old[f"{POINT}predictor.bias"][[3, 0]])
    assert_same(got[score], old[score][[3, 0, 4]])
    columns = [*range(16), 19, 16]
    assert_same(got[f"{POINT}fc1.weight"], old[f"{POINT}fc1.weight"][:, columns])


def test_semantic_classes_are_mapped_by_name(make_model, files, load):
    kind, name = "semantic_point_rend", "sem_seg_head.coarse_sem_seg_head.predictor.weight"
    state, model = make_model(kind, seed=3).state_dict(), make_model(kind, 2)
    fresh = model.state_dict()[name].clone()
    path = files.pth({"model": state, "class_names": {SEMANTIC: FOUR}})
    names = {SEMANTIC: ["sky", "dog"]}
    report = load(model, path, training=True, map_classes=True, class_names=names)
    assert_same(model.state_dict()[name], torch.stack([fresh[0], state[name][2]]))
    assert len(report.names("partly re-initialised")) == 5


@pytest.mark.parametrize(
    ("stored", "names", "text"),
    [
        (None, {INSTANCE: FOUR[:2]}, "instance class names of the weights are not known"),
        (None, {INSTANCE: FOUR[:3]}, "3 names are given"),
        (FOUR, {}, "names of the model are not known"),
    ],
)
def test_mapping_needs_names(make_model, files, load, stored, names, text):
    state = make_model("point_rend").state_dict()
    path = files.pth({"model": state, "class_names": {INSTANCE: stored}})
    with pytest.raises(ValueError, match=text):
        load(make_model("point_rend", 2), path, map_classes=True, class_names=names)


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


def linear_state(weight=((1.5, 2.0),), dtype=torch.float32):
    return {"weight": torch.tensor(weight, dtype=dtype), "bias": torch.ones(1)}


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (float("nan"), torch.float32, "hold NaN or infinite values"),
        (float("inf"), torch.float32, "hold NaN or infinite values"),
        (2, torch.int32, "have another type than the model's"),
        (2, torch.bool, "have another type than the model's"),
        (2, torch.complex64, "have another type than the model's"),
    ],
)
def test_values_that_are_no_weights_are_refused(files, load, value, dtype, text):
    path = files.pth(linear_state([[1, value]], dtype))
    with pytest.raises(WeightsFileError, match=rf"pth: 1 tensors {text}.* weight \({dtype}\)"):
        load(nn.Linear(2, 1), path, training=True)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (3e38, torch.float32),  # two of them have an infinite sum
        *((2, dtype) for dtype in (torch.float16, torch.float64, torch.bfloat16)),
    ],
)
def test_large_numbers_and_other_precisions_are_loaded(files, load, value, dtype):
    model = nn.Linear(2, 1)
    load(model, files.pth(linear_state([[value, value]], dtype)))
    assert_same(model.weight.data, torch.full((1, 2), value, dtype=torch.float32))


# ---- addresses


@pytest.mark.parametrize(
    ("path", "error", "text"),
    [
        (
            "{}/absent.pth",
            FileNotFoundError,
            r"absent.pth does not exist; correct MODEL.*last_checkpoint",
        ),
        ("{}", FileNotFoundError, "is a folder"),
        ("catalog://nothing", FileNotFoundError, "not in Detectron2's model catalogue"),
        ("{}/weights.pth?x=1", ValueError, r"the query 'x=1'"),
    ],
)
def test_mistaken_paths(load, files, path, error, text):
    files.pth(linear_state())
    with pytest.raises(error, match=text):
        load(nn.Linear(2, 1), path.format(files.folder))


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
        load(nn.Linear(2, 1), address)
    message = str(error.value)
    assert f"Download {url} elsewhere" in message
    place = Path(message.split("put it at ")[1].split(", or")[0])
    # and there it is found
    place.parent.mkdir(parents=True, exist_ok=True)
    torch.save(linear_state(), place)
    model = nn.Linear(2, 1)
    load(model, address)
    assert model.weight.tolist() == [[1.5, 2]]


def test_no_path_loads_nothing(load):
    assert load(nn.Linear(1, 1), "") is None


# ---- resuming


def make_training(folder, seed):
    torch.manual_seed(seed)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = build_lr_scheduler(get_cfg(), optimizer)
    options = {"for_training": True, "class_names": {INSTANCE: FOUR}}
    options |= {"optimizer": optimizer, "scheduler": scheduler}
    checkpointer = PointRendCheckpointer(model, str(folder), **options)

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
    states: dict[str, dict] = {key: {} for key in checkpointer.checkpointables}
    incomplete = {"model": {"weight": torch.ones(1, 2)}}
    torch.save({**incomplete, **states}, tmp_path / "model_1.pth")
    checkpointer.tag_last_checkpoint("model_1.pth")
    with pytest.raises(IncompleteWeightsError, match="do not fill the model: 1 tensors, bias"):
        checkpointer.resume_or_load("", resume=True)
    torch.save(incomplete, tmp_path / "model_1.pth")
    with pytest.raises(ValueError, match=r"model_1\.pth holds weights, but no '"):
        checkpointer.resume_or_load("", resume=True)
    checkpointer.tag_last_checkpoint("model_2.pth")
    with pytest.raises(FileNotFoundError, match=r"model_2.pth does not exist.*last_checkpoint"):
        checkpointer.resume_or_load("", resume=True)


def test_load_works_again_after_an_error(files):
    checkpointer = PointRendCheckpointer(nn.Linear(2, 1))
    with pytest.raises(IncompleteWeightsError):
        checkpointer.load(files.pth({"weight": torch.ones(1, 2)}))
    checkpointer.load(files.pth(linear_state()))
    assert checkpointer.model.bias.item() == 1


# ---- atomic writing


@pytest.mark.parametrize("crash_in", ["torch.save", "os.fsync", "os.replace"])
def test_a_crash_leaves_the_previous_checkpoint(tmp_path, monkeypatch, crash_in):
    checkpointer, step = make_training(tmp_path, 0)
    checkpointer.save("model_final", iteration=0)
    checkpointer.save("model_1", iteration=1)
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
    assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "model_1.pth", "model_final.pth"]
    assert make_training(tmp_path, 1)[0].resume_or_load("", resume=True)["iteration"] == 3


def test_an_error_while_writing_leaves_no_rest(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(TypeError), files.open_atomically(path) as file:
        file.writelines([b"new", "no bytes"])
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


def test_other_processes_write_nothing(tmp_path):
    PointRendCheckpointer(nn.Linear(1, 1), str(tmp_path), save_to_disk=False).save("x")
    assert os.listdir(tmp_path) == []
