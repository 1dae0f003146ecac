"""YAML with line numbers: data, and the line on which every key stands."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from llm_models.errors import InputError
from steps.core.strict import Place, Problem, problems_of, refuse, spelled

M = TypeVar("M", bound=BaseModel)
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
_TIME = "tag:yaml.org,2002:timestamp"
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times as fast


class _Loader(_BASE):
    """Safe YAML in which a date is text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way of configuring
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIME]
        for first, resolvers in _BASE.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # PyYAML lets it through, without a line
            raise yaml.constructor.ConstructorError(
                None, None, str(error), node.start_mark
            ) from None


@dataclass(frozen=True)
class Document:
    """`data` is plain; `problems` are keys given twice and keys that are not text."""

    path: Path
    data: Any
    problems: list[Problem]
    root: yaml.Node | None

    def line(self, place: Place) -> int:
        """The line of a key or list item, from 1; of the nearest thing around it if missing."""
        node, line = self.root, 1
        for part in place:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line

    def checked(
        self, model: type[M], context: dict[str, Any] | None = None, more: Iterable[Problem] = ()
    ) -> M:
        """The data as a model. Raises one InputError with every problem, `more` included."""
        if self.root is None:
            refuse(self.path, [(1, f"the file is empty; it needs {_needs(model)}")])
        problems = [*self.problems, *more]
        try:
            value = model.model_validate(self.data, context=context)
        except ValidationError as error:
            refuse(self.path, problems + problems_of(error, model, self.line))
            raise
        refuse(self.path, problems)
        return value


def parse(text: str, path: Path) -> Document:
    """Raises InputError with the line of a syntax error."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        problems = list(_key_problems(root, (), set()))
        data = None if root is None else loader.construct_document(root)
    except yaml.YAMLError as error:
        raise InputError(
            f"{path}:{_line_of(error, text)}: not valid YAML: {_cause(error)}"
        ) from None
    except RecursionError:
        raise InputError(f"{path}:1: nested too deeply") from None
    return Document(path, data, problems, root)


def _needs(model: type[BaseModel]) -> str:
    return ", ".join(f"'{name}'" for name, f in model.model_fields.items() if f.is_required())


def _child(node: Any, part: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
        item = node.value[part]
        return item.start_mark.line + 1, item
    if isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):  # the last of several wins, as in the data
            if key.value == part:
                return key.start_mark.line + 1, value
    return None


def _key_problems(node: yaml.Node | None, place: Place, seen: set[int]) -> Iterator[Problem]:
    if id(node) in seen:  # an alias: looked at already, and it may hold itself
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield from _key_problems(item, (*place, position), seen)
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag not in (_TEXT, _MERGE):
                yield line, f"{spelled((*place, str(key.value)))}: a key must be text; quote it"
            elif key.value in first:
                spot = spelled((*place, key.value))
                yield line, f"{spot}: given twice, first on line {first[key.value]}"
            else:
                first[key.value] = line
            yield from _key_problems(value, (*place, str(key.value)), seen)


def _line_of(error: yaml.YAMLError, text: str) -> int:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return int(mark.line) + 1
    position = getattr(error, "position", 0)  # in bytes
    return text.encode("utf-8", "replace")[:position].count(b"\n") + 1


def _cause(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
