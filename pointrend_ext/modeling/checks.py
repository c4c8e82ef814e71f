"""What is refused when a model is built, in one form."""

from collections.abc import Mapping

from detectron2.layers import ShapeSpec
from detectron2.utils.registry import Registry


def check_values(node: str, *facts: tuple[str, object, bool, str]) -> None:
    """Refuse values out of their range.

    Args:
        node: the configuration node that they stand in, as the user writes it.
        facts: key, value, whether it is allowed, and what is allowed, in words.

    Raises:
        ValueError: the first that is not allowed.
    """
    for key, value, is_allowed, allowed in facts:
        if not is_allowed:
            raise ValueError(f"{node}.{key} is {value!r}; it must be {allowed}.")


def registered(registry: Registry, key: str, name: str) -> type:
    """Look up what a key names.

    Args:
        registry: where it has to be.
        key: the configuration key, for the message.
        name: its value.

    Raises:
        ValueError: no such name; the message lists the known ones.
    """
    known = sorted(known for known, _ in registry)
    if name not in known:
        raise ValueError(
            f"{key} is {name!r}, which is not in the {registry._name} registry. Choose from "
            f"{known}."
        )
    return registry.get(name)


def check_common_stride(
    head: str, maps: Mapping[str, ShapeSpec], common_stride: int, *, may_be_finer: bool = False
) -> None:
    """Refuse a semantic head whose logits would not have the stride that is stated.

    Args:
        head: name of its class, for the message.
        maps: what it reads, by name, one or more.
        common_stride: ``MODEL.SEM_SEG_HEAD.COMMON_STRIDE``.
        may_be_finer: whether the head can predict at a finer stride than that of its finest map.

    Raises:
        ValueError: it predicts at another stride.
    """
    name, stride = min(((name, x.stride) for name, x in maps.items()), key=lambda pair: pair[1])
    if common_stride > stride or (common_stride < stride and not may_be_finer):
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.COMMON_STRIDE is {common_stride}, but {head} predicts at the "
            f"stride of {name!r}, {stride}. Set COMMON_STRIDE to {stride}, or change the strides "
            "of the backbone (res5 has stride 16 with MODEL.RESNETS.RES5_DILATION 2)."
        )
