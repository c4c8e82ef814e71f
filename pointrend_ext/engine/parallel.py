"""One model trained by several processes."""

import warnings
from typing import Any

import torch.distributed as dist
from detectron2.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pointrend_ext.modeling.roi_heads import MaskOnlyROIHeads


def share_model(model: nn.Module, **options: Any) -> nn.Module:
    """Wrap a model for several processes, as Detectron2's ``create_ddp_model`` does on GPUs alone.

    Gradients are then the mean over the processes. Without RPN and box head nothing reads some
    outputs of the FPN, so that their gradients have to be looked for. On processors they are looked
    for in any case: else the second iteration after each start sums in another order than the
    first, and a training that is resumed in three processes or more is not exactly the same.

    Args:
        model: on its device.
        **options: of ``DistributedDataParallel``.
    """
    if comm.get_world_size() == 1:
        return model
    is_on_gpu = next(model.parameters()).is_cuda
    is_partly_used = any(isinstance(module, MaskOnlyROIHeads) for module in model.modules())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of Detectron2's broadcast_buffers
        return DistributedDataParallel(
            model,
            device_ids=[comm.get_local_rank()] if is_on_gpu else None,
            find_unused_parameters=is_partly_used or not is_on_gpu,
            **options,
        )


def share_buffers(model: nn.Module) -> None:
    """Give all processes the buffers of the first; all of them call it, before an evaluation.

    The running statistics of batch normalisation are those of the images of each process. Scores
    are to be those of one model, that which the first process saves.
    """
    if comm.get_world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
