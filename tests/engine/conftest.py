"""A tiny toy data set and a network that trains on it in a second."""

import argparse

import pytest
from detectron2.engine import default_argument_parser

from pointrend_ext.data.toy import generate_toy_data
from tests.engine.disturbed import run  # noqa: F401  (a fixture)
from tests.tiny_models import WIDTHS

OPTIONS = [
    *WIDTHS,
    *("INPUT.MIN_SIZE_TRAIN", (64,)),
    *("INPUT.MIN_SIZE_TEST", 64),
    *("SOLVER.IMS_PER_BATCH", 2),
    *("SOLVER.MAX_ITER", 4),
    *("SOLVER.CHECKPOINT_PERIOD", 2),
    *("DATALOADER.NUM_WORKERS", 0),
]


@pytest.fixture(scope="session")
def toy_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    generate_toy_data(root, num_train=8, num_val=4)
    return root


@pytest.fixture(autouse=True)
def _catalogs(own_catalogs):
    pass


@pytest.fixture
def tiny_run(toy_root, tmp_path, monkeypatch):
    """Arguments of ``tools/train_net.py`` for a run of four iterations."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(toy_root))

    def arguments(*words: str, opts=(), config="Toy/pointrend_rcnn_toy.yaml") -> argparse.Namespace:
        args = default_argument_parser().parse_args(["--config-file", config, *words])
        args.opts = [*OPTIONS, "OUTPUT_DIR", str(tmp_path / "run"), *opts]
        return args

    return arguments
