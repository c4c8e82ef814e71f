"""SFNetHead and AlignSegHead: their inner predictors know the classes as the main one does."""

from __future__ import annotations

import pytest
import torch

from pointrend_ext.checkpoint import SEMANTIC, IncompleteWeightsError
from tests.checkpoint.helpers import assert_same

FOUR, TWO = ["road", "sky", "car", "tree"], ["tree", "boat"]
INNER = {"SFNetHead": [f"auxiliary.{i}." for i in range(3)], "AlignSegHead": ["auxiliary."]}
KINDS = [(head, prefix) for head in INNER for prefix in ("", "PointRend ")]


def predictors(head, prefix):
    """Names of the weights and biases of all predictors outside the point head."""
    before = "sem_seg_head.coarse_sem_seg_head." if prefix else "sem_seg_head."
    modules = [f"{before}{inner}predictor" for inner in ("", *INNER[head])]
    return [f"{module}.{kind}" for module in modules for kind in ("weight", "bias")]


def randomized(model):
    """Biases start at zero in every model: here each number is another one."""
    torch.manual_seed(11)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


@pytest.mark.parametrize(("head", "prefix"), KINDS)
@pytest.mark.parametrize("by_name", [False, True])
def test_other_classes(make_model, files, load, head, prefix, by_name):
    """Two classes of four: the fourth by its name, and a new one; without names both are new."""
    source, model = randomized(make_model(f"{prefix}{head}")), make_model(f"{prefix}{head}", 2)
    old, fresh = source.state_dict(), {k: v.clone() for k, v in model.state_dict().items()}
    options = {"class_names": {SEMANTIC: TWO}, "map_classes": True} if by_name else {}
    path = files.pth({"model": old, "class_names": {SEMANTIC: FOUR}})
    report = load(model, path, training=True, **options)
    got, names = model.state_dict(), predictors(head, prefix)
    for name in names:
        assert old[name].shape[0] == 4
        expected = torch.stack([old[name][3] if by_name else fresh[name][0], fresh[name][1]])
        assert_same(got[name], expected)
    points = [name for name in got if ".point_head." in name]
    assert bool(points) == bool(prefix)
    changed = {name for name in got if old[name].shape != got[name].shape}
    assert changed == set(names) | {n for n in points if "predictor" in n or "fc1.weight" in n}
    assert set(report.names("partly re-initialised")) == changed
    for name in set(got) - changed:
        assert_same(got[name], old[name])
    assert report.names("missing", "shape mismatch", "unexpected") == []
    for name in points:
        if name.endswith("fc1.weight"):  # the columns of fine features stay
            assert_same(got[name][:, :16], old[name][:, :16])


def test_inner_layers_may_be_new(make_model, files, load):
    """Weights that were trained without them start a training with them, and the other way."""
    plain, deep = randomized(make_model("AlignSegHead alone")), make_model("AlignSegHead")
    path = files.pth(plain.state_dict(), "plain.pth")
    report = load(deep, path, training=True)
    assert report.new_parts() == ["auxiliary semantic layers"]
    for name, value in plain.state_dict().items():
        assert_same(deep.state_dict()[name], value)
    with pytest.raises(IncompleteWeightsError, match="do not fill the model"):
        load(make_model("AlignSegHead"), path)
    again = make_model("AlignSegHead alone")
    report = load(again, files.pth(deep.state_dict(), "deep.pth"))
    assert all(name.startswith("sem_seg_head.auxiliary.") for name in report.names("unexpected"))
    assert report.names("missing") == []
