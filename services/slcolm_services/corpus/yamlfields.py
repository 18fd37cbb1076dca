"""YAML nodes read with their types checked, every problem named by its line and field."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from slcolm_services.corpus.jsonfields import SURROGATE
from slcolm_services.corpus.records import Problem, shown

_STRING = "tag:yaml.org,2002:str"
_INTEGER = "tag:yaml.org,2002:int"
_BOOLEAN = "tag:yaml.org,2002:bool"
_NULL = "tag:yaml.org,2002:null"
_MAX_COUNT = 2**31 - 1
_MAX_NODES = 1_000_000


def tree_problem(root: yaml.Node) -> Problem | None:
    """Why a tree of nodes cannot be gone through; None where it can.

    An alias is a few bytes and stands for as much as one likes, itself included.
    """
    sizes: dict[int, int] = {}
    opened: set[int] = set()
    stack = [root]
    while stack:
        node = stack[-1]
        line, inner = node.start_mark.line + 1, _inner(node)
        if id(node) in sizes:
            stack.pop()
        elif id(node) in opened:
            stack.pop()
            opened.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(item)] for item in inner)
            if sizes[id(node)] > _MAX_NODES:
                problem = f"its aliases make it more than {_MAX_NODES} values"
                return Problem(line, "file", problem)
        elif isinstance(node, yaml.ScalarNode) and SURROGATE.search(node.value):
            return Problem(line, "file", "holds half of a surrogate pair, which is no character")
        elif any(id(item) in opened for item in inner):
            return Problem(line, "file", "holds an alias of what it stands in")
        else:
            opened.add(id(node))
            stack += [item for item in inner if id(item) not in sizes]
    return None


def _inner(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


class YamlFields:
    """The fields of one mapping.

    Args:
        node: The mapping.
        path: Its path in the file, empty for the file itself.
        problems: Where problems go.
        lines: Line of every field read so far, by its path; all mappings of a file share one.
    """

    def __init__(
        self,
        node: yaml.MappingNode,
        path: str,
        problems: list[Problem],
        lines: dict[str, int] | None = None,
    ) -> None:
        self._path = path
        self._problems = problems
        self._line = node.start_mark.line + 1
        self._lines = {} if lines is None else lines
        self._nodes: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            self._lines[self._field(name)] = key.start_mark.line + 1
            if name in self._nodes:
                self.error(name, "stands twice")
            elif value.tag != _NULL:
                self._nodes[name] = value

    def has(self, key: str) -> bool:
        """Whether the key is there with a value."""
        return key in self._nodes

    def line_of(self, field: str) -> int:
        """Line of a field that has been read, by its path; of the closest one around it else."""
        while field and field not in self._lines:
            field = field[: max(field.rfind("."), field.rfind("["), 0)]
        return self._lines.get(field, self._line)

    def error(self, key: str, problem: str) -> None:
        """Add a problem of the field."""
        field = self._field(key)
        self._problems.append(Problem(self.line_of(field), field, problem))

    def only(self, *known: str) -> None:
        """Report every key that is not one of `known`."""
        for key in self._nodes:
            if key not in known:
                self.error(shown(key), f"is not known here; known: {', '.join(known)}")

    def string(self, key: str, *, required: bool = False) -> str | None:
        """A string; None where it is absent."""
        node = self._nodes.get(key)
        if node is None:
            if required:
                self.error(key, "is missing")
            return None
        return self._as_string(key, node)

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty where it is absent."""
        found = (self._as_string(place, item) for place, item in self._items(key))
        return tuple(item for item in found if item is not None)

    def boolean(self, key: str) -> bool:
        """`true` or `false`; false where it is absent."""
        node = self._nodes.get(key)
        if node is None:
            return False
        if node.tag != _BOOLEAN:
            self.error(key, f"must be true or false, not {_written(node)}")
            return False
        return str(node.value).lower() in {"true", "yes", "on"}

    def count(self, key: str) -> int | None:
        """An integer from 0 to 2147483647; None where it is absent."""
        node = self._nodes.get(key)
        if node is None:
            return None
        digits = str(node.value)
        if node.tag != _INTEGER or not digits.isdecimal():
            self.error(key, f"must be an integer of 0 or more, not {_written(node)}")
            return None
        # By length first: Python refuses to convert thousands of digits.
        if len(digits) > len(str(_MAX_COUNT)) or int(digits) > _MAX_COUNT:
            self.error(key, f"must be at most {_MAX_COUNT}, not {_written(node)}")
            return None
        return int(digits)

    def mappings(self, key: str) -> Iterator[YamlFields]:
        """The items of a list of mappings; items that are none are reported and passed over."""
        for place, item in self._items(key):
            if isinstance(item, yaml.MappingNode):
                yield self._child(place, item)
            else:
                self.error(place, f"must be a mapping with a name, not {_written(item)}")

    def mapping(self, key: str) -> YamlFields | None:
        """A mapping; None where it is absent."""
        node = self._nodes.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.MappingNode):
            self.error(key, f"must be a mapping, not {_written(node)}")
            return None
        return self._child(key, node)

    def named_mappings(self) -> Iterator[tuple[str, YamlFields]]:
        """The fields with their names; fields that are no mappings are reported."""
        for key in self._nodes:
            item = self.mapping(key)
            if item is not None:
                yield key, item

    def _items(self, key: str) -> Iterator[tuple[str, yaml.Node]]:
        node = self._nodes.get(key)
        if node is None:
            return
        if not isinstance(node, yaml.SequenceNode):
            self.error(key, f"must be a list, not {_written(node)}")
            return
        for index, item in enumerate(node.value):
            place = f"{key}[{index}]"
            self._lines[self._field(place)] = item.start_mark.line + 1
            yield place, item

    def _child(self, key: str, node: yaml.MappingNode) -> YamlFields:
        return YamlFields(node, self._field(key), self._problems, self._lines)

    def _as_string(self, key: str, node: yaml.Node) -> str | None:
        if node.tag != _STRING:
            hint = "; put it in quotes" if isinstance(node, yaml.ScalarNode) else ""
            self.error(key, f"must be a string, not {_written(node)}{hint}")
            return None
        return str(node.value)

    def _field(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key


def _written(node: yaml.Node) -> str:
    """What stands in the file: what kind of thing, and itself where it is short."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    kind = node.tag.rpartition(":")[2]
    return f"{kind} `{shown(str(node.value))}`"
