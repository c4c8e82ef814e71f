"""Drawing must work where neither matplotlib nor a display nor Detectron2 is installed."""

import re
import sys
from pathlib import Path

import pointrend_ext.visualization as drawing


def test_modules_import_nothing_else():
    code = "\n".join(path.read_text() for path in Path(drawing.__file__).parent.glob("*.py"))
    names = set(re.findall(r"^(?:from|import) ([\w.]+)", code, re.MULTILINE))
    ours = {name for name in names if name.startswith("pointrend_ext")}
    assert len(ours) > 5
    assert all(name.startswith("pointrend_ext.visualization") for name in ours)
    others = {name.split(".")[0] for name in names - ours} - set(sys.stdlib_module_names)
    assert others == {"numpy", "cv2", "PIL", "torch", "torchvision"}
