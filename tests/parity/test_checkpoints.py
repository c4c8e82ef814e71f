"""Weights files that upstream's models write, in the format of the model zoo, in ours."""

import pytest
import torch
from detectron2.modeling import build_model

from pointrend_ext.checkpoint import PointRendCheckpointer
from pointrend_ext.engine import load_cfg
from tests.checkpoint.helpers import with_old_names, write_zoo_file
from tests.parity.conftest import CONFIG, FEW, RANDOM_MODEL
from tests.parity.upstream import below_model, shrink_residuals, upstream_semantic_model

pytestmark = pytest.mark.parity

SEMANTICS = "Cityscapes-SemanticSegmentation/pointrend_semantic_R_101_FPN_1x_cityscapes.yaml"
BASELINE = "Cityscapes-SemanticSegmentation/semantic_R_101_FPN_1x_cityscapes.yaml"


def load_strictly(path, cfg):
    torch.manual_seed(99)
    model = build_model(cfg)
    checkpointer = PointRendCheckpointer(model)
    checkpointer.load(str(path))
    assert not checkpointer.report.names("missing", "unexpected")
    return model.eval()


@pytest.mark.parametrize("names", [dict, with_old_names], ids=["current", "legacy"])
def test_r50_instances(tmp_path, make_pair, drawn_inputs, names):
    image = drawn_inputs[0]["image"]
    inputs = [{"image": image, "height": image.shape[1], "width": image.shape[2]}]
    _, upstream = make_pair(80, inputs)
    path = tmp_path / "model_final.pkl"
    write_zoo_file(path, names(upstream.state_dict()))
    model = load_strictly(path, load_cfg(CONFIG, [*below_model(RANDOM_MODEL), *FEW]))
    with torch.no_grad():
        (expected,), (got,) = (m.inference(inputs, do_postprocess=False) for m in (upstream, model))
    assert len(got) == 20
    assert torch.equal(got.pred_boxes.tensor, expected.pred_boxes.tensor)
    assert torch.equal(got.pred_classes, expected.pred_classes)
    differs = (got.pred_masks - expected.pred_masks).abs() > 1e-5
    assert differs.float().mean() < 1e-3  # points swapped at the cut-off: test_inference.py


def test_r101_semantics(tmp_path, drawn_inputs):
    torch.manual_seed(3)
    upstream = upstream_semantic_model(BASELINE, 19).eval()
    shrink_residuals(upstream)
    path = tmp_path / "model_final.pkl"
    write_zoo_file(path, upstream.state_dict())
    model = load_strictly(path, load_cfg(SEMANTICS, below_model({"DEVICE": "cpu", "WEIGHTS": ""})))
    inputs = [{"image": drawn_inputs[0]["image"][:, :128, :192]}]
    with torch.no_grad():
        (expected,), (got,) = upstream(inputs), model(inputs)
    scale = expected["sem_seg"].abs().max()
    torch.testing.assert_close(got["sem_seg"] / scale, expected["sem_seg"] / scale)
