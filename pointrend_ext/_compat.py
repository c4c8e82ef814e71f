"""What Detectron2, cityscapesScripts and lvis need on today's NumPy, setuptools and Python.

Here alone are other packages changed. Nothing is imported early: a finder on ``sys.meta_path``
waits for the few modules named below and mends each as it is loaded; those that are loaded already
are mended at once. `tests/test_compat.py` fails for every entry that is no longer needed.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

_IF_NEEDED: Any = None if int(np.__version__.split(".")[0]) >= 2 else False


def _array(*args: Any, copy: bool = True, **kwargs: Any) -> np.ndarray:
    """NumPy 1's ``np.array``, where ``copy=False`` means "only if needed" (NumPy 2: None)."""
    return np.array(*args, copy=copy or _IF_NEEDED, **kwargs)


def _in1d(values: Any, *args: Any, **kwargs: Any) -> np.ndarray:
    """``np.in1d``, which NumPy 2.4 removed."""
    return np.isin(np.ravel(values), *args, **kwargs)


def _count_nonzero(values: Any) -> int:
    """``np.count_nonzero`` as a Python number, which can be written as JSON (NumPy 2.4: not so)."""
    return int(np.count_nonzero(values))


_NUMPY: dict[str, dict[str, Callable[..., Any]]] = {
    # Detectron2 a59f056; NumPy 2 refuses copy=False where a copy is needed.
    "detectron2.evaluation.sem_seg_evaluation": {"array": _array},
    "detectron2.layers.mask_ops": {"array": _array},
    # cityscapesScripts 2.3.0, NumPy 2.4.
    "cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling": {
        "in1d": _in1d,
        "count_nonzero": _count_nonzero,
    },
    "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling": {
        "in1d": _in1d,
        "count_nonzero": _count_nonzero,
    },
    # lvis 0.5.3, NumPy 1.24.
    "lvis.eval": {"float": float},
}
"""Modules that see these functions beside NumPy's own; NumPy itself stays as it is."""

_MODEL_ZOO = "detectron2.model_zoo.model_zoo"
"""Of every Detectron2; it asks ``pkg_resources``, gone since setuptools 82, for one file name."""

_ALIAS, _SCRIPTS = "deeplearning.projects.cityscapesApi.cityscapesscripts", "cityscapesscripts"
"""Detectron2 02b5c4e2 imports Cityscapes' scripts by a name that only its authors have."""
_ALIAS_PARENTS = {_ALIAS.rsplit(".", count)[0] for count in (1, 2, 3)}


def install() -> None:
    """Mend what is loaded, and what will be; the second call changes nothing."""
    if any(isinstance(finder, _Mender) for finder in sys.meta_path):
        return
    for name in _NUMPY.keys() & sys.modules.keys():
        _give_numpy(sys.modules[name])
    sys.meta_path.insert(0, _Mender())


def _give_numpy(module: ModuleType) -> None:
    numpy = ModuleType("numpy")
    vars(numpy).update(_NUMPY[module.__name__], __getattr__=lambda name: getattr(np, name))
    module.np = numpy  # type: ignore[attr-defined]


@contextlib.contextmanager
def _pkg_resources() -> Iterator[None]:
    """Let one module import the one function of ``pkg_resources``; nobody else finds it."""
    if _has_resource_filename():
        yield
        return
    stub = ModuleType("pkg_resources")
    vars(stub)["resource_filename"] = lambda package, name: str(
        Path(str(import_module(package).__file__)).parent / name
    )
    sys.modules["pkg_resources"] = stub
    try:
        yield
    finally:
        del sys.modules["pkg_resources"]


def _has_resource_filename() -> bool:
    try:  # an emptied folder of that name can be imported, too
        return hasattr(import_module("pkg_resources"), "resource_filename")
    except ImportError:
        return False


class _Mender(MetaPathFinder):
    """Finds the modules named above where they are, and mends them as they are loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See ``MetaPathFinder``; None for every other module."""
        if name in _NUMPY or name == _MODEL_ZOO:
            return self._mended(PathFinder.find_spec(name, path))
        if name in _ALIAS_PARENTS or name == _ALIAS:
            if PathFinder.find_spec(name, path):
                return None  # the real one
            return ModuleSpec(name, _Alias(), is_package=True)
        # Below an alias: the same module under both names, never a second copy of it.
        parent = sys.modules.get(_ALIAS)
        if name.startswith(f"{_ALIAS}.") and parent is not None and parent.__name__ == _SCRIPTS:
            return ModuleSpec(name, _Alias())
        return None

    @staticmethod
    def _mended(spec: ModuleSpec | None) -> ModuleSpec | None:
        if spec is None or spec.loader is None:
            return spec
        loader = spec.loader  # made for this module alone
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            if module.__name__ == _MODEL_ZOO:
                with _pkg_resources():
                    execute(module)
            else:
                execute(module)
                _give_numpy(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


class _Alias(Loader):
    """Puts Cityscapes' module in the place of its other name; its parents are empty packages."""

    def exec_module(self, module: ModuleType) -> None:
        """See ``Loader``: what stands in ``sys.modules`` afterwards is what is imported."""
        if module.__name__ not in _ALIAS_PARENTS:
            real = _SCRIPTS + module.__name__.removeprefix(_ALIAS)
            sys.modules[module.__name__] = import_module(real)
