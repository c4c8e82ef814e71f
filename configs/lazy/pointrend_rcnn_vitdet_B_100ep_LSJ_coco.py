# The recipe of ViTDet-B (Li et al., ECCV 2022): AdamW, learning rates that fall with the depth.
from functools import partial

from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate

from .common import get_config, jittered_coco, refined

_base = get_config("new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ.py")
model = refined(get_config("common/models/mask_rcnn_vitdet.py").model)
dataloader = jittered_coco("RGB")
train = _base.train
train.init_checkpoint = (
    "detectron2://ImageNetPretrained/MAE/mae_pretrain_vit_base.pth?matching_heuristics=True"
)
lr_multiplier = _base.lr_multiplier
lr_multiplier.warmup_length = 250 / train.max_iter
lr_multiplier.warmup_factor = 0.001
optimizer = get_config("common/optim.py").AdamW
optimizer.params.lr_factor_func = partial(
    get_vit_lr_decay_rate, lr_decay_rate=0.7, num_layers=model.backbone.net.depth
)
optimizer.params.overrides = {"pos_embed": {"weight_decay": 0.0}}
