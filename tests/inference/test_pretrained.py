"""A model's folder: what is written is read again bit for bit, and anything else is refused."""

import copy
import hashlib
import json
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from pointrend_ext import Predictor
from pointrend_ext.inference import pretrained
from pointrend_ext.modeling.recording import leaves

SCORES = {
    "segm": {"AP": 38.3456, "AP85-95": 9.0, "AP-cat": 12.0, "AP-95": 1.0, "APs": float("nan")},
    "boundary": {"AP": 20.0},
}


@pytest.fixture
def folder(predictors, tmp_path):
    predictors("instance").save_pretrained(tmp_path / "mine", scores=SCORES, data_set="toy_val")
    return tmp_path / "mine"


def rewrite(folder, name, change):
    """Change a file, and let the record vouch for it."""
    change(folder / name)
    record = json.loads((folder / "pointrend.json").read_text())
    record["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "pointrend.json").write_text(json.dumps(record))


@pytest.mark.parametrize("kind", ["instance", "semantic", "panoptic"])
def test_round_trip(kind, predictors, tmp_path, make_picture):
    saved, pixels = predictors(kind), make_picture()
    saved.save_pretrained(tmp_path)
    read = Predictor.from_pretrained(tmp_path, device="cpu")
    ours, theirs = saved.model.state_dict(), read.model.state_dict()
    assert list(ours) == list(theirs)
    for name, tensor in ours.items():
        assert theirs[name].dtype == tensor.dtype
        assert torch.equal(theirs[name], tensor), name
    assert read.classes == saved.classes
    expected, got = saved(pixels), read(pixels)
    for field in ("boxes", "scores", "classes", "label_map"):
        np.testing.assert_array_equal(getattr(got, field), getattr(expected, field))
    if kind != "semantic":
        assert len(got.boxes) > 1
        np.testing.assert_array_equal(np.asarray(got.masks), np.asarray(expected.masks))
    after = {name: json.dumps(value) for name, value in leaves(read.cfg)}  # tuples as lists
    changed = {name for name, value in leaves(saved.cfg) if after[name] != json.dumps(value)}
    assert changed <= {"MODEL.WEIGHTS", "OUTPUT_DIR"}


def test_what_is_in_the_folder(folder, predictors):
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["README.md", "config.yaml", "model.safetensors", "pointrend.json"]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["MODEL"]["WEIGHTS"] == ""
    assert config["MODEL"]["DEVICE"] == "cuda"  # not of the machine that trained
    record = json.loads((folder / "pointrend.json").read_text())
    assert record["things"] == ["star", "gear", "blob", "ring", "letter", "plate"]
    assert record["thing_ids"] == [1, 2, 5, 7, 9, 12]
    assert str(folder.parent) not in "".join(
        path.read_text() for path in folder.iterdir() if path.suffix != ".safetensors"
    )


def test_the_card(folder, predictors, tmp_path):
    _, header, text = (folder / "README.md").read_text().split("---\n", 2)
    header = yaml.safe_load(header)
    assert header["library_name"] == "pointrend_ext"
    (result,) = header["model-index"][0]["results"]
    assert result["dataset"]["name"] == "toy_val"
    measured = {metric["type"]: metric["value"] for metric in result["metrics"]}
    # no NaN, no single class
    assert measured == {"segm AP": 38.346, "segm AP85-95": 9.0, "boundary AP": 20.0}
    assert "| segm AP | 38.35 |" in text
    assert 'Predictor.from_pretrained("mine")' in text
    assert "star, gear, blob, ring" in text
    predictors("semantic").save_pretrained(tmp_path / "unmeasured")
    card = (tmp_path / "unmeasured" / "README.md").read_text()
    assert "model-index" not in card
    assert "Not measured." in card


def test_options_change_the_saved_configuration(folder):
    read = Predictor.from_pretrained(
        folder, device="cpu", confidence=0.7, opts=["INPUT.MIN_SIZE_TEST", 64], batch_size=3
    )
    assert read.cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST == 0.7
    assert read.cfg.INPUT.MIN_SIZE_TEST == 64
    assert read.batch_size == 3
    kept = Predictor.from_pretrained(folder, device="cpu").cfg
    assert kept.MODEL.ROI_HEADS.SCORE_THRESH_TEST == 0.0  # as saved


def test_a_model_is_replaced_and_nothing_else(folder, predictors, tmp_path):
    predictors("semantic").save_pretrained(folder)
    assert "sem_seg_head" in json.dumps(list(load_file(folder / "model.safetensors")))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("of somebody")
    with pytest.raises(ValueError, match=r"notes holds other files \(README.md\)"):
        predictors("semantic").save_pretrained(tmp_path / "notes")
    assert (tmp_path / "notes" / "README.md").read_text() == "of somebody"


def test_half_precision_is_refused(predictors, tmp_path):
    predictor = copy.deepcopy(predictors("semantic"))
    predictor.model.half()
    with pytest.raises(ValueError, match=r"not of 32 bits: .*float16.*model.float\(\)"):
        predictor.save_pretrained(tmp_path / "half")
    assert not (tmp_path / "half").exists()


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors", "pointrend.json"])
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"no complete model: {name} is missing"):
        Predictor.from_pretrained(folder)


def _another_shape(path):
    tensors = load_file(path)
    name = "roi_heads.mask_head.point_head.predictor.weight"
    save_file({**tensors, name: torch.zeros(2, 2)}, path)


