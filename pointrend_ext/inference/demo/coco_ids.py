"""Ids of a data set's own file, for results that are scored against it."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pointrend_ext.data.coco.entries import id_of, repeated
from pointrend_ext.data.strict_json import read_json
from pointrend_ext.structures.classes import Classes


@dataclass(frozen=True)
class CocoIds:
    """Ids of images by their file names in the file, and of categories by their names."""

    source: str
    images: dict[str, int]
    categories: dict[str, int]

    @classmethod
    def read(cls, path: Path) -> "CocoIds":
        """Read annotations in COCO's format.

        Raises:
            ValueError: it is not in this format, or names an image or a category twice.
        """
        try:
            content = read_json(str(path))
            images = [
                (str(x["file_name"]), id_of(x, "image", n)) for n, x in enumerate(content["images"])
            ]
            categories = [
                (str(x["name"]), id_of(x, "category", n))
                for n, x in enumerate(content.get("categories", []))
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: no annotations in COCO's format, with 'id' and 'file_name' of every "
                f"image ({type(error).__name__}: {error})."
            ) from error
        for what, pairs in (("image", images), ("category", categories)):
            name, times = Counter(n for n, _ in pairs).most_common(1)[0] if pairs else ("", 0)
            if times > 1:
                raise ValueError(f"{path}: the {what} {name!r} is listed {times} times.")
            numbers = [number for _, number in pairs]
            if len({*numbers}) < len(numbers):
                raise ValueError(f"{path}: two {what} entries have the id {repeated(numbers)!r}.")
        return cls(str(path), dict(images), dict(categories))

    def image_id(self, file_name: str) -> int:
        """Return the id of an image by its path, as far as both paths go, from the end.

        Raises:
            ValueError: no image, or several, are called so.
        """
        own = _parts(file_name)
        found = [
            name
            for name in self._by_last_part[own[0]]
            if all(a == b for a, b in zip(_parts(name), own, strict=False))
        ]
        found = [file_name] if file_name in self.images else found
        if len(found) > 1:
            raise ValueError(
                f"{file_name} may be {found[0]!r} or {found[1]!r} of {self.source}: give the "
                "folder that holds them as --input, so that paths tell them apart."
            )
        if not found:
            raise ValueError(f"{file_name} has no id: it is not in {self.source}.")
        return self.images[found[0]]

    def check_apart(self, file_names: Iterable[str]) -> None:
        """Raise ValueError where two images would get one id; those without one pass."""
        names: dict[int, str] = {}
        for file_name in file_names:
            with suppress(ValueError):  # said of each when its turn comes
                number = self.image_id(file_name)
                first = names.setdefault(number, file_name)
                if first != file_name:
                    break
        else:
            return
        raise ValueError(
            f"{first} and {file_name} would both be the image {number!r} of {self.source}, which "
            "has one of that name. Leave the other out, or write paths into the file."
        )

    @cached_property
    def _by_last_part(self) -> defaultdict[str, list[str]]:
        names = defaultdict(list)
        for name in self.images:
            names[_parts(name)[0]].append(name)
        return names

    def of_classes(self, classes: Classes) -> Classes:
        """Return the classes with the ids of the categories of their names.

        Raises:
            ValueError: a class is not among the categories.
        """
        if not self.categories:  # a list of images alone
            return classes
        missing = [name for name in classes.things if name not in self.categories]
        if missing or not classes.things:
            found = f"no category {missing[0]!r}" if missing else "categories, the model no names"
            raise ValueError(
                f"{self.source} has {found}: the ids of results would be wrong. Pass the "
                "annotations of the model's own data set, and name that in DATASETS.TEST."
            )
        return replace(classes, thing_ids=tuple(self.categories[n] for n in classes.things))


def _parts(name: str) -> list[str]:
    """Return the parts of a path, the last one first."""
    return name.replace("\\", "/").split("/")[::-1]
