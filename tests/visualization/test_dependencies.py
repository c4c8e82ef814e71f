"""Drawing must work where neither matplotlib nor a display nor Detectron2 is installed."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pointrend_ext.visualization

FOLDER = Path(pointrend_ext.visualization.__file__).parent
ALLOWED = {"numpy", "cv2", "PIL", "torch", "torchvision", "pointrend_ext"} | set(
    sys.stdlib_module_names
)


def test_modules_import_nothing_else():
    files = sorted(FOLDER.glob("*.py"))
    assert len(files) > 5
    for path in files:
        for node in ast.parse(path.read_text()).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
                if node.module.startswith("pointrend_ext"):
                    assert node.module.startswith("pointrend_ext.visualization"), path
            assert {name.split(".")[0] for name in names} <= ALLOWED, path
