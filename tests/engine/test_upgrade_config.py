"""Configurations of Detectron2's PointRend project run unchanged, and mean the same."""

import shutil
from pathlib import Path

import pytest
import yaml
from detectron2 import model_zoo
from detectron2.config import get_cfg
from detectron2.modeling import build_model

from pointrend_ext.engine import load_cfg, setup_cfg, train_or_evaluate
from pointrend_ext.engine.upgrade_config import upgrade_config

BASE = "_BASE_: ../../../../configs/Base-RCNN-FPN.yaml\n"
# Typed in by hand from the keys that the project publishes.
FILES = {
    "InstanceSegmentation/Base-PointRend-RCNN-FPN.yaml": BASE
    + """
MODEL:
  MASK_ON: true
  ROI_BOX_HEAD: {TRAIN_ON_PRED_BOXES: True}
  ROI_MASK_HEAD:
    POOLER_TYPE: ""  # the head reads the feature maps itself
    NAME: "PointRendMaskHead"
    FC_DIM: 1024
    NUM_FC: 2
    OUTPUT_SIDE_RESOLUTION: 7
    IN_FEATURES: ["p2"]
    POINT_HEAD_ON: True
  POINT_HEAD: {FC_DIM: 256, NUM_FC: 3, IN_FEATURES: ["p2"]}
INPUT: {MASK_FORMAT: "bitmask"}
""",
    "InstanceSegmentation/pointrend_rcnn_R_50_FPN_3x_coco.yaml": """
_BASE_: Base-PointRend-RCNN-FPN.yaml
MODEL:
  WEIGHTS: detectron2://ImageNetPretrained/MSRA/R-50.pkl
  RESNETS: {DEPTH: 50}
SOLVER: {STEPS: "(210000, 250000)", MAX_ITER: 270000}
""",
    "InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_cityscapes.yaml": """
_BASE_: Base-PointRend-RCNN-FPN.yaml
MODEL:
  WEIGHTS: detectron2://ImageNetPretrained/MSRA/R-50.pkl
  RESNETS: {DEPTH: 50}
  ROI_HEADS: {NUM_CLASSES: 8}
  POINT_HEAD: {NUM_CLASSES: 8}
""",
    "InstanceSegmentation/before_2020_11.yaml": BASE
    + """
MODEL:
  ROI_HEADS: {NAME: "PointRendROIHeads", IN_FEATURES: ["p2", "p3", "p4", "p5"]}
  ROI_BOX_HEAD: {TRAIN_ON_PRED_BOXES: True}
  MASK_ON: True
  ROI_MASK_HEAD:
    NAME: "CoarseMaskHead"
    FC_DIM: 512
    NUM_FC: 1
    OUTPUT_SIDE_RESOLUTION: 7
    IN_FEATURES: ["p2"]
    POINT_HEAD_ON: True
  POINT_HEAD: {FC_DIM: 128, NUM_FC: 2, IN_FEATURES: ["p2"], NUM_CLASSES: 80}
INPUT: {MASK_FORMAT: "bitmask"}
""",
    "SemanticSegmentation/Base-PointRend-Semantic-FPN.yaml": BASE
    + """
MODEL:
  META_ARCHITECTURE: "SemanticSegmentor"
  BACKBONE: {FREEZE_AT: 0}
  SEM_SEG_HEAD: {NAME: "PointRendSemSegHead"}
  POINT_HEAD:
    NUM_CLASSES: 54
    FC_DIM: 256
    NUM_FC: 3
    IN_FEATURES: ["p2"]
    TRAIN_NUM_POINTS: 1024
    SUBDIVISION_STEPS: 2
    SUBDIVISION_NUM_POINTS: 8192
    COARSE_SEM_SEG_HEAD_NAME: "SemSegFPNHead"
    COARSE_PRED_EACH_LAYER: False
""",
    "SemanticSegmentation/pointrend_semantic_R_101_FPN_1x_cityscapes.yaml": """
_BASE_: Base-PointRend-Semantic-FPN.yaml
MODEL:
  WEIGHTS: detectron2://ImageNetPretrained/MSRA/R-101.pkl
  RESNETS: {DEPTH: 101}
  SEM_SEG_HEAD: {NUM_CLASSES: 19}
  POINT_HEAD: {NUM_CLASSES: 19, TRAIN_NUM_POINTS: 2048}
INPUT:
  MIN_SIZE_TRAIN_SAMPLING: "choice"
  MAX_SIZE_TRAIN: 4096
  CROP: {ENABLED: True, TYPE: "absolute", SIZE: "(512, 1024)", SINGLE_CATEGORY_MAX_AREA: 0.75}
  COLOR_AUG_SSD: True
""",
}
_, R50, CITYSCAPES, OLD, _, SEMANTIC = FILES
NAMES = {
    "MODEL.ROI_MASK_HEAD.NAME": ("PointRendMaskHead", "PointRendROIMaskHead"),
    "MODEL.SEM_SEG_HEAD.NAME": ("PointRendSemSegHead", "PointRendSemanticHead"),
}


