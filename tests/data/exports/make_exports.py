"""Let real libraries write the scene of ``scene.py`` in COCO's format.

    python3.11 -m venv ENV && ENV/bin/pip install pillow supervision opencv-python-headless
    ENV/bin/python tests/data/exports/make_exports.py supervision

writes ``supervision.json`` beside this file, and a line of ``manifest.json``. One environment per
library: besides the package of ``@tool`` and Pillow, labelme's script needs imgviz and pycocotools,
and pylabel an older pandas (< 2.2) and NumPy (< 2). Dates, colours drawn at random and folders are
taken out of what was written (``scrubbed``); nothing else is changed.
"""

import argparse
import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import annotation_tools  # noqa: F401  (enters its tools)
import libraries  # noqa: F401
from PIL import Image
from registry import TOOLS
from scene import SIZES_HW

HERE = Path(__file__).resolve().parent


def scrubbed(value: Any, folder: str) -> Any:
    """Return the content without dates, random colours and the temporary folder."""
    if isinstance(value, dict):
        gone = {"date_created", "date_captured", "color", "year"}
        return {k: scrubbed(v, folder) for k, v in value.items() if k not in gone}
    if isinstance(value, list):
        return [scrubbed(item, folder) for item in value]
    if isinstance(value, str) and folder in value:
        return Path(value).name.replace(folder, "")
    return value


def main() -> None:
    """Write the file of one tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tool", choices=TOOLS)
    name = parser.parse_args().tool
    package, form, function = TOOLS[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for image, (height, width) in SIZES_HW.items():
            Image.new("RGB", (width, height), (90, 120, 150)).save(folder / image)
        written = function(folder)
        content = json.loads(written.read_text()) if isinstance(written, Path) else written
        text = json.dumps(scrubbed(json.loads(json.dumps(content)), folder.name))
    (HERE / f"{name}.json").write_text(text + "\n")
    manifest = HERE / "manifest.json"
    known = json.loads(manifest.read_text()) if manifest.exists() else {}
    known[name] = {"package": package, "version": version(package), "form": form}
    manifest.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
