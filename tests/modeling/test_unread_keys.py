"""What the configuration asks for and the model does not have is an error."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_model

from pointrend_ext.engine import Trainer, load_cfg
from pointrend_ext.modeling.unread_keys import check_unread_keys

INSTANCE = "Toy/pointrend_rcnn_toy.yaml"
MASK_RCNN = "Toy/mask_rcnn_toy.yaml"
SEMANTIC = "Toy/semantic_fpn_toy.yaml"
REFINED = "Toy/pointrend_semantic_toy.yaml"
SFNET = "Cityscapes-SemanticSegmentation/pointrend_sfnet_R_50_cityscapes.yaml"
DEEPLAB = "Cityscapes-SemanticSegmentation/pointrend_deeplab_v3_R_103_os16_cityscapes.yaml"
PANOPTIC = ["MODEL.META_ARCHITECTURE", "PanopticFPN"]
FAM = ["MODEL.FPN.ALIGNMENT.NAME", "FAM"]
ALIGNED = ["MODEL.BACKBONE.NAME", "build_resnet_aligned_fpn_backbone"]
AUXILIARY = ["MODEL.SEM_SEG_HEAD.AUX_LOSS_WEIGHT", 0.4]
OHEM = ["MODEL.SEM_SEG_HEAD.LOSS_TYPE", "ohem"]
LABELS = ["MODEL.SEM_SEG_POINT_HEAD.OUTPUT", "labels"]
META = ["MODEL.DEVICE", "meta", "MODEL.WEIGHTS", ""]


def make_cfg(name, opts):
    return load_cfg(name, [*META, *opts])


MISTAKES = {
    "alignment, instances": (INSTANCE, FAM, "NAME is 'FAM', but .*'build_resnet_fpn_backbone'"),
    "alignment, Mask R-CNN": (MASK_RCNN, FAM, "Set MODEL.BACKBONE.NAME build_resnet_aligned_fpn"),
    "alignment, semantics": (REFINED, FAM, "NAME is 'FAM', but"),
    "alignment, panoptic": (INSTANCE, [*PANOPTIC, *FAM], "NAME is 'FAM', but"),
    "alignment, no pyramid": (SFNET, FAM, "'build_resnet_deeplab_backbone' builds"),
    "auxiliary loss": (SEMANTIC, AUXILIARY, "AUX_LOSS_WEIGHT is 0.4, but SemSegFPNHead has no"),
    "auxiliary loss, refined": (DEEPLAB, AUXILIARY, "but DeepLabV3LogitsHead has no auxiliary"),
    "loss": (REFINED, OHEM, "LOSS_TYPE is 'ohem', but SemSegFPNHead always"),
    "labels": (SEMANTIC, LABELS, "OUTPUT is 'labels', but .*'SemanticSegmentor' returns logits"),
}
RIGHT = {
    "instances": (INSTANCE, []),
    "Mask R-CNN": (MASK_RCNN, []),
    "alignment": (INSTANCE, [*ALIGNED, *FAM]),
    "aligned backbone without alignment": (REFINED, ALIGNED),
    "alignment, panoptic": (INSTANCE, [*PANOPTIC, *ALIGNED, *FAM]),
    "auxiliary loss": (SFNET, AUXILIARY),
    "loss": (SFNET, OHEM),
    "labels": (REFINED, LABELS),
    # a semantic key of an instance model: nothing that it could mean
    "no semantic head": (INSTANCE, [*AUXILIARY, *LABELS]),
}


@pytest.mark.parametrize(("name", "opts", "message"), MISTAKES.values(), ids=MISTAKES)
def test_what_nothing_reads_is_refused(name, opts, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        Trainer.build_model(make_cfg(name, opts))


@pytest.mark.parametrize(("name", "opts"), RIGHT.values(), ids=RIGHT)
def test_what_something_reads_is_not(name, opts):
    cfg = make_cfg(name, opts)
    before = cfg.dump()
    with torch.device("meta"):
        check_unread_keys(cfg, build_model(cfg))
    assert cfg.dump() == before
