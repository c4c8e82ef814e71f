from .common import get_config, jittered_coco, refined

_base = get_config("new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ.py")
model = refined(_base.model)
dataloader = jittered_coco("BGR")
lr_multiplier, optimizer, train = _base.lr_multiplier, _base.optimizer, _base.train
