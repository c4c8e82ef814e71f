"""A configuration chosen from data and machine: values by hand, bounds, and a training with it."""

import argparse
from pathlib import Path

import pytest

from pointrend_ext.data.formats import Described, describe, recognise
from pointrend_ext.engine import load_cfg, setup_cfg
from pointrend_ext.engine.recipe import Machine, choose_recipe
from tests.data.formats import test_label_folders, writers

CPU, GPU = Machine("cpu", 0.0), Machine("cuda", 24.0)


def described(number=200, edge=480, task="instance", **changes):
    ignored = None if task == "instance" else 255
    values = {"classes": ["a", "b"], "num_pictures": {"train": number, "val": 9}}
    values |= {"short_edge": edge, "ignore_label": ignored, **changes}
    return Described(Path("d/data.yaml"), task, **values)


def values_of(data, machine=GPU, **options):
    return choose_recipe(data, machine, name="mine", **options).values


def test_coco_like_pictures_on_a_gpu_are_trained_as_coco_is():
    values = values_of(described(118_000))
    assert values["INPUT.MIN_SIZE_TRAIN"] == (640, 672, 704, 736, 768, 800)
    assert (values["INPUT.MAX_SIZE_TRAIN"], values["INPUT.MAX_SIZE_TEST"]) == (1333, 1333)
    assert values["SOLVER.IMS_PER_BATCH"] == 8  # 24 GiB of 3 each
    assert values["SOLVER.BASE_LR"] == 0.005  # 0.02 * 8 / 16, and half of it
    assert values["SOLVER.MAX_ITER"] == 177_000  # 12 passes
    assert values["SOLVER.WARMUP_ITERS"] == 1000
    assert values["MODEL.WEIGHTS"].endswith("/model_final_edd263.pkl")
    assert values["MODEL.ROI_HEADS.NUM_CLASSES"] == 2
    assert values["DATASETS.TEST"] == ("mine_val",)


@pytest.mark.parametrize(
    ("number", "passes"), [(10, 200), (40, 50), (200, 50), (1000, 50), (2500, 20), (10_000, 12)]
)
def test_passes(number, passes):
    values = values_of(described(number))
    assert values["SOLVER.MAX_ITER"] == round(number * passes / 8)


@pytest.mark.parametrize(
    ("memory", "edge", "batch"), [(2.0, 480, 1), (8.0, 480, 2), (80.0, 480, 16), (8.0, 150, 16)]
)
def test_batch_and_rate_by_memory_and_size(memory, edge, batch):
    values = values_of(described(edge=edge), Machine("cuda", memory))
    assert values["SOLVER.IMS_PER_BATCH"] == batch
    assert values["SOLVER.BASE_LR"] == pytest.approx(0.000625 * batch, rel=0.01)


def test_a_cpu():
    values = values_of(described(edge=3000), CPU)
    assert values["INPUT.MIN_SIZE_TRAIN"] == (256, 288, 320)
    assert values["SOLVER.IMS_PER_BATCH"] == 2
    assert values["SOLVER.MAX_ITER"] == 500  # 50 passes over 200, a tenth
    assert values["MODEL.DEVICE"] == "cpu"


def test_tiny_pictures_are_not_blown_up():
    values = values_of(described(edge=28))
    assert values["INPUT.MIN_SIZE_TEST"] == 64


def test_label_maps():
    values = values_of(described(task="semantic", edge=1024))
    assert values["INPUT.MIN_SIZE_TRAIN"] == (512, 768, 1024, 1280, 1536, 2048)
    assert values["INPUT.CROP.SIZE"] == [512, 512]
    assert values["SOLVER.IMS_PER_BATCH"] == 16
    assert values["SOLVER.BASE_LR"] == 0.0025  # 0.01 * 16 / 32, and half of it
    assert values["MODEL.SEM_SEG_HEAD.IGNORE_VALUE"] == 255
    values = values_of(described(task="semantic", edge=1024), CPU)
    assert values["MODEL.WEIGHTS"].endswith("R-50.pkl")
    assert values["SOLVER.BASE_LR"] == 0.005  # 0.01 * 2 / 4
    assert values["INPUT.CROP.SIZE"] == [256, 256]


def test_weights_are_named_or_given():
    recipe = choose_recipe(described(), CPU, name="mine")
    assert "model_final_edd263.pkl: released for the base; downloaded" in "\n".join(recipe.lines())
    assert values_of(described(), weights="my.pth")["MODEL.WEIGHTS"] == "my.pth"


def test_splits():
    test_alone = described(num_pictures={"test": 5, "train": 100})
    assert values_of(test_alone)["DATASETS.TEST"] == ("mine_test",)
    assert values_of(described(num_pictures={"train": 9}))["DATASETS.TEST"] == ()
    with pytest.raises(ValueError, match=r"the splits \['test', 'val'\], but none to train on"):
        values_of(described(num_pictures={"val": 5, "test": 5}))


@pytest.mark.parametrize("task", ["instance", "semantic"])
@pytest.mark.parametrize("machine", [CPU, GPU])
def test_the_written_file_is_read(task, machine, tmp_path):
    recipe = choose_recipe(described(task=task), machine, name="mine", weights="w.pth")
    recipe.write(tmp_path / "train.yaml")
    cfg = load_cfg(tmp_path / "train.yaml")
    for key, value in recipe.values.items():
        node = cfg
        for part in key.split("."):
            node = node[part]
        assert node == value, key
    text = (tmp_path / "train.yaml").read_text()
    assert text.startswith(f"# {recipe.lines()[0]}\n")
    assert f"_BASE_: pointrend_ext://{recipe.base}\n" in text
    (tmp_path / "train.yaml").write_text(text.replace("_FPN_", "_FPM_"))
    with pytest.raises(FileNotFoundError, match=r"no configuration '.*_FPM_.*Nearest names"):
        load_cfg(tmp_path / "train.yaml")


@pytest.mark.parametrize("task", ["instance", "semantic"])
def test_a_training_may_start_with_it(task, tmp_path, own_catalogs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if task == "instance":
        export = writers.labelme(tmp_path / "export")
    else:
        export = test_label_folders.write(tmp_path / "export", "images", "labels")
    data = describe(recognise(export), tmp_path / "data", name="mine")
    recipe = choose_recipe(data, CPU, name="mine", weights="")
    recipe.write(tmp_path / "data/train.yaml")
    args = argparse.Namespace(
        config_file=str(tmp_path / "data/train.yaml"), opts=["DATALOADER.NUM_WORKERS", "0"],
        eval_only=False, resume=False, num_gpus=1,
    )  # fmt: skip
    cfg = setup_cfg(args)
    assert cfg.SOLVER.MAX_ITER == 100  # 2000 images, a tenth, two at a time
    assert cfg.DATASETS.TRAIN == ("mine_train",)
