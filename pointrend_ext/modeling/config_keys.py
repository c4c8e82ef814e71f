"""What is said when a configuration lacks the keys of this package."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def reads_own_keys(read: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Let a ``from_config``, or a function registered in its place, say how keys get there.

    A missing key is yacs' AttributeError whose whole text is the key.

    Raises:
        ValueError: the configuration lacks a key.
    """

    @functools.wraps(read)
    def checked(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        try:
            return read(*args, **kwargs)
        except AttributeError as error:
            if not str(error).isupper():
                raise
            name = getattr(args[0], "__name__", read.__name__)  # of the class, or of the function
            raise ValueError(
                f"{name} reads the configuration key {error}, which this configuration lacks. Add "
                "`import pointrend_ext; pointrend_ext.add_pointrend_config(cfg)` after `cfg = "
                "get_cfg()`, before anything is merged into cfg; or run the script by `python -m "
                "pointrend_ext.run SCRIPT`."
            ) from None

    return checked
