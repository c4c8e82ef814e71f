"""The one check that Detectron2 is there, and how to get it.

It cannot be an ordinary dependency: the registry does not have it under its own name.
"""

import sysconfig

_WHEEL = "sal-detectron2==0.7.2"  # as in requirements/detectron2.txt


def install_lines(python: str) -> list[str]:
    """Return the lines that install the tested Detectron2 where torch is; docs/environment.md.

    Its wheel is tagged for Python 3.10, but nothing in it that is used is compiled.
    """
    site = sysconfig.get_path("purelib")
    return [
        f"{python} -m pip install --no-deps --target {site} --python-version 3.10 "
        f"--implementation cp --abi none --only-binary=:all: {_WHEEL}",
        f"{python} -m pip install 'omegaconf>=2.1,<2.4' 'hydra-core>=1.1' cloudpickle matplotlib "
        "tensorboard",
    ]


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
            "pointrend_ext needs Detectron2 0.6 or later, which this Python does not have: "
            "`pointrend doctor` prints the lines that install it; in a checkout, follow the "
            "install section of README.md (`make env` installs the tested one, pinned in "
            "requirements/detectron2.txt)."
        )
