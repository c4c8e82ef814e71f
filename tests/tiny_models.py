"""Models of a few thousand random weights, and pictures."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model
from PIL import Image

from pointrend_ext import Predictor
from pointrend_ext.engine import load_cfg

TOOLS = Path(__file__).parents[1] / "tools"
WIDTHS = [
    *("MODEL.RESNETS.WIDTH_PER_GROUP", 4),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", 8),
    *("MODEL.RESNETS.RES2_OUT_CHANNELS", 16),
    *("MODEL.FPN.OUT_CHANNELS", 16),
    *("MODEL.ROI_BOX_HEAD.FC_DIM", 16),
    *("MODEL.ROI_MASK_HEAD.CONV_DIM", 16),
    *("MODEL.ROI_MASK_HEAD.FC_DIM", 16),
    *("MODEL.MASK_POINT_HEAD.FC_DIM", 16),
]
TINY = [
    *WIDTHS,
    *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0),
    *("MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH", 0.0),
    *("MODEL.PANOPTIC_FPN.COMBINE.STUFF_AREA_LIMIT", 50),
    *("MODEL.DEVICE", "cpu"),
    *("INPUT.MIN_SIZE_TEST", 96),
    *("INPUT.MAX_SIZE_TEST", 160),
    *("TEST.DETECTIONS_PER_IMAGE", 5),
]
SEMANTIC = [
    *("MODEL.SEM_SEG_HEAD.NAME", "PointRendSemanticHead"),
    *("MODEL.SEM_SEG_HEAD.CONVS_DIM", 16),
    *("MODEL.SEM_SEG_HEAD.NORM", ""),
    *("MODEL.SEM_SEG_POINT_HEAD.FC_DIM", 16),
    *("MODEL.SEM_SEG_POINT_HEAD.SUBDIVISION_NUM_POINTS", 300),
]
OPTS = {
    "instance": [],
    "semantic": [
        *SEMANTIC,
        *("MODEL.META_ARCHITECTURE", "PointRendSemanticSegmentor"),
        *("DATASETS.TEST", ("toy_sem_seg_val",)),
        *("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 10),
    ],
    "panoptic": [
        *SEMANTIC,
        *("MODEL.META_ARCHITECTURE", "PointRendPanopticFPN"),
        *("DATASETS.TEST", ("toy_panoptic_val",)),
        *("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 5),
    ],
}


def picture(height=120, width=170, seed=0):
    """Smooth random colours."""
    noise = np.random.default_rng(seed).integers(0, 256, (7, 9, 3)).astype(np.uint8)
    return np.array(Image.fromarray(noise).resize((width, height), Image.BICUBIC))


@pytest.fixture
def own_catalogs():
    """Take what a test registers out of Detectron2's catalogs."""
    before = set(DatasetCatalog.list())
    yield
    for name in set(DatasetCatalog.list()) - before:
        DatasetCatalog.remove(name)
        MetadataCatalog.pop(name, None)


@pytest.fixture(scope="session")
def make_picture():
    return picture


@pytest.fixture(scope="session")
def load_tool():
    """Import a file of ``tools`` as the command line runs it."""

    def load(name: str):
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(TOOLS))
            spec = importlib.util.spec_from_file_location(f"{name}_tool", TOOLS / f"{name}.py")
            tool = importlib.util.module_from_spec(spec)
            patch.setitem(sys.modules, spec.name, tool)  # dataclasses look there
            spec.loader.exec_module(tool)
        return tool

    return load


@pytest.fixture
def call_tool(load_tool, monkeypatch):
    """Run a tool with a command line; return its exit code."""

    def call(name: str, *words: object) -> int:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
        return load_tool(name).main()

    return call


@pytest.fixture
def ready_models(monkeypatch):
    """Let ``Predictor.from_config`` return what is there by its file; what is asked is kept."""

    def use(models: dict[str, Predictor]) -> list[tuple]:
        asked = []

        def from_config(config_file, weights, **options):
            asked.append((config_file, weights, options))
            return models[config_file]

        monkeypatch.setattr(Predictor, "from_config", from_config)
        return asked

    return use


@pytest.fixture(scope="session")
def predictors(tmp_path_factory):
    """A predictor by kind, built once."""
    built = {}

    def make(kind: str, *extra: object) -> Predictor:
        if (kind, extra) not in built:
            opts = [*TINY, *OPTS[kind], *extra]
            cfg = load_cfg("Toy/pointrend_rcnn_toy.yaml", [*opts, "MODEL.WEIGHTS", ""])
            torch.manual_seed(3)
            model = build_model(cfg)
            for name, value in model.named_parameters():  # so that predictions differ
                if re.search(r"(mask_head|sem_seg_head)\..*predict", name) and value.dim() > 1:
                    torch.nn.init.normal_(value, std=1.0)
            weights = tmp_path_factory.mktemp("weights") / "model.pth"
            torch.save({"model": model.state_dict()}, weights)
            built[kind, extra] = Predictor.from_config(
                "Toy/pointrend_rcnn_toy.yaml", weights, opts=opts, confidence=None
            )
        return built[kind, extra]

    return make
