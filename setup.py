"""Package `pointrend-ext`; `make env` sets up the tested environment around it."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PACKAGE = "pointrend_ext"


class BuildPyWithConfigs(build_py):
    """Copies the YAML files of ``configs/`` into the built package, never into the source tree."""

    def run(self) -> None:
        if self.editable_mode:  # the checkout is imported as it is, configs/ beside it included
            super().run()
            return
        # A build directory left by an older build may hold files that no longer exist.
        shutil.rmtree(Path(self.build_lib) / PACKAGE, ignore_errors=True)
        super().run()
        for source, target in self._config_files():
            target.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(source), str(target))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs = super().get_outputs(include_bytecode)
        if self.editable_mode:
            return outputs
        return [*outputs, *(str(target) for _, target in self._config_files())]

    def _config_files(self) -> list[tuple[Path, Path]]:
        source = ROOT / "configs"
        target = Path(self.build_lib) / PACKAGE / "model_zoo" / "configs"
        files = sorted(source.rglob("*.yaml"))
        return [(file, target / file.relative_to(source)) for file in files]


def read_version() -> str:
    """Read the version from the package without importing it (it needs torch and Detectron2)."""
    text = (ROOT / PACKAGE / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE).group(1)


def read_long_description() -> str:
    """Return README.md, or nothing when a partial copy lacks it."""
    readme = ROOT / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


setup(
    name="pointrend-ext",
    version=read_version(),
    description="PointRend (CVPR 2020) as a Detectron2 extension: crisp masks",
    long_description=read_long_description(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords="pointrend detectron2 instance-segmentation semantic-segmentation pytorch",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    # The default, but said: with it an editable install is a plain path entry. Otherwise setuptools
    # installs an import hook, which loses against a folder called pointrend_ext (a clone of this
    # repository) in the working directory.
    package_dir={"": "."},
    package_data={
        PACKAGE: [
            "py.typed",
            "evaluation/report/templates/*",
            "model_zoo/*.json",
            "model_zoo/weights/*",
            "serving/templates/*",
        ]
    },
    # Detectron2 is required too, but is not on the registry under its own name:
    # pointrend_ext._detectron2 asks for it.
    # The lower bounds are those of requirements/oldest.txt, where it has the package.
    install_requires=[
        "torch>=2.4.1",
        "torchvision>=0.19.1",
        "numpy>=1.26.4",
        "faster-coco-eval>=1.8",
        "fvcore>=0.1.5",
        "iopath>=0.1.9",
        "opencv-python>=4.9.0.80",
        "pillow>=10.1.0",
        "portalocker>=2.0.0",
        "pycocotools>=2.0.7",
        "pydantic>=2",
        "pyyaml",
        "tabulate",
        "termcolor",
        "tqdm",
        "yacs>=0.1.8",
    ],
    extras_require={
        "eval": ["lvis>=0.5.3", "cityscapesScripts>=2.2", "shapely>=2"],
        "report": ["jinja2>=3", "matplotlib"],
        "hub": ["huggingface-hub>=0.20", "safetensors>=0.4"],
        "loggers": ["mlflow>=2.9", "wandb>=0.16"],
        # Its page is made of parts that change between versions; tested with 6.31.
        "serve": ["gradio>=6.31,<7"],
        "completion": ["shtab>=1.7"],
        "safetensors": ["safetensors>=0.4"],
        "video": ["av>=14.2"],
        "vit": ["timm>=1.0"],  # Detectron2's ViT and Swin read it
        "runtime": ["onnxruntime>=1.18"],  # without torch: the distribution in runtime/
        "openvino": ["openvino>=2024.0"],
        "export": ["onnx>=1.23", "onnxruntime>=1.23", "onnxscript>=0.7"],
        "dev": [
            "av>=14.2",
            "jinja2>=3",
            "matplotlib",
            "mypy>=1.11",
            "pytest>=7",
            "pytest-xdist>=3",
            "ruff>=0.6",
            "safetensors>=0.4",
            "setuptools>=70.0.0",
            "shtab>=1.7",
            "tensorboard",
            "wheel",
        ],
    },
    entry_points={"console_scripts": ["pointrend=pointrend_ext.cli:main"]},
    cmdclass={"build_py": BuildPyWithConfigs},
    zip_safe=False,
)