def _without(path):
    tensors = load_file(path)
    del tensors["roi_heads.mask_head.point_head.predictor.bias"]
    save_file({**tensors, "gone": torch.zeros(1)}, path)


def _half(path):
    save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path)


def _text(old, new):
    def change(path):
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("model.safetensors", _another_shape, r"predictor.weight is \(\(2, 2\), torch.float32\)"),
        ("model.safetensors", _without, "predictor.bias is missing, gone is no part of the model"),
        ("model.safetensors", _half, "float16"),
        ("config.yaml", _text("VERSION", "_BASE_: /etc/passwd\nVERSION"), "without _BASE_"),
        ("config.yaml", _text("MAX_SIZE_TEST", "MAX_SIZE_TESTS"), "MAX_SIZE_TESTS"),
        ("config.yaml", _text("VERSION: 2", "VERSION: 3"), "VERSION is 3"),
        ("config.yaml", _text("NUM_CLASSES: 6", "NUM_CLASSES: 5"), "does not fit"),
        ("config.yaml", _text("'", "!!python/object/apply:os.getcwd '"), "python/object"),
    ],
)
def test_files_that_do_not_fit(folder, name, change, said):
    rewrite(folder, name, change)
    with pytest.raises(ValueError, match=said):
        Predictor.from_pretrained(folder, device="cpu")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_text('"format": 1', '"format": 2'), "is of format 2, .* reads format 1"),
        (_text('"things"', '"thing"'), "'thing' is no key. Did you mean 'things'"),
        (_text('"stuff": []', '"stuff": 3'), "'stuff' is 3, but a list is needed"),
        (_text('"stuff_colors": []', '"stuff_colors": [[1, 2]]'), r"'stuff_colors.0' is \[1, 2\]"),
        (_text('"star",', ""), "There are 5 things .*but the model has 6"),
        (_text('"stuff": []', '"stuff": ["a"]'), "There are 1 stuff .*but the model has"),
        (_text("{", "["), "pointrend.json"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "is not valid JSON"),
        (lambda path: path.write_text("[]"), "is of format None"),
    ],
)
def test_records_of_another_kind(folder, change, said):
    change(folder / "pointrend.json")
    with pytest.raises(ValueError, match=said):
        Predictor.from_pretrained(folder, device="cpu")


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors"])
def test_a_file_that_was_changed_since(folder, name):
    with (folder / name).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(ValueError, match=f"{name} is not the file that was saved"):
        Predictor.from_pretrained(folder, device="cpu")


@pytest.fixture
def hub(monkeypatch):
    """A hub of one folder; what it is asked for is kept."""

    def use(answer):
        asked = []

        def snapshot_download(repo_id, **options):
            asked.append((repo_id, options))
            if isinstance(answer, Exception):
                raise answer
            return str(answer)

        module = ModuleType("huggingface_hub")
        module.snapshot_download = snapshot_download
        monkeypatch.setitem(sys.modules, "huggingface_hub", module)
        return asked

    return use


def test_a_model_of_the_hub(folder, hub):
    asked = hub(folder)
    read = Predictor.from_pretrained("owner/name", revision="v1", device="cpu")
    assert read.classes.things[0] == "star"
    ((name, options),) = asked
    assert (name, options["revision"]) == ("owner/name", "v1")
    assert set(options["allow_patterns"]) == {"config.yaml", "model.safetensors", "pointrend.json"}


def test_a_folder_comes_first(folder, hub, monkeypatch):
    asked = hub(OSError("no network"))
    monkeypatch.chdir(folder.parent.parent)
    name = f"{folder.parent.name}/{folder.name}"  # looks like a name of the hub
    assert Predictor.from_pretrained(name, device="cpu").classes.things[0] == "star"
    with pytest.raises(ValueError, match="has no revision 'v1'"):
        Predictor.from_pretrained(name, revision="v1")
    assert asked == []


def test_the_hub_fails(hub):
    hub(OSError("no network"))
    with pytest.raises(FileNotFoundError, match=r"owner/name.*\(OSError: no network\)"):
        Predictor.from_pretrained("owner/name")


def test_what_is_no_model(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"'owner/name'.*pip install huggingface-hub"):
        Predictor.from_pretrained("owner/name")
    with pytest.raises(FileNotFoundError, match=r"no folder '/gone/away/for/good'"):
        Predictor.from_pretrained("/gone/away/for/good")
    (tmp_path / "model.pth").touch()
    with pytest.raises(ValueError, match=r"model.pth is a file: .*from_config"):
        Predictor.from_pretrained(tmp_path / "model.pth")


def test_without_safetensors(predictors, tmp_path, monkeypatch):
    predictor = predictors("semantic")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        predictor.save_pretrained(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_an_interrupted_replacement_is_refused(folder, predictors, monkeypatch):
    """The record is written last, so that it does not vouch for the new files yet."""
    write = pretrained.open_atomically

    def interrupted(path):
        if path.name == "pointrend.json":
            raise OSError("full")
        return write(path)

    monkeypatch.setattr(pretrained, "open_atomically", interrupted)
    with pytest.raises(OSError, match="full"):
        predictors("semantic").save_pretrained(folder)
    with pytest.raises(ValueError, match="is not the file that was saved"):
        Predictor.from_pretrained(folder)
