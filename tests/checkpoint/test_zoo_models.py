"""Models of Detectron2's zoo as the start of ours: what is loaded, what is new, in one line."""

import logging

import pytest
import torch

from pointrend_ext.checkpoint import IncompleteWeightsError
from tests.checkpoint.helpers import assert_same

MASK = "roi_heads.mask_head."
MASK_RCNN, PANOPTIC = "Detectron2 Mask R-CNN", "Detectron2 panoptic segmentation"
ALIGNMENTS = [
    f"backbone.fpn_align{stage}.{layer}.weight"
    for stage in (2, 3, 4)
    for layer in ("down_h", "down_l", "flow_make")
]
STARTS = {  # what is loaded as well, what is new, the format
    ("mask_rcnn", "point_rend"): ("", "mask head", MASK_RCNN),
    ("panoptic", "panoptic point_rend"): (", semantic head", "mask head", PANOPTIC),
    ("mask_rcnn", "aligned mask_rcnn"): (", mask head", "feature alignment", MASK_RCNN),
    ("point_rend", "aligned point_rend"): (", mask head", "feature alignment", "PointRend"),
    ("mask_rcnn", "aligned point_rend"): ("", "feature alignment, mask head", MASK_RCNN),
}


@pytest.mark.parametrize(("old", "new"), STARTS)
def test_a_training_starts_and_nothing_is_evaluated(make_model, files, load, caplog, old, new):
    caplog.set_level(logging.INFO, logger="pointrend_ext")
    source, model = make_model(old, seed=3).state_dict(), make_model(new)
    fresh, path = make_model(new).state_dict(), files.zoo(source)
    with pytest.raises(
        IncompleteWeightsError, match=r"do not fill the model: .*allow_missing=True"
    ) as error:
        load(model, path)
    assert_same(model.state_dict(), fresh)
    caplog.clear()
    report = load(model, path, training=True)
    (line,) = [record.getMessage().splitlines()[0] for record in caplog.records]
    loaded, new_parts, weights_format = STARTS[old, new]
    assert line.startswith(f"backbone, FPN, RPN, box head{loaded} loaded; {new_parts} new (")
    assert line.endswith(f", {weights_format}.")
    is_new, unexpected = {*ALIGNMENTS} if "aligned" in new else set(), []
    if "mask head" in new_parts:
        is_new |= {name for name in fresh if name.startswith(MASK)}
        unexpected = [name for name in source if name.startswith(MASK)]
    assert set(report.names("missing")) == is_new
    assert report.names("unexpected") == unexpected
    assert f": {len(is_new)} tensors" in str(error.value)
    assert_same(model.state_dict(), {k: fresh[k] if k in is_new else source[k] for k in fresh})
    assert load(model, path, allow_missing=True).new_parts() == report.new_parts()


def test_a_panoptic_model_evaluates_what_it_is(make_model, files, load):
    source, model = make_model("panoptic", seed=3), make_model("panoptic")
    report = load(model, files.zoo(source.state_dict()))
    assert report.names("loaded") == list(source.state_dict())
    assert_same(model.state_dict(), source.state_dict())


def test_auxiliary_layers_may_be_new(make_model, files, load):
    """Weights that were trained without them start a training with them, and the other way."""
    plain, deep = make_model("AlignSegHead alone", seed=3), make_model("AlignSegHead")
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.normal_()  # biases start at zero in every model
    path = files.pth(plain.state_dict(), "plain.pth")
    report = load(deep, path, training=True)
    assert report.new_parts() == ["auxiliary semantic layers"]
    got = deep.state_dict()
    assert_same({name: got[name] for name in plain.state_dict()}, plain.state_dict())
    with pytest.raises(IncompleteWeightsError, match="do not fill the model"):
        load(make_model("AlignSegHead"), path)
    again = make_model("AlignSegHead alone")
    report = load(again, files.pth(got, "deep.pth"))
    assert all(name.startswith("sem_seg_head.auxiliary.") for name in report.names("unexpected"))
    assert report.names("missing") == []
