"""No model computes in float64 on a device that lacks it, such as an Apple GPU.

There is no such device here: the CPU pretends to be one.
"""

import pytest
import torch
from detectron2.modeling import build_model
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pointrend_ext.engine import load_cfg
from pointrend_ext.layers.fast import lazy_logits, taps
from pointrend_ext.layers.precision import has_float64
from tests.modeling.builders import backward, picture
from tests.tiny_models import TINY

SMALL = ["INPUT.CROP.ENABLED", False, "MODEL.WEIGHTS", ""]
CONFIGS = {
    "pointrend_rcnn": [],
    "mask_rcnn": [],
    "pointrend_semantic": [],
    "pointrend_semantic_FAM": [],
    "pointrend_sfnet": [],
    "pointrend_alignseg": [],
    "pointrend_semantic labels": ["MODEL.SEM_SEG_POINT_HEAD.OUTPUT", "labels"],
}


class NoFloat64(TorchDispatchMode):
    """Refuses to make a tensor of 64-bit floating point."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor) and value.dtype in (torch.float64, torch.complex128):
                raise TypeError(f"{func} gives a tensor of {value.dtype}")
        return result


@pytest.fixture
def lacking(monkeypatch):
    """The device lacks float64."""
    monkeypatch.setattr(taps, "has_float64", lambda device: False)


def make_model(name):
    words = name.split()[0], CONFIGS[name]
    is_instance = words[0].endswith("rcnn")
    opts = [*(TINY if is_instance else ["MODEL.DEVICE", "cpu"]), *SMALL, *words[1]]
    torch.manual_seed(2)
    return build_model(load_cfg(f"Toy/{words[0]}_toy.yaml", opts)), is_instance


@pytest.mark.parametrize("name", CONFIGS)
def test_inference(lacking, name):
    model, is_instance = make_model(name)
    with torch.inference_mode(), NoFloat64():
        found = model.eval()([{**picture((64, 96)), "height": 70, "width": 90}])
    if is_instance:
        assert len(found[0]["instances"]) > 0
        assert found[0]["instances"].pred_masks.shape[1:] == (70, 90)
    else:
        assert found[0]["sem_seg"].shape[-2:] == (70, 90)


@pytest.mark.parametrize("name", [name for name in CONFIGS if " " not in name])
def test_training_step(lacking, event_storage, name):
    model, is_instance = make_model(name)
    batch = [picture((64, 96), [(10, 12, 50, 60), (40, 5, 90, 30)]) for _ in range(2)]
    for example in [] if is_instance else batch:
        del example["instances"]
        example["sem_seg"] = torch.randint(0, 10, (64, 96))
    with NoFloat64():
        losses = backward(model, batch)
    assert sum(losses.values()) > 0


def test_the_check_sees_what_it_is_for(lacking):
    for offence in (torch.Tensor.double, lambda x: torch.linspace(0, 1, 3, dtype=torch.float64)):
        with pytest.raises(TypeError, match="float64"), NoFloat64():
            offence(torch.zeros(2))


def test_only_what_is_known_to_lack_it_goes_without():
    assert has_float64(torch.device("cpu"))
    assert has_float64(torch.device("cuda", 1))
    assert not has_float64(torch.device("mps"))


@pytest.mark.parametrize("count", [3, 56, 1023])
def test_taps_without_float64_differ_by_rounding_alone(rng, monkeypatch, count):
    coords = torch.rand(1000, 2, generator=rng)
    exact = taps.bilinear_taps(coords.double(), (count, count))
    monkeypatch.setattr(taps, "has_float64", lambda device: False)
    found = taps.bilinear_taps(coords, (count, count))
    table = torch.rand(count * count, 4, generator=rng)

    def read(columns, rows, weights):
        cells = taps.tap_cells(columns, rows, count)
        return (table[cells.long()].double() * weights[..., None]).sum(-2)

    # one unit in the last place of a position, which is at most `count`
    error = 4 * count * torch.finfo(torch.float32).eps
    torch.testing.assert_close(read(*found), read(*exact), rtol=0, atol=error)


def test_the_weights_of_a_doubling_are_exact_in_float32():
    cells, weights = lazy_logits._sources(torch.arange(6), 3)
    assert weights.dtype == torch.float32
    assert cells.tolist() == [[0, 0], [0, 1], [0, 1], [1, 2], [1, 2], [2, 2]]
    assert weights.tolist() == [[0.25, 0.75], [0.75, 0.25]] * 3
