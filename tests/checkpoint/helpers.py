"""Comparing states, and the names that PointRend's weights had before November 2020."""

import pickle
import re
from functools import partial

import torch

# Tensors, or dictionaries of them with the same names: equal to the last bit.
assert_same = partial(torch.testing.assert_close, rtol=0, atol=0)


def drop(state, *prefixes):
    return {name: value for name, value in state.items() if not name.startswith(prefixes)}


def with_old_names(state):
    old = {}
    for name, value in state.items():
        name = name.replace("mask_head.coarse_head.", "mask_coarse_head.")
        name = name.replace("mask_head.point_head.", "mask_point_head.")
        old[re.sub(r"(mask_coarse_head\.)fc", r"\1coarse_mask_fc", name)] = value
    return old


def write_zoo_file(path, state):
    arrays = {name: value.numpy() for name, value in state.items()}
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2 Model Zoo"}))
    return str(path)
