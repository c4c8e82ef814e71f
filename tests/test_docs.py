"""What README.md and docs/ tell the reader to follow, open or type exists."""

import contextlib
import functools
import io
import itertools
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), ROOT / "configs/README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r"^[ \t]*```[^\n]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
IMAGE_TAG = re.compile(r"<(?:img|a)\s[^>]*?(?:src|href)=\"([^\"]+)\"")
# A path in our own tree, not the tail of a longer one, nor a pattern (configs/<name>.yaml).
OWN_PATH = re.compile(r"(?<![\w./>-])((?:configs|tools|tests|requirements|docs)/[\w./-]+\.\w+)")
PYTHON = r"(?:^|\s)(?:\S*python\S*|\$\(?PY\)?)\s+(?:-\w+\s+)*"
SCRIPT = re.compile(
    PYTHON + r"(tools/\w+\.py|benchmarks\b(?:\.\w+)*(?: [a-z]+(?=\s))?)(?=\s|$)(.*)"
)
MAKE = re.compile(r"(?:^|\s|;|&)make((?:\s+(?:\w+=\S+|[\w-]+(?![\w=-])))+)")


def code_of(text: str) -> list[str]:
    """Every line of code, continuation lines joined; then every inline code span."""
    lines = []
    for block in FENCE.findall(text):
        lines += re.sub(r"\\\n\s*", " ", block).splitlines()
    return lines + INLINE.findall(FENCE.sub("", text))


def links_of(text: str) -> list[str]:
    """Targets of links and images outside code that lie in the repository."""
    prose = INLINE.sub("", FENCE.sub("", text))
    targets = LINK.findall(prose) + IMAGE_TAG.findall(prose)
    return [t for t in targets if not re.match(r"[a-z]+:|//", t)]


def commands_of(text: str) -> list[tuple[str, list[str]]]:
    """Every ``python tools/X.py`` and ``python -m benchmarks.X``, and its options."""
    matches = filter(None, map(SCRIPT.search, code_of(text)))
    return [(match.group(1), options_of(match.group(2))) for match in matches]


def options_of(arguments: str) -> list[str]:
    """Options up to a comment, a pipe or the next command."""
    words = shlex.split(arguments, comments=True)
    own = itertools.takewhile(lambda word: not set(word) <= set("|;&>"), words)
    return [word.split("=")[0] for word in own if re.match(r"--\w", word)]


def make_targets_of(text: str) -> set[str]:
    calls = (words for line in code_of(text) for words in MAKE.findall(line.split("#")[0]))
    return {word for words in calls for word in words.split() if "=" not in word}


def anchors_of(document: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+\s+(.*?)\s*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@functools.cache
def help_of(script: str) -> str:
    script, *command = script.split()
    run, name = (runpy.run_path, ROOT / script) if "/" in script else (runpy.run_module, script)
    text = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(text):
        patch.setattr(sys, "argv", [script, *command, "--help"])
        with pytest.raises(SystemExit, match="0"):
            run(str(name), run_name="__main__")
    return text.getvalue()


SAMPLE = """# A title: it's `code`
See [this](docs/a.md#part), [that](https://example.org) and ![x](docs/x.png "title").
<img src="docs/y.png" width="300">
Run `make demo`, or `make test VENV=x`, which one can make work. Look at `configs/Toy/a.yaml`,
`configs/<name>.yaml`, `../elsewhere/tools/b.py` and `lib/configs/c.yaml`.
```bash
OMP_NUM_THREADS=1 python tools/train_net.py --config-file configs/Toy/a.yaml \\
    --num-gpus=8 A.B "x --y" | tee --append log   # make nothing
python -m benchmarks.models --image a.jpg
python -m benchmarks.processes startup --scale 0.1
make env PYTHON=/usr/bin/python3 && make lint
```
"""


def test_the_parser_itself(tmp_path: Path) -> None:
    assert links_of(SAMPLE) == ["docs/a.md#part", "docs/x.png", "docs/y.png"]
    assert commands_of(SAMPLE) == [
        ("tools/train_net.py", ["--config-file", "--num-gpus"]),
        ("benchmarks.models", ["--image"]),
        ("benchmarks.processes startup", ["--scale"]),
    ]
    assert make_targets_of(SAMPLE) == {"demo", "test", "env", "lint"}
    assert set(OWN_PATH.findall(SAMPLE)) == {
        "docs/a.md",
        "docs/x.png",
        "docs/y.png",
        "configs/Toy/a.yaml",
        "tools/train_net.py",
    }
    document = tmp_path / "a.md"
    document.write_text(SAMPLE)
    assert anchors_of(document) == {"a-title-its-code"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_named_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    absent = []
    for link in links_of(text):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        inside = target.is_relative_to(ROOT) and target.exists()
        if not inside or (anchor and target.suffix == ".md" and anchor not in anchors_of(target)):
            absent.append(link)
    prose = LINK.sub("", text)  # links are relative to the document
    absent += [name for name in OWN_PATH.findall(prose) if not (ROOT / name).exists()]
    defined = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    absent += [f"make {target}" for target in make_targets_of(text) - defined]
    for script, options in commands_of(text):
        known = re.findall(r"--[\w-]+", help_of(script))
        absent += [f"{script} {option}" for option in options if option not in known]
    assert absent == []


def test_every_command_is_in_a_document() -> None:
    texts = [document.read_text(encoding="utf-8") for document in DOCUMENTS]
    named = {script for text in texts for script, _ in commands_of(text)}
    tools = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tools").glob("*.py")}
    assert tools - named == {"tools/toy_demo.py"}  # `make demo`
    assert len(named - tools) >= 8  # benchmarks


def test_tracked_text_names_no_private_place() -> None:
    """A path of the author's machine in a document or config is useless to everybody else."""
    private = re.compile(r"/(?:work|home|root|Users)/|/tmp/|10\.\d+\.\d+\.\d+")
    files = [*DOCUMENTS, ROOT / "Makefile", *(ROOT / "configs").rglob("*.yaml")]
    found = {f.name: private.findall(f.read_text(encoding="utf-8")) for f in files}
    assert {name: hits for name, hits in found.items() if hits} == {}
