"""What the configuration asks for and the model does not have is an error."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_model
from torch import nn

from pointrend_ext.engine import Trainer, load_cfg
from pointrend_ext.modeling.unread_keys import check_unread_keys

INSTANCE = "Toy/pointrend_rcnn_toy.yaml"
MASK_RCNN = "Toy/mask_rcnn_toy.yaml"
SEMANTIC = "Toy/semantic_fpn_toy.yaml"
REFINED = "Toy/pointrend_semantic_toy.yaml"
SFNET = "Cityscapes-SemanticSegmentation/pointrend_sfnet_R_50_cityscapes.yaml"
DEEPLAB = "Cityscapes-SemanticSegmentation/pointrend_deeplab_v3_R_103_os16_cityscapes.yaml"
DEEPLAB_PLUS = DEEPLAB.replace("v3", "v3_plus")
PANOPTIC = ["MODEL.META_ARCHITECTURE", "PanopticFPN"]
FAM = ["MODEL.FPN.ALIGNMENT.NAME", "FAM"]
CAB = ["MODEL.FPN.ALIGNMENT.NAME", "CAB"]
NORM = ["MODEL.FPN.ALIGNMENT.NORM", "SyncBN"]
ALIGNED = ["MODEL.BACKBONE.NAME", "build_resnet_aligned_fpn_backbone"]
AUXILIARY = ["MODEL.SEM_SEG_HEAD.AUX_LOSS_WEIGHT", 0.4]
OHEM = ["MODEL.SEM_SEG_HEAD.LOSS_TYPE", "ohem"]
LABELS = ["MODEL.SEM_SEG_POINT_HEAD.OUTPUT", "labels"]
COORDS = ["MODEL.FPN.ALIGNMENT.COORDS", "sfnet"]
HEAD_COORDS = ["MODEL.SEM_SEG_HEAD.ALIGNMENT_COORDS", "sfnet"]
MIN_KEPT = ["MODEL.SEM_SEG_HEAD.OHEM_MIN_KEPT", 50]
POOLING = ["MODEL.SEM_SEG_HEAD.ASPP_POOLING", "crop"]
META = ["MODEL.DEVICE", "meta", "MODEL.WEIGHTS", ""]


def make_cfg(name, opts):
    return load_cfg(name, [*META, *opts])


MISTAKES = {
    "alignment, instances": (INSTANCE, FAM, "NAME is 'FAM', but .*'build_resnet_fpn_backbone'"),
    "alignment, Mask R-CNN": (MASK_RCNN, FAM, "Set MODEL.BACKBONE.NAME build_resnet_aligned_fpn"),
    "alignment, semantics": (REFINED, FAM, "NAME is 'FAM', but"),
    "alignment, panoptic": (INSTANCE, [*PANOPTIC, *FAM], "NAME is 'FAM', but"),
    "alignment, no pyramid": (SFNET, FAM, "'build_resnet_sfnet_backbone' builds"),
    "auxiliary loss": (SEMANTIC, AUXILIARY, "AUX_LOSS_WEIGHT is 0.4, but SemSegFPNHead has no"),
    "auxiliary loss, refined": (DEEPLAB, AUXILIARY, "but DeepLabV3LogitsHead has no auxiliary"),
    "loss": (REFINED, OHEM, "LOSS_TYPE is 'ohem', but SemSegFPNHead always"),
    "details of no alignment": (INSTANCE, COORDS, "ALIGNMENT.COORDS is 'sfnet', but .*NAME is ''"),
    "norm of an alignment without": (INSTANCE, [*ALIGNED, *FAM, *NORM], "FAM and GatedFAM have no"),
    "grid of a head": (REFINED, HEAD_COORDS, "ALIGNMENT_COORDS is 'sfnet', but the semantic head"),
    "mining": (SEMANTIC, MIN_KEPT, "OHEM_MIN_KEPT is 50, but .*LOSS_TYPE is not 'ohem'"),
    "pooling": (SFNET, POOLING, "ASPP_POOLING is 'crop', but the semantic head has no ASPP that"),
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
    "details of an alignment": (INSTANCE, [*ALIGNED, *FAM, *COORDS]),
    "norm of an alignment": (INSTANCE, [*ALIGNED, *CAB, *NORM]),
    "grid of a head": (SFNET, HEAD_COORDS),
    "mining": (SFNET, MIN_KEPT),
    "pooling": (DEEPLAB, POOLING),
    "pooling, V3+": (DEEPLAB_PLUS, POOLING),
    # a semantic key of an instance model: nothing that it could mean
    "no semantic head": (INSTANCE, [*AUXILIARY, *LABELS, *HEAD_COORDS, *MIN_KEPT, *POOLING]),
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


def test_a_head_of_the_user_may_read_any_key():
    class UserHead(nn.Module):
        pass

    model = nn.Module()
    model.sem_seg_head = UserHead()
    cfg = make_cfg(SEMANTIC, [*AUXILIARY, *HEAD_COORDS, *MIN_KEPT, *POOLING])
    check_unread_keys(cfg, model)
    with pytest.raises(ValueError, match=r"ALIGNMENT\.COORDS"):
        check_unread_keys(make_cfg(SEMANTIC, COORDS), model)
