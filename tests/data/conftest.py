"""Tiny COCO data sets on disk, and configs to read them."""

import itertools
import json
from collections import Counter
from types import SimpleNamespace

import pytest
from detectron2.data.datasets import register_coco_instances
from detectron2.utils import logger as detectron2_logger

from pointrend_ext.data import rgb
from pointrend_ext.data.toy import generate_toy_data
from pointrend_ext.engine import load_cfg
from tests.data.builders import HEIGHT, WIDTH, annotation, write_image


@pytest.fixture(autouse=True)
def _catalogs(own_catalogs):
    pass


@pytest.fixture(autouse=True)
def _say_again(monkeypatch):
    """Let every test see the messages that a process tells once."""
    monkeypatch.setattr(detectron2_logger, "_LOG_COUNTER", Counter())
    monkeypatch.setattr(rgb, "_told_dark", [])


@pytest.fixture
def coco(tmp_path):
    """A factory: ``coco(annotations, num_images, categories)`` writes and registers a data set."""
    numbers = itertools.count()

    def make(annotations=None, num_images=2, categories=None, *, register=True):
        name = f"test_set_{next(numbers)}_{tmp_path.name}"
        root = tmp_path / name
        (root / "images").mkdir(parents=True)
        annotations = [annotation()] if annotations is None else annotations
        for image_id in range(1, num_images + 1):
            write_image(root / "images" / f"{image_id}.jpg", seed=image_id)
        content = {
            "images": [
                {"id": i, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH}
                for i in range(1, num_images + 1)
            ],
            "categories": categories or [{"id": 1, "name": "star"}, {"id": 2, "name": "gear"}],
            "annotations": [{"id": i, **a} for i, a in enumerate(annotations, start=1)],
        }
        json_file = root / "instances.json"
        json_file.write_text(json.dumps(content))
        if register:
            register_coco_instances(name, {}, str(json_file), str(root / "images"))
        return SimpleNamespace(
            name=name, json_file=json_file, images=root / "images", content=content
        )

    return make


@pytest.fixture
def cfg():
    """A config that keeps images at 40 x 60 and reads them in this process."""
    config = load_cfg()
    config.MODEL.MASK_ON = True
    config.MODEL.ROI_HEADS.NUM_CLASSES = 2
    config.MODEL.ROI_MASK_HEAD.NAME = "PointRendROIMaskHead"
    config.INPUT.MIN_SIZE_TRAIN = (HEIGHT,)
    config.INPUT.MIN_SIZE_TEST = HEIGHT
    config.INPUT.RANDOM_FLIP = "none"
    config.DATALOADER.NUM_WORKERS = 0
    config.SOLVER.IMS_PER_BATCH = 1
    return config


@pytest.fixture
def record(tmp_path):
    """One record in Detectron2's format, of an existing 40 x 60 image, without annotations."""
    write_image(tmp_path / "one.jpg")
    return {
        "file_name": str(tmp_path / "one.jpg"),
        "height": HEIGHT,
        "width": WIDTH,
        "image_id": 1,
        "annotations": [],
    }


@pytest.fixture(scope="session")
def toy_root(tmp_path_factory):
    """A data root with six train and four val images; read only."""
    root = tmp_path_factory.mktemp("toy_root")
    generate_toy_data(root, num_train=6, num_val=4, seed=3)
    return root
