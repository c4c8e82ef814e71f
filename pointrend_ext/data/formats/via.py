"""VGG Image Annotator: a JSON file with all regions, of its project or of its export."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pointrend_ext.data.findings import Cause, Kind
from pointrend_ext.data.formats.labelled import (
    GONE,
    NOT_AN_AREA,
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

_ONLY = "object"  # the class where regions have no attribute
_USUAL = ("class", "label", "category", "name", "type")
_NO_REGION = Cause(Kind.NOTED, "pictures without a region, kept as background", True, "pictures")


@dataclass(frozen=True)
class ViaExport:
    """Files of VIA, and the attribute of regions that is their class ("" to find it)."""

    tree: Tree
    files: list[str]
    class_attribute: str = ""
    kind: str = "VIA"

    def read(self) -> Labelled:
        """Read all regions.

        Raises:
            ValueError: it is not clear which attribute is the class, or a region cannot be read.
        """
        found = Labelled([])
        entries = [
            (name, entry)
            for name in self.files
            for entry in _entries(read_json(str(self.tree.root / name))) or ()
        ]
        attribute = self._attribute([entry for _, entry in entries])
        for name, entry in entries:
            place = str(entry["filename"])
            known = self.tree.called(place)
            if not known:
                found.findings.add(GONE, place)
                continue
            nearest = self.tree.nearest(known, name)
            picture = self.tree.root / nearest
            size_hw = read_image_size(str(picture))
            objects = list(_objects(entry, attribute, found))
            if not objects:
                found.findings.add(_NO_REGION, place)
            split = split_name(name) or split_name(str(Path(nearest).parent))
            found.pictures.append(Picture(picture, size_hw, split, objects))
        found.check(f"The VIA export {self.files[0]!r}")
        return found

    def _attribute(self, entries: list[dict[str, Any]]) -> str | None:
        """Return the attribute that is the class; None where regions have none."""
        counts = Counter(
            key for entry in entries for region in _regions(entry) for key in _attributes(region)
        )
        if not counts and not self.class_attribute:
            return None
        usual = [key for name in _USUAL for key in counts if key.lower() == name]
        chosen = [self.class_attribute] if self.class_attribute else usual[:1] or [*counts]
        if len(chosen) != 1 or chosen[0] not in counts:
            raise ValueError(
                f"{self.files[0]!r}: the regions have the attributes {sorted(counts)}. Name "
                "the one that is the class with --class-attribute."
            )
        return chosen[0]


def find_via(tree: Tree, class_attribute: str = "") -> list[ViaExport]:
    """Find VIA's files."""
    files = [file for file, content in tree.json_samples.items() if _entries(content) is not None]
    return [ViaExport(tree, files, class_attribute)] if files else []


def _entries(content: Any) -> list[dict[str, Any]] | None:
    """Return the entries of pictures; None of another file."""
    if isinstance(content, dict):
        content = content.get("_via_img_metadata", content)
    if not isinstance(content, dict) or not content:
        return None
    entries = list(content.values())
    is_via = all(isinstance(e, dict) and {"filename", "regions"} <= e.keys() for e in entries)
    return entries if is_via else None


def _regions(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the regions, a list since version 2 and a dict before, and their attributes dicts."""
    regions = entry["regions"] or []
    regions = [*regions.values()] if isinstance(regions, dict) else regions
    if not isinstance(regions, list) or not all(
        isinstance(region, dict) and isinstance(_attributes(region), dict) for region in regions
    ):
        raise ValueError(
            f"The regions of {entry['filename']!r} are no list of dicts with 'region_attributes'. "
            "Export them again."
        )
    return regions


def _attributes(region: dict[str, Any]) -> dict[str, Any]:
    return region.get("region_attributes") or {}


def _objects(entry: dict[str, Any], attribute: str | None, found: Labelled) -> Iterator[Object]:
    for number, region in enumerate(_regions(entry)):
        place = f"region {number} of {entry['filename']!r}"
        try:
            polygon = _polygon(region["shape_attributes"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{place} cannot be read ({type(error).__name__}: {error}). Correct it."
            ) from error
        name = _ONLY if attribute is None else _name(_attributes(region).get(attribute))
        if polygon is None:
            found.findings.add(NOT_AN_AREA, place)
        elif not name:
            found.findings.add(WITHOUT_CLASS, place)
        else:
            yield Object(name, [polygon])


def _name(value: Any) -> str:
    """Return the class; check boxes are a dict with the one that is ticked."""
    if isinstance(value, dict):
        ticked = [key for key, is_ticked in value.items() if is_ticked]
        value = ticked[0] if len(ticked) == 1 else None
    return class_name(value)


def _polygon(shape: dict[str, Any]) -> list[float] | None:
    kind = shape["name"]
    if kind == "polygon":
        corners = list(zip(shape["all_points_x"], shape["all_points_y"], strict=True))
        polygon = flat(corners) if len(corners) > 2 else None
    elif kind == "rect":
        x, y = shape["x"], shape["y"]
        polygon = box_polygon(x, y, x + shape["width"], y + shape["height"])
    elif kind in ("circle", "ellipse"):
        rx, ry = (shape[key] for key in (("r", "r") if kind == "circle" else ("rx", "ry")))
        polygon = ellipse_polygon(shape["cx"], shape["cy"], rx, ry, shape.get("theta", 0.0))
    else:
        return None
    if polygon is not None and not all(map(math.isfinite, polygon)):
        raise ValueError("coordinates must be finite")
    return polygon
