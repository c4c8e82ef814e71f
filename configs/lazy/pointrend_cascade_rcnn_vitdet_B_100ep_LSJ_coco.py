from .common import get_config, refined
from .pointrend_rcnn_vitdet_B_100ep_LSJ_coco import (
    dataloader,
    lr_multiplier,
    model,
    optimizer,
    train,
)

model.roi_heads = get_config("common/models/cascade_rcnn.py").model.roi_heads
for _head in model.roi_heads.box_heads:
    _head.update(conv_dims=[256] * 4, fc_dims=[1024], conv_norm="LN")
refined(model)
