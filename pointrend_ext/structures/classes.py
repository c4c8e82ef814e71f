"""What the class ids of a model are called; no torch is needed."""

from dataclasses import dataclass

INSTANCE, SEMANTIC = "instance", "semantic"
"""Kinds of classes: of objects, and of pixels."""


@dataclass(frozen=True)
class Classes:
    """Names and colours by contiguous id; what is not known is empty.

    Attributes:
        things: names of instance classes.
        stuff: names of the classes of label maps.
        stuff_colors: RGB per class of label maps; empty for colours of our own.
        thing_ids: ids of instance classes in the data set's own annotations.
    """

    things: tuple[str, ...] = ()
    stuff: tuple[str, ...] = ()
    stuff_colors: tuple[tuple[int, int, int], ...] = ()
    thing_ids: tuple[int, ...] = ()

    def by_kind(self) -> dict[str, list[str]]:
        """Return the known names as a checkpoint holds them, by ``INSTANCE`` and ``SEMANTIC``."""
        names = {INSTANCE: list(self.things), SEMANTIC: list(self.stuff)}
        return {kind: values for kind, values in names.items() if values}

    def thing(self, class_id: int) -> str:
        """Return the name of an instance class, "class 3" where it is not known."""
        return self.things[class_id] if class_id < len(self.things) else f"class {class_id}"

    def stuff_name(self, class_id: int) -> str:
        """Return the name of a class of label maps, "class 3" where it is not known."""
        return self.stuff[class_id] if class_id < len(self.stuff) else f"class {class_id}"

    def category_ids(self) -> tuple[int, ...]:
        """Return the ids of the instance classes in COCO's format.

        Raises:
            ValueError: they are not known: a number of our own would be another class elsewhere.
        """
        if not self.thing_ids:
            raise ValueError(
                "The ids that the data set gives its categories are not known. Name it in "
                "DATASETS.TEST, with its annotation file in place, or pass that file to the demo "
                "with --image-ids."
            )
        return self.thing_ids
