"""Weights files that upstream's models write, in the format of the model zoo, in ours."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.projects import point_rend

from pointrend_ext.checkpoint import PointRendCheckpointer
from pointrend_ext.engine import load_cfg
from pointrend_ext.model_zoo import get_config_file
from tests.checkpoint.helpers import with_old_names, write_zoo_file

pytestmark = pytest.mark.parity

INSTANCES = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_coco.yaml"
SEMANTICS = "Cityscapes-SemanticSegmentation/pointrend_semantic_R_101_FPN_1x_cityscapes.yaml"
BASELINE = "Cityscapes-SemanticSegmentation/semantic_R_101_FPN_1x_cityscapes.yaml"
NO_WEIGHTS = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""]
IMAGES = ["drawn_inputs", pytest.param("coco_inputs", marks=pytest.mark.real_data)]


def load_strictly(path, cfg):
    torch.manual_seed(99)
    model = build_model(cfg)
    checkpointer = PointRendCheckpointer(model)
    checkpointer.load(str(path))
    assert not checkpointer.report.names("missing", "unexpected")
    return model.eval()


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("name_as", [dict, with_old_names], ids=["current", "legacy"])
def test_r50_instances(request, tmp_path, make_pair, images, name_as):
    image = request.getfixturevalue(images)[0]["image"][:, :256, :256]
    inputs = [{"image": image, "height": image.shape[1], "width": image.shape[2]}]
    pair = make_pair(80, inputs)
    path = tmp_path / "model_final.pkl"
    write_zoo_file(path, name_as(pair.upstream.state_dict()))
    like_the_pair = [
        *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0),
        *("MODEL.RPN.POST_NMS_TOPK_TEST", 100),
        *("TEST.DETECTIONS_PER_IMAGE", 20),
    ]
    model = load_strictly(path, load_cfg(INSTANCES, [*NO_WEIGHTS, *like_the_pair]))
    with torch.no_grad():
        (expected,), (got,) = (
            m.inference(inputs, do_postprocess=False) for m in (pair.upstream, model)
        )
    assert len(got) == 20
    assert torch.equal(got.pred_boxes.tensor, expected.pred_boxes.tensor)
    assert torch.equal(got.pred_classes, expected.pred_classes)
    differs = (got.pred_masks - expected.pred_masks).abs() > 1e-5
    assert differs.float().mean() < 1e-3  # points swapped at the cut-off: test_inference.py


@pytest.mark.parametrize("images", IMAGES)
def test_r101_semantics(request, tmp_path, images):
    cfg = get_cfg()
    point_rend.add_pointrend_config(cfg)
    cfg.merge_from_file(get_config_file(BASELINE), allow_unsafe=True)
    cfg.merge_from_list([*NO_WEIGHTS, "MODEL.SEM_SEG_HEAD.NAME", "PointRendSemSegHead"])
    cfg.MODEL.POINT_HEAD.NUM_CLASSES = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    cfg.MODEL.POINT_HEAD.SUBDIVISION_STEPS = 2
    cfg.MODEL.POINT_HEAD.SUBDIVISION_NUM_POINTS = 8192
    cfg.MODEL.POINT_HEAD.COARSE_PRED_EACH_LAYER = False
    torch.manual_seed(3)
    upstream = build_model(cfg).eval()
    with torch.no_grad():
        for block in (m for m in upstream.modules() if hasattr(m, "conv3")):
            block.conv3.norm.weight.fill_(0.3)  # activations that do not grow with depth
    path = tmp_path / "model_final.pkl"
    write_zoo_file(path, upstream.state_dict())
    model = load_strictly(path, load_cfg(SEMANTICS, NO_WEIGHTS))
    image = request.getfixturevalue(images)[0]["image"]
    inputs = [{"image": image[:, :128, :192]}]
    with torch.no_grad():
        (expected,), (got,) = upstream(inputs), model(inputs)
    scale = expected["sem_seg"].abs().max()
    torch.testing.assert_close(got["sem_seg"] / scale, expected["sem_seg"] / scale)
