"""Released weights are found by the configuration, and the page states what the table holds."""

import re
from pathlib import Path

import pytest
from detectron2 import model_zoo as detectron2_zoo
from detectron2.utils.file_io import Detectron2Handler

from pointrend_ext import Predictor
from pointrend_ext.engine import load_cfg
from pointrend_ext.model_zoo import get_checkpoint_url, get_config_file, released_models

NAME = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_3x_coco.yaml"
X101 = "COCO-InstanceSegmentation/pointrend_rcnn_X_101_32x8d_FPN_3x_coco.yaml"
URL = (
    "detectron2://PointRend/InstanceSegmentation/pointrend_rcnn_R_50_FPN_3x_coco/164955410/"
    "model_final_edd263.pkl"
)


def test_every_entry_is_a_shipped_configuration_of_its_own_weights():
    models = released_models()
    assert len(models) == len({model.weights for model in models.values()}) == 9
    for name, model in models.items():
        assert Path(get_config_file(name)).is_file()
        folder, stem = name.removesuffix(".yaml").split("/")
        assert f"{stem.removesuffix('_coco')}" in model.weights
        assert folder.partition("-")[2] in model.weights
        assert model.published


@pytest.mark.parametrize(
    "name",
    [
        "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x",
        "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x",
        "COCO-PanopticSegmentation/panoptic_fpn_R_50_3x",
    ],
)
def test_the_baselines_are_those_of_detectron2s_zoo(name):
    url = detectron2_zoo.get_checkpoint_url(f"{name}.yaml")
    ours = get_checkpoint_url(f"{name}_coco.yaml")
    assert ours.replace("detectron2://", Detectron2Handler.S3_DETECTRON2_PREFIX) == url


def test_zoo_stands_for_the_weights_of_the_configuration(tmp_path):
    assert get_checkpoint_url(NAME) == get_checkpoint_url(get_config_file(NAME)) == URL
    assert load_cfg(NAME, ["MODEL.WEIGHTS", "zoo"]).MODEL.WEIGHTS == URL
    own = tmp_path / "my.yaml"
    own.write_text(f"_BASE_: {get_config_file(NAME)}\nMODEL: {{WEIGHTS: zoo}}\n")
    assert load_cfg(own).MODEL.WEIGHTS == URL
    assert load_cfg(NAME).MODEL.WEIGHTS != URL


def test_a_file_that_changes_every_value_of_its_base_is_still_based_on_it(tmp_path):
    """Then no value is the base's; a base of the base, which has some, is not meant."""
    far, near, own = (tmp_path / f"{name}.yaml" for name in ("far", "near", "own"))
    far.write_text(f"_BASE_: {get_config_file(X101)}\n")
    near.write_text(f"_BASE_: [{far}, {get_config_file(NAME)}]\n")
    own.write_text(f"_BASE_: {near}\n{load_cfg(NAME).dump()}")
    assert load_cfg(own, ["MODEL.WEIGHTS", "zoo"]).MODEL.WEIGHTS == URL
    near.write_text(f"_BASE_: [{get_config_file(NAME)}, {far}]\n")  # of several the last one wins
    assert get_checkpoint_url(X101) == load_cfg(own, ["MODEL.WEIGHTS", "zoo"]).MODEL.WEIGHTS


def test_without_released_weights_the_message_lists_those_that_there_are():
    with pytest.raises(ValueError, match=rf"No weights .*'.*pointrend_rcnn_toy.*{NAME}"):
        load_cfg("Toy/pointrend_rcnn_toy.yaml", ["MODEL.WEIGHTS", "zoo"])
    with pytest.raises(ValueError, match="a run without configuration"):
        load_cfg("", ["MODEL.WEIGHTS", "zoo"])


def test_a_predictor_takes_them_and_says_where_to_put_the_file(monkeypatch, tmp_path):
    def fail(*_args, **_kwargs):
        raise OSError("no network")

    monkeypatch.setattr("iopath.common.file_io.download", fail)
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"Download .*model_final_edd263.*put it at") as e:
        Predictor.from_config(NAME, "zoo", device="cpu")
    assert str(tmp_path) in str(e.value)


def test_the_page_of_configurations_states_the_published_numbers():
    page = (Path(__file__).parents[1] / "configs" / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| \[[^]]+\]\(([^)]+)\) .*\| ([^|]*) \|$", page, re.MULTILINE))
    for name, model in released_models().items():
        stated = ", ".join(f"{key} {value}" for key, value in model.published.items())
        assert rows[name] == stated
    for name in rows.keys() - released_models().keys():
        assert rows[name] == "-"
