"""The entries of an annotation file but its annotations: images and categories."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from pointrend_ext.data.coco import causes
from pointrend_ext.data.findings import Findings

_MOST_PIXELS = 2**30  # a decoded mask has a byte for each, and a run length has 32 bits


def check_lists(content: Any) -> None:
    """Raise ValueError unless the content has COCO's lists."""
    if not isinstance(content, dict) or not {"images", "categories"} <= content.keys():
        found = sorted(content)[:8] if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            "it is JSON, but not in COCO's format, which needs a dict with 'images', 'annotations' "
            f"and 'categories', but holds {found}: convert it"
        )
    kinds = {"images": "image", "categories": "category", "annotations": "annotation"}
    for key, what in kinds.items():
        entries = content.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"its list of {what} entries is not a list of dicts: correct it")
        if not entries and what != "annotation":
            raise ValueError(f"it has no {what} entry: add them, or use another file")


def check_images(images: list[dict[str, Any]], findings: Findings) -> dict[Any, tuple[int, int]]:
    """Write sizes as whole numbers, and return (H, W) by image id.

    Raises:
        ValueError: an id or a size is absent, of a wrong kind, or repeated.
    """
    sizes: dict[Any, tuple[int, int]] = {}
    for number, image in enumerate(images):
        image_id = id_of(image, "image", number)
        height, width = image.get("height"), image.get("width")
        if height.__class__ is not int or width.__class__ is not int or min(height, width) < 1:
            height, width = _whole(image, "height"), _whole(image, "width")
            image["height"], image["width"] = height, width
            findings.add(causes.SIZE_AS_FLOAT, f"image {image_id!r}")
        if height * width > _MOST_PIXELS:
            raise ValueError(
                f"image {image_id!r} has {height!r:.20} x {width!r:.20} pixels (height x width), "
                f"and masks of more than {_MOST_PIXELS} are not read: correct it, or cut it into "
                "pieces"
            )
        sizes[image_id] = height, width
    _check_repeated("image", images)
    names = [name for image in images if (name := image.get("file_name")) is not None]
    if not all(isinstance(name, str) for name in names):
        wrong = next(i for i in images if not isinstance(i.get("file_name", ""), str))
        raise ValueError(
            f"image {wrong['id']!r} has file_name {wrong['file_name']!r}, not a "
            "text: put it in quotes"
        )
    if len({*names}) < len(names):
        name = repeated(names)
        number = sum(count - 1 for count in Counter(names).values() if count > 1)
        findings.add(causes.REPEATED_FILE, repr(name), number)
    return sizes


def check_categories(categories: list[dict[str, Any]], findings: Findings) -> dict[Any, str]:
    """Return names by category id, in ascending order of the ids; no name occurs twice.

    Raises:
        ValueError: an id or a name is absent, of a wrong kind, or an id repeated.
    """
    for number, category in enumerate(categories):
        category_id = id_of(category, "category", number)
        name = category.get("name")
        if isinstance(name, (int, float)) and not isinstance(name, bool):
            category["name"] = str(name)
            findings.add(causes.NAME_AS_NUMBER, f"category {category_id!r}")
        elif not isinstance(name, str) or not name.strip():
            raise ValueError(
                f"category {category_id!r} has "
                + ("no 'name'" if "name" not in category else f"name {name!r}, not a text")
                + ": give it one"
            )
    _check_repeated("category", categories)
    counts = Counter(category["name"] for category in categories)
    for category in categories:
        if counts[category["name"]] > 1:
            place = f"{category['name']!r} of category {category['id']!r}"
            category["name"] = f"{category['name']} ({category['id']})"
            findings.add(causes.REPEATED_NAME, place)
    names = [category["name"] for category in categories]
    if len({*names}) < len(names):
        raise ValueError(f"two categories are called {repeated(names)!r}: rename one of them")
    return {category["id"]: category["name"] for category in in_order(categories)}


def in_order(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort by id, numbers before texts."""
    return sorted(entries, key=lambda entry: (isinstance(entry["id"], str), entry["id"]))


def repeated(values: Iterable[Any]) -> Any:
    """Return the first value that occurs more than once."""
    return next(value for value, count in Counter(values).items() if count > 1)


def _check_repeated(what: str, entries: list[dict[str, Any]]) -> None:
    ids = [entry["id"] for entry in entries]
    if len({*ids}) < len(ids):
        raise ValueError(
            f"the {what} id {repeated(ids)!r} occurs more than once: give each its own, also "
            "in the annotations"
        )


def id_of(entry: dict[str, Any], what: str, number: int) -> Any:
    """Return the id of an entry, written as a whole number where it is one.

    Raises:
        ValueError: there is none, or neither a whole number of 64 bits nor a text.
    """
    if "id" not in entry:
        raise ValueError(f"{what} number {number} has no 'id': add it")
    value = entry["id"]
    if isinstance(value, float) and value.is_integer():
        value = entry["id"] = int(value)
    if value.__class__ is not int and value.__class__ is not str:
        raise ValueError(
            f"{what} number {number} has id {value!r:.60}, not a whole number or text: give it one"
        )
    if value.__class__ is int and value.bit_length() > 64:
        raise ValueError(
            f"{what} number {number} has id {value!r:.60}, of more than 64 bits: shorten it"
        )
    return value


def _whole(image: dict[str, Any], key: str) -> int:
    if key not in image:
        raise ValueError(f"image {image['id']!r} has no {key!r}: add it")
    value = image[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value % 1 or value < 1:
        raise ValueError(
            f"image {image['id']!r} has {key} {value!r:.60}, not a whole number above 0: "
            "write that of the picture in pixels"
        )
    return int(value)
