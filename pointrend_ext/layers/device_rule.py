"""Which form of a computation runs on which device: the one place that asks.

Both forms return the same numbers within rounding. A CPU profits from small pieces that stay in its
cache, and may look at values to do less; a GPU wants few launches, and a look at a value makes the
host wait. No form has been timed on a GPU: there the one with the fewest launches runs.
``POINTREND_FORMS=cpu`` or ``cuda`` in the environment, and ``forms_for``, choose otherwise.

| form | for a CPU | elsewhere | why |
| --- | --- | --- | --- |
| ``point_sample`` | groups of channels | one ``grid_sample`` | cache |
| ``rows.planes_of_rows``, ``copy_rows`` | in parts | in one copy | cache, launches |
| ``selection.top_indices`` | a bound first, then ``nonzero`` | ``topk`` | ``nonzero`` waits |
| ``linear`` | oneDNN's product | cuBLAS | there is no oneDNN |
| ``top_two`` | running maxima, plane by plane | ``max``, twice | cache, launches |
| ``MapRows`` | copies the cells that are read | samples planes | ``unique`` waits |
| ``LabelGrid`` | doubles mixed cells only | doubles all | their number waits |
| ``labels_and_gaps`` | bands of rows | the whole map | cache, launches |
| ``upsampled_labels_and_gaps`` | class by class | logits of 256 MiB at once | launches |
| points of regions | ``ProjectedRegionPredictor`` | ``PlaneRegionPredictor`` | launches |
| ``POINTS_PER_CHUNK`` | few points at a time | by free memory | cache, launches |
| ``MapRowPredictor`` | few points at a time | 2**20 points at a time | cache, launches |
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pointrend_ext.layers.exporting import is_exported

_KINDS = ("cpu", "cuda")


def _check(kind: str) -> str:
    if kind not in _KINDS:
        raise ValueError(
            f'There are forms (POINTREND_FORMS) for "cpu" and "cuda", not for {kind!r}.'
        )
    return kind


_CHOSEN = os.environ.get("POINTREND_FORMS", "")
_FORCED = {"kind": _check(_CHOSEN)} if _CHOSEN else {}


def runs_cpu_form(device: torch.device) -> bool:
    """Return whether the form made for a CPU runs; see the table of this module.

    Never in a graph that is recorded: there sizes and values are symbols, which it may not look at.
    """
    return not is_exported() and _FORCED.get("kind", device.type) == "cpu"


@contextmanager
def forms_for(kind: str) -> Iterator[None]:
    """Run the forms made for a "cpu" or for "cuda" on whatever device, to compare them.

    It holds for all threads of the process.
    """
    before = dict(_FORCED)
    _FORCED["kind"] = _check(kind)
    try:
        yield
    finally:
        _FORCED.clear()
        _FORCED.update(before)
