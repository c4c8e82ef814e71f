"""What is known of the libraries: name, package, what each is given, what it writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from scene import CLASSES, IMAGES, SIZES_HW, Shape, bounds, shapes

Content = dict[str, Any]
TOOLS: dict[str, tuple[str, str, Callable[[Path], Content | Path]]] = {}


def tool(package: str, form: str) -> Callable[[Callable[[Path], Any]], Callable[[Path], Any]]:
    """Enter a function that lets a package write objects of a form; see ``scene.shapes``.

    It is given a folder with the pictures, and returns the content or the file that was written.
    """

    def enter(function: Callable[[Path], Any]) -> Callable[[Path], Any]:
        TOOLS[function.__name__] = package, form, function
        return function

    return enter


def of(image: str, form: str) -> list[Shape]:
    """Return the objects of one picture."""
    return [shape for shape in shapes(form) if shape.image == image]


def coco_content(form: str, segmentation: Callable[[Shape], Any]) -> Content:
    """Return the scene in COCO's format, as one writes it by hand."""
    annotations: list[Content] = []
    for shape in shapes(form):
        x0, y0, x1, y1 = bounds(shape)
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": IMAGES.index(shape.image) + 1,
                "category_id": CLASSES.index(shape.name) + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": float(shape.mask().sum()),
                "iscrowd": 0,
                "segmentation": segmentation(shape),
            }
        )
    images = [
        {"id": i, "file_name": name, "height": SIZES_HW[name][0], "width": SIZES_HW[name][1]}
        for i, name in enumerate(IMAGES, start=1)
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)]
    return {"images": images, "categories": categories, "annotations": annotations}
