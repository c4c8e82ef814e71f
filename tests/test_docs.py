"""What README.md and docs/ tell the reader to follow, open or type exists."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [p for p in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if p.exists()]
IDS = [document.relative_to(ROOT).as_posix() for document in DOCUMENTS]

FENCE = re.compile(r"^[ \t]*```[^\n]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
IMAGE_TAG = re.compile(r"<(?:img|a)\s[^>]*?(?:src|href)=\"([^\"]+)\"")
# A path in our own tree, not the tail of a longer one, nor a pattern (configs/<name>.yaml).
OWN_PATH = re.compile(r"(?<![\w./>-])((?:configs|tools|tests|requirements|docs)/[\w./-]+\.\w+)")
SCRIPT = re.compile(r"(?:^|\s)(?:\S*python\S*|\$\(?PY\)?)\s+(?:-\w+\s+)*(tools/\w+\.py)\b(.*)")
MAKE = re.compile(r"(?:^|\s|;|&)make((?:\s+(?:\w+=\S+|[\w-]+(?![\w=-])))+)")


class Command(NamedTuple):
    """One ``python tools/X.py ...`` of a document."""

    script: str
    options: tuple[str, ...]


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


def commands_of(text: str) -> list[Command]:
    found = []
    for line in code_of(text):
        match = SCRIPT.search(line)
        if match:
            words = split(match.group(2))
            options = tuple(w.split("=")[0] for w in words if re.match(r"--\w", w))
            found.append(Command(match.group(1), options))
    return found


def split(arguments: str) -> list[str]:
    """Shell words up to a comment, a pipe or the next command."""
    lexer = shlex.shlex(arguments, posix=True, punctuation_chars="|;&<>")
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if set(word) <= set("|;&"):
            break
        words.append(word)
    return words


def make_targets_of(text: str) -> set[str]:
    found: set[str] = set()
    for line in code_of(text):
        for words in MAKE.findall(line.split("#")[0]):
            found.update(w for w in words.split() if "=" not in w)
    return found


def anchors_of(document: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+\s+(.*?)\s*$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@functools.cache
def help_of(script: str) -> str:
    command = [sys.executable, "-W", "ignore", script, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{script} --help fails:\n{done.stderr[-2000:]}"
    return done.stdout


SAMPLE = """# A title: it's `code`
See [this](docs/a.md#part), [that](https://example.org) and ![x](docs/x.png "title").
<img src="docs/y.png" width="300">
Run `make demo`, or `make test VENV=x`, which one can make work. Look at `configs/Toy/a.yaml`,
`configs/<name>.yaml`, `../elsewhere/tools/b.py` and `lib/configs/c.yaml`.
```bash
OMP_NUM_THREADS=1 python tools/train_net.py --config-file configs/Toy/a.yaml \\
    --num-gpus=8 A.B "x --y" | tee --append log   # make nothing
make env PYTHON=/usr/bin/python3 && make lint
```
"""


def test_the_parser_itself(tmp_path: Path) -> None:
    assert links_of(SAMPLE) == ["docs/a.md#part", "docs/x.png", "docs/y.png"]
    assert commands_of(SAMPLE) == [Command("tools/train_net.py", ("--config-file", "--num-gpus"))]
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


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for link in links_of(document.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        inside = target.is_relative_to(ROOT) and target.exists()
        if not inside or (anchor and target.suffix == ".md" and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_named_files_exist(document: Path) -> None:
    prose = LINK.sub("", document.read_text(encoding="utf-8"))  # links are relative to the document
    named = set(OWN_PATH.findall(prose))
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_named_make_targets_exist(document: Path) -> None:
    defined = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert make_targets_of(document.read_text(encoding="utf-8")) <= defined


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_commands_use_options_that_the_tool_has(document: Path) -> None:
    unknown = []
    for command in commands_of(document.read_text(encoding="utf-8")):
        known = re.findall(r"--[\w-]+", help_of(command.script))
        unknown += [f"{command.script} {o}" for o in command.options if o not in known]
    assert unknown == []


@pytest.mark.parametrize(
    "script", sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "tools").glob("*.py"))
)
def test_every_tool_explains_itself(script: str) -> None:
    assert "usage:" in help_of(script)


def test_tracked_text_names_no_private_place() -> None:
    """A path of the author's machine in a document or config is useless to everybody else."""
    private = re.compile(r"/(?:work|home|root|Users)/|/tmp/|10\.\d+\.\d+\.\d+")
    files = [*DOCUMENTS, ROOT / "Makefile", *(ROOT / "configs").rglob("*.yaml")]
    found = {f.name: private.findall(f.read_text(encoding="utf-8")) for f in files}
    assert {name: hits for name, hits in found.items() if hits} == {}
