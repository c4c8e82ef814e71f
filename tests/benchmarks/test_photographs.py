import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from torch import nn

from benchmarks.photograph_data import (
    annotation_file,
    description_file,
    split_sequences,
    with_one_class,
    write_descriptions,
)
from benchmarks.photograph_report import draw_groups, overview, summarize, table
from benchmarks.stored_features import (
    FOLDER_VARIABLE,
    build_stored_resnet_fpn_backbone,
    store_outputs,
)
from pointrend_ext.data.descriptions import read_description
from pointrend_ext.evaluation.mask_quality import MaskQuality


def _annotations(sequences: str) -> dict:
    images = [{"id": n, "file_name": f"{n}.jpg", "sequence": s} for n, s in enumerate(sequences)]
    objects = [{"id": 10 + n, "image_id": n, "category_id": 7} for n in range(len(sequences))]
    return {"images": images, "annotations": objects, "categories": [{"id": 7, "name": "cat"}]}


def test_sequences_are_cut_in_turns_of_the_alphabet() -> None:
    parts = split_sequences(_annotations("cabbd"))

    assert [i["id"] for i in parts["train"]["images"]] == [0, 1]  # a, c
    assert [i["id"] for i in parts["val"]["images"]] == [2, 3, 4]  # b, d
    assert [a["image_id"] for a in parts["val"]["annotations"]] == [2, 3, 4]
    assert parts["val"]["categories"] == [{"id": 7, "name": "cat"}]


def test_all_objects_get_one_class_and_keep_the_rest() -> None:
    source = _annotations("ab")
    changed = with_one_class(source)

    assert changed["categories"] == [{"id": 1, "name": "object"}]
    assert [(a["id"], a["category_id"]) for a in changed["annotations"]] == [(10, 1), (11, 1)]
    assert source["annotations"][0]["category_id"] == 7
    assert changed["images"] == source["images"]


def test_descriptions_name_the_images_where_they_lie(tmp_path) -> None:
    data, output = tmp_path / "data_sets", tmp_path / "output"
    for path in (
        "coco/annotations/instances_train2017.json",
        "coco/annotations/instances_val2017.json",
        "davis/instances.json",
    ):
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        (data / path).write_text(json.dumps(_annotations("abc")))

    write_descriptions(data, output)

    found = read_description(description_file(output, "davis_objects"))
    assert found.splits["val"].images == str(data / "davis/images")
    assert found.root == str(annotation_file(output, "davis_objects", "val").parent)
    written = json.loads(annotation_file(output, "davis_objects", "val").read_text())
    assert [image["sequence"] for image in written["images"]] == ["b"]


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0), requires_grad=False)
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        return {"res2": images * self.scale}


def test_outputs_are_computed_once_per_input_and_weights(tmp_path) -> None:
    network, same, other = _Network(), _Network(), _Network()
    other.scale.data.fill_(5.0)
    for each in (network, same, other):
        store_outputs(each, tmp_path)
    image = torch.tensor([0.1, 2.0]).view(1, 1, 1, 2)

    for _ in range(2):
        found = network(image)["res2"]
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, (image * 3).half().float(), rtol=0, atol=0)
    assert network.calls == 1
    assert same(image)["res2"].equal(found)
    assert same.calls == 0  # its own process would find the file, too
    network(image.view(1, 1, 2, 1))  # the same numbers in another shape
    assert network.calls == 2
    assert other(image)["res2"][0, 0, 0, 1] == 10
    assert list(network.state_dict()) == ["scale"]
    assert not list(tmp_path.glob("*.new"))


