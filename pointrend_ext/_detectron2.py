"""The one check that Detectron2 is there.

It cannot be an ordinary dependency: the registry does not have it under its own name.
"""

__all__ = ["require_detectron2"]


def require_detectron2() -> None:
    """Raise unless Detectron2, of any build from 0.6 on, can be imported.

    Raises:
        ImportError: Detectron2 is absent; the message is one sentence that says what to do. An
            error inside an installed Detectron2 (say, a missing torch) passes through unchanged.
    """
    try:
        import detectron2
    except ModuleNotFoundError as error:
        if error.name != "detectron2":
            raise
        found = False
    else:
        # A clone of Detectron2 in the working directory is importable as an empty namespace.
        found = getattr(detectron2, "__file__", None) is not None
    if not found:
        raise ImportError(
            "pointrend_ext needs Detectron2 0.6 or later, which this Python does not have: follow "
            "the install section of README.md (`make env` installs the tested one, pinned in "
            "requirements/detectron2.txt)."
        )
