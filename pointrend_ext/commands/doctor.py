"""Say what this machine has, what is missing for training, and the lines that install it."""

import argparse
import json
import platform
import sys
from dataclasses import asdict
from pathlib import Path

from pointrend_ext._command import add_json_argument, new_parser
from pointrend_ext.commands.machine import Machine, Package, examine


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = new_parser(__doc__, prog, "", "--json")
    add_json_argument(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Examine the machine; return 1 if it cannot train."""
    machine = examine()
    if args.json:
        own = {"python": platform.python_version(), "platform": platform.platform()}
        print(json.dumps({**own, **asdict(machine), "can_train": not machine.problems}, indent=1))
    else:
        print("\n".join(lines_of(machine)))
    return int(bool(machine.problems))


def lines_of(machine: Machine) -> list[str]:
    """Return the findings for people."""
    lines = [
        f"Python {platform.python_version()} ({sys.executable}), {platform.platform()}",
        f"pointrend_ext in {Path(__file__).parents[1]}",
        f"Detectron2 {machine.detectron2 or 'absent'}",
    ]
    for extra in dict.fromkeys(package.extra for package in machine.packages):
        found = ", ".join(_text(p) for p in machine.packages if p.extra == extra)
        lines.append(f"{f'extra {extra}' if extra else 'needed'}: {found}")
    lines.append(f"device: {_device(machine)}")
    free = ", ".join(f"{size / 1e9:.1f} GB in {at}" for at, size in machine.free_bytes.items())
    lines.append(f"free: {free}")
    lines.append(f"downloads and results of checks are kept in {', '.join(machine.folders)}")
    lines += [f"note: {note}" for note in machine.notes]
    for what, commands in machine.install.items():
        lines += [f"to install {what}:", *(f"  {command}" for command in commands)]
    lines += [f"problem: {problem}" for problem in machine.problems]
    lines.append("Training is not possible." if machine.problems else "Training is possible.")
    return lines


def _text(package: Package) -> str:
    if package.is_good:
        return f"{package.name} {package.version}"
    return f"{package.name} {package.version or 'absent'} (needs {package.requirement})"


def _device(machine: Machine) -> str:
    if machine.device is None:
        return "not known without a working torch"
    kinds = {"cuda": "GPU", "mps": "Apple's GPU", "cpu": "CPU"}
    gpus = f" {', '.join(machine.device['gpus'])}" if machine.device["gpus"] else ""
    return (
        f"{kinds[machine.device['device']]}{gpus}, {machine.device['threads']} threads of the CPU"
    )
