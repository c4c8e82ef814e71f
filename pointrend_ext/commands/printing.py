"""Results for machines, on stdout."""

from typing import Any

from pydantic_core import to_json


def print_json(result: Any) -> None:
    """Print a result as JSON; what is no finite number is null."""
    print(to_json(result, indent=1, inf_nan_mode="null", fallback=float).decode())
