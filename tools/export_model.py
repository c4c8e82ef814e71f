#!/usr/bin/env python3
"""`pointrend export`: write a trained model as ONNX or for torch.export."""

import sys

from pointrend_ext._command import run_tool
from pointrend_ext.commands.export import build_parser, run


def main() -> int:
    """Run the tool."""
    return run_tool(build_parser(), run)


if __name__ == "__main__":
    sys.exit(main())