def test_features_of_a_network_that_trains_are_not_stored(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    cfg = get_cfg()
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    with pytest.raises(ValueError, match=r"FREEZE_AT is 2.*set it to 5"):
        build_stored_resnet_fpn_backbone(cfg, ShapeSpec(channels=3))
    cfg.MODEL.BACKBONE.FREEZE_AT = 5
    backbone = build_stored_resnet_fpn_backbone(cfg, ShapeSpec(channels=3))
    assert sorted(backbone(torch.zeros(1, 3, 32, 32))) == ["p2", "p3", "p4", "p5", "p6"]
    assert len(list(tmp_path.glob("*.pt"))) == 1


def test_images_of_a_group_are_drawn_together() -> None:
    weights = draw_groups(["b", "a", "b", "c"])

    assert weights[0].tolist() == [1, 1, 1, 1]
    assert (weights[1:, 0] == weights[1:, 2]).all()
    assert (weights[1:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert len({tuple(row) for row in weights[1:].tolist()}) > 5


def _quality(ious: list[float], outlines: list[float]) -> MaskQuality:
    areas = np.array([10.0, 96.0**2, 1e5])
    return MaskQuality(np.array([0, 0, 1]), areas, np.array(ious), np.array(outlines), 0)


TRUTH = SimpleNamespace(dataset={"images": [{"id": 5}, {"id": 6}, {"id": 7}]})


def test_means_over_seeds_and_what_is_ahead_by_hand() -> None:
    qualities = {
        "new": [_quality([0.5, 0.7, 0.9], [0.2, 0.4, 0.6]), _quality([0.3, 0.5, 0.7], [0.2] * 3)],
        "old": [_quality([0.5, 0.6, 0.6], [0.1, 0.2, 0.2])],
    }
    found = summarize(TRUTH, qualities, "old", "id")

    assert found["objects"] == {"all": 3, "small": 1, "medium": 0, "large": 2}
    large = found["models"]["new"]["IoU-large"]
    assert large["value"] == pytest.approx(70)
    assert large["seeds"] == pytest.approx([80, 60])
    assert large["low"] < 70 < large["high"]
    # Only the seed that both have is compared: 80 - 60, not 70 - 60.
    ahead = found["ahead"]["new"]["IoU-large"]
    assert (ahead["value"], ahead["seeds"]) == (pytest.approx(20), pytest.approx([20]))
    assert list(found["ahead"]) == ["new"]
    assert found["models"]["new"]["BoundaryIoU-medium"]["value"] is None
    json.dumps(found, allow_nan=False)


def test_difference_that_no_image_changes_has_no_interval() -> None:
    first, second = _quality([0.5, 0.7, 0.9], [0.5] * 3), _quality([0.4, 0.6, 0.8], [0.5] * 3)
    entry = summarize(TRUTH, {"a": [first], "b": [second]}, "b", "id")["ahead"]["a"]["IoU"]
    assert entry["value"] == pytest.approx(10)
    assert (entry["low"], entry["high"]) == (None, None)


def test_table_names_sizes_that_have_objects() -> None:
    qualities = {
        "new": [_quality([0.5, 0.7, 0.9], [0.2, 0.4, 0.6]), _quality([0.5, 0.7, 0.9], [0.2] * 3)],
        "old": [_quality([0.5, 0.6, 0.6], [0.1, 0.2, 0.2])] * 2,
    }
    text = table(summarize(TRUTH, qualities, "old", "id"))

    assert "| mask IoU | all (3) | small (1) | large (2) |" in text
    assert "medium" not in text
    rows = {line.split(" | ")[0]: line.split(" | ")[1:] for line in text.splitlines() if line}
    assert rows["| new: ahead"][0].startswith("+13.33 [")  # of boundary IoU, which is last
    assert rows["| new: ahead"][0].endswith("; +3.33 to +23.33")


def test_overview_has_a_row_per_model_and_two_columns_per_set() -> None:
    qualities = {
        "new": [_quality([0.5, 0.7, 0.9], [0.2, 0.4, 0.6])],
        "old": [_quality([0.5, 0.6, 0.6], [0.1, 0.2, 0.3])],
    }
    found = summarize(TRUTH, qualities, "old", "id")
    lines = overview({"A": found, "B": found}).splitlines()

    assert lines[0] == "| boundary IoU of large objects | A | ahead | B | ahead |"
    new, old = (line.strip("| ").split(" | ") for line in lines[2:])
    assert [cell.split(" ")[0] for cell in new] == ["new", "50.00", "+25.00", "50.00", "+25.00"]
    assert [cell.split(" ")[0] for cell in old[:2]] == ["old", "25.00"]
    assert old[2].strip() == ""
