"""The shipped detector of the toy data, which finds things, under mask heads that know nothing."""

from types import SimpleNamespace

import pytest
import torch
from detectron2.structures import Boxes, Instances

from pointrend_ext.checkpoint import PointRendCheckpointer
from pointrend_ext.engine import load_cfg
from pointrend_ext.modeling.unread_keys import build_checked_model


@pytest.fixture(scope="session")
def detector():
    """Build a model with the boxes of the shipped detector and a mask head that knows nothing."""
    built = {}

    def make(name="pointrend_mask_head_toy", *opts):
        if (name, opts) not in built:
            words = ["MODEL.DEVICE", "cpu", "TEST.DETECTIONS_PER_IMAGE", 20, *opts]
            cfg = load_cfg(f"Toy/{name}.yaml", words)
            torch.manual_seed(0)
            model = build_checked_model(cfg).eval()
            if cfg.MODEL.WEIGHTS:
                checkpointer = PointRendCheckpointer(model, allow_missing=True, cfg=cfg)
                checkpointer.load(cfg.MODEL.WEIGHTS, checkpointables=[])
            for key, value in model.roi_heads.mask_head.named_parameters():
                if "predict" in key and value.dim() > 1:  # so that masks differ
                    torch.nn.init.normal_(value, std=0.1)
            built[name, opts] = SimpleNamespace(model=model, cfg=cfg)
        return built[name, opts]

    return make


@pytest.fixture
def masks_of():
    """Let a model's own mask head predict masks of boxes from features."""

    @torch.no_grad()
    def predict(model, features, boxes, classes):
        given = Instances((1, 1), pred_boxes=Boxes(boxes), pred_classes=classes)
        return model.roi_heads.mask_head(features, [given])[0].pred_masks

    return predict
