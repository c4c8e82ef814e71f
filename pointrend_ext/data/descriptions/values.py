"""What the values of a description may be, and the sentences for those that are something else."""

import difflib
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

__all__ = ["ClassNames", "LabelValues", "Name", "StrictModel", "Text", "validate"]

_LARGEST_ID = 65535  # label maps have at most 16 bits
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
_Color = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]


class StrictModel(BaseModel):
    """Values of exactly the stated types, and no other keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="after")
    def _check_classes(self) -> "StrictModel":
        classes = getattr(self, "classes", None) or []
        repeated = [name for index, name in enumerate(classes) if name in classes[:index]]
        if repeated:
            raise ValueError(f"'classes' names {repeated[0]!r} more than once. Name it once.")
        return self


class LabelValues(StrictModel):
    """What the values of label maps mean, and how files are called: see docs/datasets.md."""

    classes: ClassNames
    ignore_value: int = 255
    image_suffix: Text | None = None
    label_suffix: Text | None = None
    colors: list[_Color] | None = None

    @model_validator(mode="after")
    def _check_numbers(self) -> "LabelValues":
        number = len(self.classes)
        if self.colors is not None and len(self.colors) != number:
            raise ValueError(
                f"'colors' must be a list with one color per class, {number}, but it has "
                f"{len(self.colors)}."
            )
        highest = max(number - 1, 1)
        if not highest < self.ignore_value <= _LARGEST_ID:
            used = f"0 to {highest} (the {number} classes)"
            raise ValueError(
                f"'ignore_value' is {self.ignore_value}, but the values "
                f"{'0 (background) and 1 (the class)' if number == 1 else used} are taken: it must "
                f"lie between {highest + 1} and {_LARGEST_ID}. If no pixel is ignored, leave it at "
                "255."
            )
        return self


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
