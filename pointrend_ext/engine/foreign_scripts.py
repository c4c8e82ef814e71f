"""Scripts made for Detectron2: what they get from it holds this package, too."""

import functools
import os
import runpy
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import detectron2.engine
from detectron2.config import CfgNode, defaults

from pointrend_ext.config import add_pointrend_config
from pointrend_ext.data import register_datasets
from pointrend_ext.data.toy import register_toy_datasets

# Where an error comes from that says by itself what is wrong: keys, names and files of the user.
_SPEAKING = (
    "pointrend_ext",
    "yacs",
    "fvcore.common.config",
    "fvcore.common.registry",
    "detectron2.config",
    "detectron2.data.catalog",
)


def prepare(descriptions: Sequence[str] = ()) -> None:
    """Change what ``get_cfg`` copies and ``launch`` starts, for the life of this process.

    The configuration has the keys of this package, however a script has imported ``get_cfg``. The
    toy data sets are registered, and those of descriptions; files of named toy data are made.

    Args:
        descriptions: see ``register_description``, also for errors.
    """
    add_pointrend_config(defaults._C)
    if not hasattr(CfgNode.merge_from_list, "__wrapped__"):
        for name in ("merge_from_file", "merge_from_list"):
            setattr(CfgNode, name, _registering(getattr(CfgNode, name)))
        detectron2.engine.launch = _launching(detectron2.engine.launch, tuple(descriptions))
    register_toy_datasets(os.environ.get("DETECTRON2_DATASETS", "datasets"))
    register_datasets((), descriptions)


def _registering(merge: Callable[..., None]) -> Callable[..., None]:
    """Let a configuration register the data sets that it names, once it names them."""

    @functools.wraps(merge)
    def merge_and_register(cfg: CfgNode, *args: Any, **kwargs: Any) -> None:
        merge(cfg, *args, **kwargs)
        sets = cfg.get("DATASETS", {})  # a part of a configuration can be merged into as well
        if "DESCRIPTIONS" in sets:
            register_datasets((*sets.TRAIN, *sets.TEST), sets.DESCRIPTIONS, generate=True)

    return merge_and_register


def _launching(launch: Callable[..., Any], descriptions: tuple[str, ...]) -> Callable[..., Any]:
    @functools.wraps(launch)
    def prepared_launch(main_func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return launch(functools.partial(_run_prepared, main_func, descriptions), *args, **kwargs)

    return prepared_launch


def _run_prepared(main: Callable[..., Any], descriptions: Sequence[str], *args: Any) -> Any:
    """Run a process of a training on several GPUs, which starts from nothing."""
    prepare(descriptions)
    return main(*args)


def run_script(script: str, words: Sequence[str]) -> None:
    """Run a script as Python does, as ``__main__``; its SystemExit passes.

    Args:
        script: a path, or the name of a module.
        words: its arguments.

    Raises:
        FileNotFoundError: there is neither.
    """
    if Path(script).is_file():
        sys.argv = [script, *words]
        sys.path.insert(0, str(Path(script).resolve().parent))
        runpy.run_path(script, run_name="__main__")
    elif _is_module(script):
        sys.argv = [script, *words]
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(script, run_name="__main__", alter_sys=True)
    else:
        raise FileNotFoundError(
            f"There is no script {script!r} (looked in {Path.cwd()}), and no module of this name "
            "can be imported. Give the path of a Python file, such as detectron2/tools/"
            "train_net.py, or a module as after `python -m`."
        )


def _is_module(name: str) -> bool:
    if not all(part.isidentifier() for part in name.split(".")):
        return False
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # of the package above it
        return False


def users_mistake(error: Exception) -> Exception | None:
    """Return what to tell of an error raised by what explains itself; None for the script's own."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    name = frames[-1].f_globals.get("__name__", "") if frames else ""
    if not any(name == part or name.startswith(f"{part}.") for part in _SPEAKING):
        return None
    if isinstance(error, AssertionError) and not name.startswith("pointrend_ext"):
        return ValueError(str(error)) if str(error) else None  # how yacs and fvcore refuse
    return error