@pytest.fixture
def official(tmp_path):
    """The files where the project has them, beside Detectron2's own base."""
    folder = tmp_path / "projects" / "PointRend" / "configs"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (tmp_path / "configs").mkdir()
    shutil.copy(model_zoo.get_config_file("Base-RCNN-FPN.yaml"), tmp_path / "configs")
    return folder


def leaves(node, prefix=""):
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@pytest.mark.parity
@pytest.mark.parametrize("name", [R50, CITYSCAPES, SEMANTIC])
def test_it_means_what_it_means_upstream(official, name):
    point_rend = pytest.importorskip("detectron2.projects.point_rend")
    theirs = get_cfg()
    point_rend.add_pointrend_config(theirs)
    theirs.merge_from_file(str(official / name))
    theirs, ours = dict(leaves(theirs)), dict(leaves(load_cfg(official / name)))
    node = "MODEL.SEM_SEG_POINT_HEAD" if name == SEMANTIC else "MODEL.MASK_POINT_HEAD"
    compared = 0
    for key, value in theirs.items():
        key = key.replace("MODEL.POINT_HEAD", node).replace("COARSE_SEM_SEG_HEAD_", "COARSE_HEAD_")
        if key in NAMES and value == NAMES[key][0]:
            assert ours[key] == NAMES[key][1]
        elif key in ours:
            compared += key.startswith(node)
            assert ours[key] == value, key
    assert compared == 10 + (name == SEMANTIC)  # every key of the point head but two


def test_files_from_before_november_2020(official):
    cfg = load_cfg(official / OLD)
    assert cfg.MODEL.ROI_HEADS.NAME == "StandardROIHeads"
    coarse, point = cfg.MODEL.ROI_MASK_HEAD, cfg.MODEL.MASK_POINT_HEAD
    assert (coarse.NAME, coarse.POOLER_TYPE) == ("PointRendROIMaskHead", "")
    assert (coarse.FC_DIM, coarse.NUM_FC) == (512, 1)
    assert (point.FC_DIM, point.NUM_FC) == (128, 2)
    cfg.MODEL.DEVICE = "cpu"
    state = build_model(cfg).state_dict()
    assert state["roi_heads.mask_head.coarse_head.prediction.weight"].shape == (80 * 49, 512)
    assert state["roi_heads.mask_head.point_head.predictor.weight"].shape == (80, 128 + 80, 1)


@pytest.mark.parametrize("name", [R50, OLD])
def test_an_official_file_trains(official, tiny_run, name):
    data = ["DATASETS.TRAIN", ("toy_train",), "DATASETS.TEST", (), "MODEL.WEIGHTS", ""]
    opts = [*data, "MODEL.ROI_HEADS.NUM_CLASSES", 6, "SOLVER.MAX_ITER", 1]
    cfg = setup_cfg(tiny_run(config=str(official / name), opts=opts))
    train_or_evaluate(cfg)
    log = Path(cfg.OUTPUT_DIR, "log.txt").read_text()
    (line,) = [line for line in log.splitlines() if "PointRend project and was read as" in line]
    assert "-> PointRendROIMaskHead" in line
    assert "MODEL.POINT_HEAD -> MODEL.MASK_POINT_HEAD" in line
    assert "not needed: MODEL.ROI_MASK_HEAD.POINT_HEAD_ON" in line
    assert "loss_mask_point" in log


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (R50, {"POINT_HEAD": {"NUM_CLASSES": 5}}, r"NUM_CLASSES is 5, but MODEL\.ROI_H.* is 80"),
        (SEMANTIC, {"SEM_SEG_HEAD": {"NUM_CLASSES": 20}}, r"is 19, but MODEL\.SEM_SEG.* is 20"),
        (R50, {"ROI_MASK_HEAD": {"POINT_HEAD_ON": False}}, r"is False: .*MaskRCNNConvUpsampleHead"),
        (None, {"ROI_MASK_HEAD": {"NAME": "PointRendMaskHead"}}, "is not set, which means False"),
        (R50, {"POINT_HEAD": {"CLS_AGNOSTIC_MASK": True}}, r"ROI_MASK_HEAD\.CLS_AGNOSTIC_MASK Tr"),
        (SEMANTIC, {"POINT_HEAD": {"CLS_AGNOSTIC_MASK": True}}, r"not supported\. Remove it"),
        (R50, {"MASK_POINT_HEAD": {"FC_DIM": 128}}, r"is 128, but MODEL\.POINT_HEAD\.FC_DIM.* 256"),
        (R50, {"ROI_MASK_HEAD": {"NAME": "ImplicitPointRendMaskHead"}}, "Implicit PointRend"),
        (R50, {"POINT_HEAD": {"TRAIN_NUM_POINT": 5}}, r"did you mean .*TRAIN_NUM_POINTS\?"),
    ],
)
def test_contradictions_are_reported(official, name, change, message):
    path = official / "mine.yaml"
    path.write_text(yaml.safe_dump({**({"_BASE_": name} if name else {}), "MODEL": change}))
    with pytest.raises(ValueError, match=r"mine\.yaml.*" + message):
        load_cfg(path)


