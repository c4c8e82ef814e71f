"""What the values of a description may be, and the sentences for those that are something else."""

import difflib
from collections import Counter
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pointrend_ext.data.label_encoding import LabelEncoding

_LARGEST_ID = 65535  # label maps have at most 16 bits
_USUAL_IGNORE = 255
_NAME, _NOT_BLANK = r"^[\w.-]+$", r"\S"
_TEXT = "a text (put digits, and words like yes, no, on and off, in quotes)"
_NEEDED = {  # by pydantic's type of error, or by the pattern that does not match
    "string_type": _TEXT,
    "string_too_short": _TEXT,
    _NAME: "a text of letters, digits and '_', '-', '.'",
    _NOT_BLANK: "a name",
    "int_type": "an integer",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
}

Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=_NAME)]
ClassNames = Annotated[list[Annotated[str, Field(pattern=_NOT_BLANK)]], Field(min_length=1)]
_Value = Annotated[int, Field(ge=0, le=_LARGEST_ID)]
Color = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]


class StrictModel(BaseModel):
    """Values of exactly the stated types, and no other keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="after")
    def _check_classes(self) -> "StrictModel":
        classes = getattr(self, "classes", None) or []
        repeated = [name for name, times in Counter(classes).items() if times > 1]
        if repeated:
            raise ValueError(f"'classes' names {repeated[0]!r} more than once. Name it once.")
        return self


class LabelValues(StrictModel):
    """What the values of label maps mean, and how files are called: see docs/datasets.md."""

    classes: ClassNames
    values: list[_Value] | None = None
    ignore_value: _Value | None = None
    image_suffix: Text | None = None
    label_suffix: Text | None = None
    colors: list[Color] | None = None
    ignore_color: Color | None = None

    @model_validator(mode="after")
    def _check_numbers(self) -> "LabelValues":
        number, num_labels = len(self.classes), self.num_labels
        background = ", the first of them the background" if number == 1 else ""
        for key, given in (("colors", self.colors), ("values", self.values)):
            allowed = {number, num_labels} if key == "colors" else {num_labels}
            if given is not None and len(given) not in allowed:
                raise ValueError(
                    f"'{key}' must be a list with {num_labels} entries, one per class{background}, "
                    f"but it has {len(given)}."
                )
        values, ignored = self.values or [], self.ignore_value
        repeated = [value for value, times in Counter(values).items() if times > 1]
        if repeated:
            raise ValueError(f"'values' has {repeated[0]} for two classes. Give each its own.")
        if values and ignored in values:
            raise ValueError(
                f"'ignore_value' is {ignored}, but by 'values' that is a class. Take it out of one "
                "of them; without 'ignore_value' every pixel counts."
            )
        if self.ignore_color is not None and self.ignore_color in (self.colors or []):
            raise ValueError(
                f"'ignore_color' is {self.ignore_color}, but by 'colors' that is a class. Take it "
                "out of one of them."
            )
        if ignored is not None and not values and ignored < num_labels and not self._leaves_out_0:
            used = f"0 to {num_labels - 1} (the {number} classes)"
            raise ValueError(
                f"'ignore_value' is {ignored}, but the values "
                f"{'0 (background) and 1 (the class)' if number == 1 else used} are taken. State "
                "as 'values' the value of each class, or another 'ignore_value'; if no pixel is "
                "ignored, leave it out."
            )
        return self

    @property
    def num_labels(self) -> int:
        """C, or 2 where a single class has a background."""
        return max(len(self.classes), 2)

    @property
    def _leaves_out_0(self) -> bool:
        """Whether the classes are the values after an ignored 0."""
        return self.ignore_value == 0 and self.values is None and len(self.classes) > 1

    def encoding(self) -> LabelEncoding:
        """Return what the numbers and colours in files mean.

        The label of ignored pixels is their value where no class has that, else 255, or 65535.
        """
        number, ignored = self.num_labels, self.ignore_value
        first = 1 if self._leaves_out_0 else 0
        values = self.values or list(range(first, first + number))
        if ignored is None and _USUAL_IGNORE not in values:
            ignored = _USUAL_IGNORE
        usual = _USUAL_IGNORE if number <= _USUAL_IGNORE else _LARGEST_ID
        is_free = ignored is not None and ignored >= number
        colors = self.colors if self.colors and len(self.colors) == number else None
        return LabelEncoding(
            tuple(values),
            ignored,
            ignored if ignored is not None and is_free else usual,
            None if colors is None else tuple(map(_triple, colors)),
            None if self.ignore_color is None else _triple(self.ignore_color),
            is_guessed=self._leaves_out_0,
        )


def _triple(color: list[int]) -> tuple[int, int, int]:
    red, green, blue = color
    return red, green, blue


_Model = TypeVar("_Model", bound=StrictModel)


def validate(model: type[_Model], values: dict[str, Any]) -> _Model:
    """Build a model; a ValueError names the key, what was found and what is needed."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ValueError(_sentence(error, model)) from None


def _sentence(error: ValidationError, model: type[BaseModel]) -> str:
    """Say the first mistake in words of the file, not of the program."""
    # A misspelled key is also a missing one.
    first = min(error.errors(), key=lambda entry: entry["type"] != "extra_forbidden")
    kind, found, context = first["type"], first["input"], first.get("ctx", {})
    path = [str(part) for part in first["loc"] if part != "[key]"]
    where = repr(".".join(path))
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return f"The key {where} is missing; add it."
    if kind == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        nearest = difflib.get_close_matches(path[-1], known, n=1)
        guess = f" Did you mean {nearest[0]!r}?" if nearest else ""
        return f"{where} is no key.{guess} Known are: {', '.join(known)}."
    needed = _NEEDED.get(context.get("pattern", kind))
    if needed:
        return f"{where} is {found!r}, but {needed} is needed."
    return f"{where} is {found!r}: {first['msg']}."


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the keys of a model, or of the models in its mapping ``path[0]``."""
    if path:
        model = get_args(model.model_fields[path[0]].annotation)[-1]
    return list(model.model_fields)
