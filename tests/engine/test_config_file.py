"""Finding and reading configuration files, and the messages for what is wrong with them."""

import os
import re

import pytest

from pointrend_ext.engine import find_config_file, load_cfg
from pointrend_ext.engine.setup import check_weights
from pointrend_ext.model_zoo import get_config_file

R50 = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_coco.yaml"


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="my.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_file


# ---- finding


@pytest.mark.parametrize("prefix", ["", "configs/", "./configs/"])
def test_a_shipped_file_is_found_by_name_from_any_folder(prefix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert os.path.samefile(find_config_file(prefix + R50), get_config_file(R50))


def test_a_path_wins_over_a_shipped_file(tmp_path, monkeypatch):
    own = tmp_path / R50
    own.parent.mkdir()
    own.write_text("VERSION: 2\n")
    monkeypatch.chdir(tmp_path)
    assert find_config_file(R50).resolve() == own


def test_a_missing_file_names_a_near_one(write):
    with pytest.raises(FileNotFoundError, match=re.escape(R50)):
        find_config_file("COCO-InstanceSegmentation/pointrend_rcnn_R50_FPN_1x_coco.yaml")
    with pytest.raises(FileNotFoundError, match=r"no/such/file\.yaml"):
        load_cfg("/no/such/file.yaml")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        load_cfg(write("_BASE_: nowhere.yaml\nVERSION: 2\n"))


# ---- reading


def test_without_a_file_the_defaults():
    cfg = load_cfg()
    assert cfg.MODEL.MASK_POINT_HEAD.TRAIN_NUM_POINTS == 196
    assert not cfg.is_frozen()


def test_file_then_pairs(write):
    path = write("MODEL:\n  ROI_HEADS:\n    NUM_CLASSES: 5\n  DEVICE: cpu\nVERSION: 2\n")
    cfg = load_cfg(path, ["MODEL.ROI_HEADS.NUM_CLASSES", "7", "SOLVER.STEPS", "(1, 2)"])
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 7
    assert cfg.MODEL.DEVICE == "cpu"
    assert cfg.SOLVER.STEPS == (1, 2)


def test_a_base_of_the_users_own_and_a_shipped_one(write):
    shipped = get_config_file(R50)
    write(f'_BASE_: "{shipped}"\nMODEL:\n  ROI_HEADS:\n    NUM_CLASSES: 5\n', "base.yaml")
    cfg = load_cfg(write("_BASE_: base.yaml\nMODEL:\n  DEVICE: cpu\n"))
    assert (cfg.MODEL.ROI_HEADS.NUM_CLASSES, cfg.MODEL.DEVICE) == (5, "cpu")
    assert cfg.MODEL.ROI_MASK_HEAD.NAME == "PointRendROIMaskHead"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "MODEL: {MASK_POINT_HEAD: {TRAIN_NUM_POINT: 5}}",
            r"Unknown configuration key in .*my\.yaml: MODEL\.MASK_POINT_HEAD\.TRAIN_NUM_POINT "
            r"\(did you mean MODEL\.MASK_POINT_HEAD\.TRAIN_NUM_POINTS\?",
        ),
        (  # upstream's node
            "MODEL: {POINT_HEAD: {SUBDIVISION_NUM_POINTS: 196}}",
            r"Unknown .* mean MODEL\.MASK_POINT_HEAD\.SUBDIVISION_NUM_POINTS\?",
        ),
        ("SOLVER: {BASE_LRR: 1, MAX_ITR: 5}", r"Unknown .*\.BASE_LR\?.*SOLVER\.MAX_ITER\?"),
        ("MODEL: {FOO: {}}", r"Unknown .*MODEL\.FOO"),
        ("INPUT:\nMODEL: {DEVICE: cpu}\n", "INPUT"),  # all of INPUT commented out
    ],
)
def test_mistakes_in_a_file(write, text, message):
    with pytest.raises(ValueError, match=message):
        load_cfg(write(text))


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (
            ["MODEL.ROI_HEAD.NUM_CLASSES", "5"],
            r"command line.*mean MODEL\.ROI_HEADS\.NUM_CLASSES\?",
        ),
        (["qqq", "5"], r"qqq \(nothing similar exists\)"),
        (["MODEL.DEVICE"], r"1 words.*MODEL\.DEVICE.*even number"),
        (["MODEL.DEVICE", "cpu", "SOLVER.BASE_LR"], r"3 words.*SOLVER\.BASE_LR.*even number"),
        (["SOLVER.MAX_ITER=5"], r"even number\. Write 'SOLVER.MAX_ITER 5' instead of 'SOLVER.M"),
        (["SOLVER.MAX_ITER=5", "SEED=3"], r"write KEY VALUE with a space: SOLVER.MAX_ITER 5"),
        (["MODEL.MASK_ON.X", "5"], r"MODEL.MASK_ON is a value; no key can stand below it"),
        (["_BASE_", "a.yaml"], "Unknown .*command line: _BASE_"),
        (["SOLVER", "5"], "The command line: SOLVER is a section .*such as SOLVER"),
    ],
)
def test_mistakes_on_the_command_line(opts, message):
    with pytest.raises(ValueError, match=message):
        load_cfg(opts=opts)


def test_a_file_cannot_run_code(write, tmp_path):
    target = tmp_path / "touched"
    path = write(f'OUTPUT_DIR: !!python/object/apply:os.mkdir ["{target}"]\nVERSION: 2\n')
    with pytest.raises(ValueError, match=r"my\.yaml: line 1.*python/object"):
        load_cfg(path)
    assert not target.exists()


# ---- weights


def test_weights_that_exist_and_addresses_that_are_not_looked_up(tmp_path):
    path = tmp_path / "model.pth"
    path.touch()
    local = (str(path), f"{path}?matching_heuristics=True")
    for weights in ("", "detectron2://ImageNetPretrained/R-50.pkl", "https://a.org/a.pth", *local):
        check_weights(weights)


def test_missing_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = rf"MODEL\.WEIGHTS is 'out/model_final\.pth'.*{tmp_path}"
    with pytest.raises(FileNotFoundError, match=message):
        check_weights("out/model_final.pth")
    with pytest.raises(FileNotFoundError):
        check_weights(str(tmp_path))  # a folder is no file
