"""Both packages in one process, in either order."""

import itertools

import pytest

from tests.fresh_python import run_fresh

pytestmark = pytest.mark.parity

MODULES = ("pointrend_ext", "detectron2.projects.point_rend", "detectron2.projects.deeplab")


@pytest.mark.parametrize("order", itertools.permutations(MODULES), ids=" ".join)
def test_imports_in_any_order(order):
    code = (
        f"import {', '.join(order)}\n"
        "from detectron2.modeling import ROI_MASK_HEAD_REGISTRY as registry\n"
        "ours = registry.get('PointRendROIMaskHead').__module__\n"
        "theirs = registry.get('PointRendMaskHead').__module__\n"
        "assert ours.startswith('pointrend_ext.'), ours\n"
        "assert theirs.startswith('detectron2.'), theirs\n"
    )
    done = run_fresh(code)
    assert done.returncode == 0, done.stderr
