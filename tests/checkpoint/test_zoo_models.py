"""Models of Detectron2's zoo as the start of ours: what is loaded, what is new, in one line."""

from __future__ import annotations

import logging

import pytest

from pointrend_ext.checkpoint import IncompleteWeightsError
from tests.checkpoint.helpers import assert_same

MASK = "roi_heads.mask_head."


def assert_loaded(model, source, fresh, is_new):
    """Each tensor is the source's, but for those that ``is_new`` names."""
    assert_same(model.state_dict(), {k: fresh[k] if is_new(k) else source[k] for k in fresh})


def first_lines(caplog):
    return [record.getMessage().splitlines()[0] for record in caplog.records]


def test_panoptic_fpn_starts_a_panoptic_point_rend(make_model, files, load, caplog):
    caplog.set_level(logging.INFO, logger="pointrend_ext")
    source, model = make_model("panoptic", seed=3), make_model("panoptic point_rend")
    fresh = make_model("panoptic point_rend").state_dict()
    report = load(model, files.zoo(source.state_dict()), training=True)
    (line,) = first_lines(caplog)
    assert line.startswith("backbone, FPN, RPN, box head, semantic head loaded; mask head new (")
    assert line.endswith("Detectron2 panoptic segmentation.")
    assert_loaded(model, source.state_dict(), fresh, lambda name: name.startswith(MASK))
    assert all(name.startswith(MASK) for name in report.names("unexpected", "missing"))


def test_a_panoptic_model_evaluates_what_it_is(make_model, files, load):
    source, model = make_model("panoptic", seed=3), make_model("panoptic")
    report = load(model, files.zoo(source.state_dict()))
    assert report.names("loaded") == list(source.state_dict())
    assert_loaded(model, source.state_dict(), model.state_dict(), lambda name: False)


@pytest.mark.parametrize(
    ("old", "new", "first"),
    [
        ("mask_rcnn", "aligned mask_rcnn", "backbone, FPN, RPN, box head, mask head loaded"),
        ("point_rend", "aligned point_rend", "backbone, FPN, RPN, box head, mask head loaded"),
        ("mask_rcnn", "aligned point_rend", "backbone, FPN, RPN, box head loaded"),
    ],
)
def test_an_fpn_starts_an_aligned_one(make_model, files, load, caplog, old, new, first):
    caplog.set_level(logging.INFO, logger="pointrend_ext")
    source, model = make_model(old, seed=3), make_model(new)
    fresh = make_model(new).state_dict()
    path = files.zoo(source.state_dict())
    has_new_mask_head = old.split()[-1] != new.split()[-1]

    def is_new(name):
        return "fpn_align" in name or (has_new_mask_head and name.startswith(MASK))

    report = load(model, path, training=True)
    (line,) = first_lines(caplog)
    also = ", mask head" if has_new_mask_head else ""
    assert line.startswith(f"{first}; feature alignment{also} new (")
    assert_loaded(model, source.state_dict(), fresh, is_new)
    missing = report.names("missing")
    assert missing == [name for name in fresh if is_new(name)]
    layers = ("down_h", "down_l", "flow_make")
    assert [name for name in missing if "align" in name] == [
        f"backbone.fpn_align{stage}.{layer}.weight" for stage in (2, 3, 4) for layer in layers
    ]
    with pytest.raises(IncompleteWeightsError, match="do not fill the model"):
        load(make_model(new), path)