def test_what_the_file_leaves_open_is_upstreams_default():
    config = {
        "MODEL": {
            "SEM_SEG_HEAD": {"NAME": "PointRendSemSegHead"},
            "POINT_HEAD": {"NUM_CLASSES": 54},
            "SEM_SEG_POINT_HEAD": {"SUBDIVISION_NUM_POINTS": 100},
        }
    }
    new, note = upgrade_config(config, "a.yaml")
    assert new["MODEL"] == {
        "SEM_SEG_HEAD": {"NAME": "PointRendSemanticHead"},
        "SEM_SEG_POINT_HEAD": {
            "COARSE_HEAD_NAME": "SemSegFPNHead",
            "TRAIN_NUM_POINTS": 196,
            "SUBDIVISION_NUM_POINTS": 100,  # ours, as stated
            "COARSE_PRED_EACH_LAYER": True,
        },
    }
    assert note.count("\n") == 0


def test_one_node_for_both_tasks_becomes_two():
    config = {
        "MODEL": {
            "ROI_MASK_HEAD": {"NAME": "PointRendMaskHead", "POINT_HEAD_ON": True},
            "SEM_SEG_HEAD": {"NAME": "PointRendSemSegHead", "NUM_CLASSES": 80},
            "POINT_HEAD": {"NUM_CLASSES": 80, "FC_DIM": 64, "COARSE_SEM_SEG_HEAD_NAME": "X"},
        }
    }
    model = upgrade_config(config, "a.yaml")[0]["MODEL"]
    assert model["MASK_POINT_HEAD"] == {"FC_DIM": 64}
    semantic = model["SEM_SEG_POINT_HEAD"]
    assert (semantic["FC_DIM"], semantic["COARSE_HEAD_NAME"]) == (64, "X")
    assert "POINT_HEAD" not in model


@pytest.mark.parametrize(
    ("name", "is_on_points"),
    [("ImplicitPointRendMaskHead", False), ("ImplicitPointRendPointSupHead", True)],
)
def test_implicit_pointrend(name, is_on_points):
    """Of the projects PointRend and PointSup, whose keys of the input have the names of ours."""
    config = {
        "MODEL": {
            "ROI_MASK_HEAD": {"NAME": name, "POOLER_TYPE": "", "FC_DIM": 512},
            "POINT_HEAD": {"NAME": "ImplicitPointHead", "NUM_CLASSES": 80, "SUBDIVISION_STEPS": 3},
            "IMPLICIT_POINTREND": {"POS_ENC_ENABLED": False, "PARAMS_L2_REGULARIZER": 0.1},
        },
        "INPUT": {"SAMPLE_POINTS": 5},
    }
    new, _ = upgrade_config(config, "a.yaml")
    assert new["MODEL"] == {
        "ROI_MASK_HEAD": {
            "NAME": "ImplicitPointRendROIMaskHead",
            "POOLER_TYPE": "",
            "FC_DIM": 512,
        },
        "MASK_POINT_HEAD": {
            "NAME": "ImplicitPointHead",
            "SUBDIVISION_STEPS": 3,
        },
        "IMPLICIT_POINTREND": {"POS_ENC_ENABLED": False, "PARAMS_L2_REGULARIZER": 0.1},
    }
    added = {"POINT_SUP": True} if is_on_points else {}
    assert new["INPUT"] == {"SAMPLE_POINTS": 5, **added}


def test_other_files_are_left_alone():
    config = {"MODEL": {"POINT_HEAD": {"NUM_CLASSES": 5}, "RPN": {}}, "INPUT": None}
    assert upgrade_config(config, "a.yaml") == (config, "")
