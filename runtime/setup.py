"""Package `pointrend-ext-runtime`: exported models without PyTorch, of files of pointrend_ext.

Its Python package is called `pointrend_runtime`, so that it can be installed beside pointrend_ext.
It holds `pointrend_ext/deploy/runtime` and every file of pointrend_ext that those import, under the
same paths and unchanged, but for the name of the package in import statements.
"""

import ast
import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parents[1]
SOURCE, PACKAGE = "pointrend_ext", "pointrend_runtime"
ROOMS = ("deploy/runtime",)


def runtime_files() -> dict[str, list[str]]:
    """Return the files that make the runtime, and what each imports from elsewhere.

    Only the `__init__.py` of the runtime itself is among them: those of other rooms import more.
    """
    todo = [path for room in ROOMS for path in sorted((ROOT / SOURCE / room).glob("*.py"))]
    found: dict[str, list[str]] = {}
    while todo:
        path = todo.pop()
        name = path.relative_to(ROOT / SOURCE).as_posix()
        if name in found:
            continue
        found[name] = []
        for module in imported_modules(ast.parse(path.read_text(encoding="utf-8"))):
            own = file_of(module)
            todo += [own] if own else []
            found[name] += [] if own else [module]
    return found


def imported_modules(tree: ast.AST) -> list[str]:
    """Return the modules of all import statements but those for type checkers."""
    modules = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules.append(node.module or "")
        modules += imported_modules(node)
    return modules


def file_of(module: str) -> Path | None:
    """Return the file of a module of pointrend_ext; None for those of others, and for packages."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    return path if module.startswith(f"{SOURCE}.") and path.exists() else None


def copy_runtime(target: Path) -> list[Path]:
    """Write the package below a folder, and return its files."""
    shutil.rmtree(target / PACKAGE, ignore_errors=True)
    written = []
    for name in runtime_files():
        path = target / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = (ROOT / SOURCE / name).read_text(encoding="utf-8")
        text = re.sub(rf"^(\s*(?:from|import)) {SOURCE}\b", rf"\1 {PACKAGE}", text, flags=re.M)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    for folder in {path.parent for path in written} | {target / PACKAGE}:
        if not (folder / "__init__.py").exists():
            (folder / "__init__.py").write_text('"""A room of pointrend_ext."""\n')
            written.append(folder / "__init__.py")
    for name in ("__init__.py", "__main__.py"):
        shutil.copy(Path(__file__).with_name(PACKAGE) / name, target / PACKAGE / name)
        written.append(target / PACKAGE / name)
    (target / PACKAGE / "py.typed").touch()
    shutil.copy(ROOT / "LICENSE", target / PACKAGE / "LICENSE")
    return [*dict.fromkeys(written), target / PACKAGE / "py.typed", target / PACKAGE / "LICENSE"]


class BuildRuntime(build_py):
    """Builds the package from the files of pointrend_ext."""

    def run(self) -> None:
        if self.editable_mode:
            raise SystemExit(
                "pointrend-ext-runtime is made of copies, so it cannot be installed editable: "
                "leave out -e, or use pointrend_ext.deploy.runtime of an editable pointrend_ext."
            )
        self._written = copy_runtime(Path(self.build_lib))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [str(path) for path in self._written]


def read_version() -> str:
    """Return the version of pointrend_ext, whose files these are."""
    text = (ROOT / SOURCE / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE).group(1)


if __name__ == "__main__":
    setup(
        name="pointrend-ext-runtime",
        version=read_version(),
        description="Runs models exported by pointrend-ext (PointRend) without PyTorch",
        long_description=(ROOT / "runtime" / "README.md").read_text(encoding="utf-8"),
        long_description_content_type="text/markdown",
        license="Apache-2.0",
        classifiers=[
            "Development Status :: 4 - Beta",
            "Intended Audience :: Developers",
            "License :: OSI Approved :: Apache Software License",
            "Programming Language :: Python :: 3",
            "Topic :: Scientific/Engineering :: Image Recognition",
        ],
        python_requires=">=3.10",
        packages=[PACKAGE],
        install_requires=["numpy>=1.26.4", "onnxruntime>=1.18", "pillow>=10.1.0"],
        extras_require={
            "draw": ["opencv-python-headless>=4.9.0.80"],
            "openvino": ["openvino>=2024.0"],
            "video": ["av>=14.2"],
        },
        entry_points={
            "console_scripts": [f"pointrend-runtime={PACKAGE}.deploy.runtime.command:main"]
        },
        cmdclass={"build_py": BuildRuntime},
        zip_safe=False,
    )
