"""Reading YAML that refuses what ``yaml.safe_load`` passes over: a key that is given twice."""

from typing import Any

import yaml

_MOST_VALUES = 1_000_000
_MOST_MERGED = 100_000  # pairs of one mapping; PyYAML repeats those that are merged twice


def load_yaml(text: str, source: str) -> Any:
    """Read one YAML document.

    Args:
        text: the content.
        source: what messages begin with, such as ``"Config 'my.yaml'"``.

    Raises:
        ValueError: it is no YAML, or a key is repeated, or a tab stands where YAML has spaces, in
            one sentence with the line; or its aliases stand for more than a machine can go through.
    """
    try:
        # Of bytes, Reader would guess the encoding; a text may begin with a byte order mark.
        content = yaml.load(text, _StrictLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{source}: {_sentence(error)}") from None
    except RecursionError:
        raise ValueError(f"{source}: it is nested too deeply to be read.") from None
    except ValueError as error:  # of a date that does not exist, for example
        raise ValueError(f"{source}: a value cannot be read: {error}.") from None
    if _num_values(content, {}) > _MOST_VALUES:
        raise ValueError(f"{source}: its aliases (*name) repeat too many values. Write them out.")
    return content


class _StrictLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        # Before ``super`` merges "<<", whose keys may be replaced on purpose.
        first_lines: dict[Any, int] = {}
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            is_merge = key_node.tag == "tag:yaml.org,2002:merge"
            key = "<<" if is_merge else self.construct_object(key_node)
            line = key_node.start_mark.line + 1
            if key in first_lines:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} is given twice, in line {first_lines[key]} and in "
                    f"line {line}; only one of them could count. Take one out"
                )
            first_lines[key] = line
        return super().construct_mapping(node, deep)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MOST_MERGED:
            raise yaml.MarkedYAMLError(
                problem="its merges (<<) repeat too many values. Write them out"
            )


def _num_values(value: Any, known: dict[int, int]) -> int:
    """Count values as often as aliases repeat them, each list or mapping but once."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = 1  # for one that holds itself
        below = value.values() if isinstance(value, dict) else value
        known[id(value)] += sum(_num_values(part, known) for part in below)
    return known[id(value)]


def _sentence(error: yaml.YAMLError) -> str:
    """Say in words of the file what YAML says of its scanner."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if problem is None:
        return f"it is no text that YAML can hold: {' '.join(str(error).split())}."
    if mark is None:
        return f"{problem}."
    where = f"line {mark.line + 1}, column {mark.column + 1}"
    if "'\\t'" in problem:
        return f"{where} holds a tab, but YAML is indented with spaces alone. Replace the tab."
    context = getattr(error, "context", None)
    return f"{where}: {problem}{f' ({context})' if context else ''}. Is it valid YAML?"
