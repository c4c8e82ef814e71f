"""labelme's files, a JSON file per picture: its ``LabelFile`` and ``utils.shape`` tell the form."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from PIL import Image

from pointrend_ext.data.findings import Cause, Kind
from pointrend_ext.data.formats.labelled import (
    GONE,
    NOT_AN_AREA,
    UNLABELLED,
    WITHOUT_CLASS,
    Labelled,
    Object,
    Picture,
    class_name,
)
from pointrend_ext.data.formats.shapes import box_polygon, ellipse_polygon, flat
from pointrend_ext.data.formats.tree import Tree, split_name
from pointrend_ext.data.reading import read_image_size
from pointrend_ext.data.strict_json import read_json

# X-AnyLabeling writes boxes with four corners, also turned ones, as labelme 6 does.
_OUTLINES = ("polygon", "rectangle", "rotation", "oriented_rectangle", "quadrilateral")
_IGNORED = Cause(Kind.LEFT_OUT, "shapes called __ignore__ or _background_", is_expected=True)


@dataclass(frozen=True)
class LabelmeExport:
    """A folder with labelme's files; the folder of a file, if it names one, is its split."""

    tree: Tree
    files: list[str]
    kind: str = "labelme"

    def read(self) -> Labelled:
        """Read all files.

        Raises:
            ValueError: a file is not labelme's, its picture has another size, or none has a shape.
        """
        found, labelled = Labelled([]), set()
        for name in self.files:
            file = self.tree.root / name
            content = _content(file)
            picture = _picture_of(file, content)
            if picture is None:
                found.findings.add(GONE, name)
                continue
            labelled.add(picture)
            size_hw = read_image_size(str(picture))
            stated = content.get("imageHeight"), content.get("imageWidth")
            if None not in stated and stated != size_hw:
                raise ValueError(
                    f"{str(file)!r} states {stated} (height, width), but {str(picture)!r} has "
                    f"{size_hw}. Take the picture that was labelled."
                )
            objects = list(_objects(content["shapes"], size_hw, name, found))
            split = split_name(str(Path(name).parent))  # not of trains.json
            found.pictures.append(Picture(picture, size_hw, split, objects))
        for name in self.tree.pictures:
            if Path(self.tree.root, name) not in labelled:
                found.findings.add(UNLABELLED, name)
        found.check(f"The labelme folder {str(self.tree.root)!r}")
        return found


def find_labelme(tree: Tree) -> list[LabelmeExport]:
    """Find a folder with labelme's files."""
    folders = {Path(f).parent for f, content in tree.json_samples.items() if _is_labelme(content)}
    files = [file for file in tree.ending(".json") if Path(file).parent in folders]
    return [LabelmeExport(tree, files)] if files else []


def _is_labelme(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def _content(file: Path) -> dict[str, Any]:
    content = read_json(str(file))
    if not _is_labelme(content) or not all(isinstance(s, dict) for s in content["shapes"]):
        raise ValueError(
            f"{str(file)!r} lies among labelme's files, but has no list 'shapes' of dicts. Take it "
            "out of the folder, or correct it."
        )
    return content


def _picture_of(file: Path, content: dict[str, Any]) -> Path | None:
    """Return the picture: ``imagePath``, of Windows perhaps, from the folder of the file."""
    stated = str(content.get("imagePath") or "").replace("\\", "/")
    tried = [file.parent / stated, file.parent / Path(stated).name] if stated else []
    found = next((path for path in tried if path.is_file()), None)
    return found and found.resolve()


def _objects(
    shapes: list[dict[str, Any]], size_hw: tuple[int, int], place: str, found: Labelled
) -> Iterator[Object]:
    """Yield objects: shapes of one label with the same group are parts of one."""
    groups: dict[Any, list[list[float] | np.ndarray]] = {}
    for number, shape in enumerate(shapes):
        name, group = class_name(shape.get("label")), shape.get("group_id")
        where = f"shape {number} of {place!r}"
        if name in ("__ignore__", "_background_"):
            found.findings.add(_IGNORED, where)
            continue
        try:
            part = _area(shape, size_hw)
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise ValueError(
                f"{where} cannot be read ({type(error).__name__}: {error}). Correct it."
            ) from error
        if part is None or not name:
            found.findings.add(NOT_AN_AREA if part is None else WITHOUT_CLASS, where)
            continue
        key = (name, "alone", number) if group is None else (name, "group", str(group))
        groups.setdefault(key, []).append(part)
    for (name, *_), parts in groups.items():
        yield Object(name, _joined(parts, size_hw))


def _area(shape: dict[str, Any], size_hw: tuple[int, int]) -> list[float] | np.ndarray | None:
    """Return the outline of a shape, or its mask (H, W); None where it has no area."""
    kind, points = shape.get("shape_type") or "polygon", shape.get("points") or []
    if not all(len(point) == 2 and np.isfinite(point).all() for point in points):
        raise ValueError("points must be pairs of finite numbers")
    if kind in _OUTLINES and len(points) > 2:
        return flat(points)
    if kind not in ("rectangle", "circle", "mask") or len(points) != 2:
        return None
    (x0, y0), (x1, y1) = points
    if kind == "rectangle":
        return box_polygon(x0, y0, x1, y1)
    if kind == "circle":  # the centre, and a point on it
        radius = float(np.hypot(x1 - x0, y1 - y0))
        return ellipse_polygon(x0, y0, radius, radius)
    pixels = Image.open(io.BytesIO(base64.b64decode(shape["mask"], validate=True)))
    part, mask = np.asarray(pixels.convert("L")) > 0, np.zeros(size_hw, dtype=bool)
    left, top = int(x0), int(y0)
    window = mask[top : top + part.shape[0], left : left + part.shape[1]]
    if min(left, top) < 0 or window.shape != part.shape:
        raise ValueError(f"its mask of {part.shape} pixels at {left}, {top} leaves the picture")
    window[...] = part
    return mask


def _joined(parts: list[Any], size_hw: tuple[int, int]) -> Any:
    """Return one mask: polygons as they are, or run lengths where a part is a mask."""
    if all(isinstance(part, list) for part in parts):
        return parts
    mask = np.zeros(size_hw, dtype=bool)
    for part in parts:
        if isinstance(part, list):
            part = mask_util.decode(mask_util.frPyObjects([part], *size_hw))[..., 0] > 0
        mask |= part
    rle = mask_util.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
