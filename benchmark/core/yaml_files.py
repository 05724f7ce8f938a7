"""What people write by hand: YAML files, single values and places, each read in one way wherever it stands.

Numbers are written as people write them, ``3``, ``+3``, ``1_000``, ``.5``, ``1e-3`` and ``1E5``, and ``true``,
``false`` and ``null`` are the only words with a meaning of their own: ``no``, ``on``, ``010`` (ten), ``1:30`` and
``2024-01-01`` are what they look like. Where text is meant, such as a name or a path, everything is text as it was
written: a folder may be called ``2024``, ``1e5`` or ``~old``.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

from benchmark.core.errors import UserError
from benchmark.core.files import opened
from benchmark.core.shell import joined

try:
    from yaml import CSafeLoader as YamlLoader  # ten times as fast, where PyYAML was built with it
except ImportError:
    from yaml import SafeLoader as YamlLoader  # type: ignore[assignment]

NUMBER = re.compile(r"[-+]?(\d+(_\d+)*(\.(\d+(_\d+)*)?)?|\.\d+(_\d+)*)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
WORDS = {"true": True, "false": False, "null": None, "": None}
"""Plain words that are no text, in any of ``true``, ``True`` and ``TRUE``."""
LARGEST = 20_000
"""Values that a file may hold once everything it refers to (YAML's aliases) is written out."""
SIZE = 2**20
"""Bytes that a file may have."""
DEPTH = 100
"""Lists and mappings that may stand in each other."""

_TEXT = (str, Path, NoneType)
_PLAIN, _MERGE = "plain", "tag:yaml.org,2002:merge"
_KNOWN = {_PLAIN, *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))}


def number(text: str) -> int | float | None:
    """The number that a text is, or None if it is none."""
    if not NUMBER.fullmatch(text):
        return None
    try:
        whole = int(text)
        float(whole)  # what no float can hold is as infinite as 1e999
        return whole
    except (ValueError, OverflowError):
        return float(text)


def plain(text: str) -> Any:
    """What an unquoted text stands for where anything may stand: a number, true, false, null, or itself."""
    if text == "~" or (text.lower() in WORDS and text in (text.lower(), text.capitalize(), text.upper())):
        return WORDS.get(text.lower())
    found = number(text)
    return text if found is None else found


def as_path(text: str | os.PathLike[str]) -> Path:
    """The path that a person wrote: ``~`` and ``~user`` at its start are home folders, as in a shell.

    Variables such as ``$HOME`` are left to the shell; a folder whose own name starts with ``~`` is ``./~name``.

    Raises:
        ValueError: it is empty, or no path can be like it.
    """
    written = os.fspath(text)
    if not written.strip():
        raise ValueError("it is empty; give a path, and '.' for the present folder")
    if "\0" in written:
        raise ValueError("a path holds no zero byte")
    path = Path(os.path.expanduser(written))  # noqa: PTH111 (pathlib's fails for a user who is not there)
    return Path.cwd() / path if str(path).startswith("~") and not written.startswith("~") else path


def command(*words: str | Path) -> str:
    """A command of the suite that can be pasted into a shell; paths are quoted where they need it."""
    written = [f"./{word}" if isinstance(word, Path) and str(word)[0] in "-~" else str(word) for word in words]
    return joined(["python", "-m", "benchmark", *written])


def value(text: str, meant: Any = Any) -> Any:
    """A single value, as it would be read from a file.

    Args:
        text: what was written, such as ``1e-3``, ``fixed`` or ``[1, 2]``.
        meant: the type that is wanted; where it is text, ``text`` is given back as it is.

    Raises:
        UserError: it is not valid YAML.
    """
    if _is_text(meant) and (get_origin(meant) is Literal or all(kind in _TEXT for kind in _kinds(meant))):
        return text
    try:
        node = _composed(text)
        return None if node is None else _Builder(f"'{text}'").build(node, meant)
    except (yaml.YAMLError, UnicodeError) as error:
        raise UserError(f"'{text}' is not valid YAML.") from error


class YamlFile:
    """A YAML file that knows on which line everything stands.

    Args:
        path: the file.
        kind: what it should be, as in ``stream file``, for errors.
        needs: what it must hold at the least, for errors.
        meant: the types that are wanted: a pydantic model, or a mapping of keys to types. They decide what is read as
            text; nothing else is checked.

    Raises:
        UserError: it cannot be read, is not valid YAML, is not a mapping, has a key twice, or is larger than SIZE,
            LARGEST or DEPTH allow.
    """

    def __init__(self, path: Path, kind: str, needs: str, meant: Any = Any) -> None:
        self.path = path
        try:
            with opened(path) as file:
                content = file.read(SIZE + 1)
            if len(content) > SIZE:
                raise UserError(f"'{path}' is no {kind}: it has more than {SIZE:,} bytes.")
            root = _composed(_decoded(content))
            if not isinstance(root, yaml.MappingNode):
                raise UserError(f"'{path}' is no {kind}: it needs {needs}.")
            self.data: dict[str, Any] = _Builder(str(path)).build(root, meant)
        except OSError as error:
            raise UserError(f"Cannot read the {kind} '{path}': {error.strerror}.") from error
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            raise UserError(
                f"{path}, line {line}: the file is not written in UTF-8. Save it in this encoding with an editor."
            ) from error
        except (yaml.YAMLError, UnicodeError) as error:
            raise UserError(f"'{path}' is not valid YAML: {error}") from error
        self.root = root

    def error(self, path: Sequence[str | int], problem: str) -> UserError:
        """An error about the value at this path of keys and places."""
        return UserError(f"{self.path}, line {self.line(path)}: {problem}")

    def line(self, path: Sequence[str | int]) -> int:
        """The line, counted from 1, on which the value at this path stands; of its parent where it is missing."""
        node: yaml.Node = self.root
        line = node.start_mark.line
        for part in path:
            if isinstance(node, yaml.MappingNode):
                found = [(key.start_mark.line, value) for key, value in node.value if key.value == str(part)]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                found = [(node.value[part].start_mark.line, node.value[part])]
            else:
                found = []
            if not found:
                break
            line, node = found[0]
        return line + 1


class _Loader(YamlLoader):
    """Composes nodes and gives no plain scalar a type; that is left to :class:`_Builder`."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own way)
        "<": [(_MERGE, re.compile("<<$"))],
        None: [(_PLAIN, re.compile(""))],
    }


def _decoded(content: bytes) -> str:
    """The text of a file.

    Raises:
        UnicodeDecodeError: it is not in UTF-8, also where only zero bytes beside letters tell UTF-16 from it.
    """
    if content[:2].count(0) == 1:
        raise UnicodeDecodeError("utf-8", content, 0, 2, "UTF-16 without a mark at its start")
    return content.decode("utf-8-sig")


def _composed(text: str) -> yaml.Node | None:
    """The nodes of a document, once it is known that they are few and not nested too deep; None of an empty one.

    Raises:
        yaml.YAMLError: it is not valid, or has more than LARGEST or DEPTH allow.
        UnicodeError: it holds what is no text.
    """
    deep = f"lists and mappings are nested more than {DEPTH} deep"
    depth = nodes = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            nodes += isinstance(event, yaml.NodeEvent)
            if depth > DEPTH:
                raise _refused(deep, event.start_mark)
            if nodes > 2 * LARGEST:  # keys count here, too
                raise _refused(f"more than {LARGEST:,} values", event.start_mark)
    except yaml.MarkedYAMLError as error:
        if "nesting depth" in str(error.problem):  # the parser has a bound of its own, and looks ahead
            raise _refused(deep, error.problem_mark) from error
        raise
    return yaml.compose(text, Loader=_Loader)


def _refused(problem: str, mark: Any) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


class _Builder:
    """Makes plain values of YAML's nodes, guided by the types that are wanted."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.open: list[yaml.Node] = []
        self.merged: dict[yaml.Node, dict[str, yaml.Node]] = {}
        self.built = 0

    def build(self, node: yaml.Node, meant: Any) -> Any:
        self._count(1, node)
        if node in self.open:
            raise self.error(node, "a part that is within itself.")
        if node.tag not in _KNOWN:
            raise self.error(node, f"the tag {node.tag} has no meaning here; leave it out.")
        self.open.append(node)
        built = self._content(node, meant)
        self.open.pop()
        return built

    def error(self, node: yaml.Node, problem: str) -> UserError:
        return UserError(f"{self.source}, line {node.start_mark.line + 1}: {problem}")

    def _content(self, node: yaml.Node, meant: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            return {key: self.build(below, _below(meant, key)) for key, below in self._entries(node).items()}
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, _below(meant, place)) for place, item in enumerate(node.value)]
        if node.tag != _PLAIN:
            return node.value
        if _is_text(meant):
            none = NoneType in _kinds(meant) and node.value != "~" and plain(node.value) is None
            return None if none else node.value
        return plain(node.value)

    def _entries(self, node: yaml.MappingNode) -> dict[str, yaml.Node]:
        """What a mapping holds, with what it merges (``<<``) from others first; of those an earlier one wins."""
        if node in self.merged:  # an alias leads here again
            return self.merged[node]
        own: dict[str, yaml.Node] = {}
        others: list[yaml.Node] = []
        for key, below in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.error(key, "a key is a single word.")
            if key.value in own or (key.tag == _MERGE and others):
                raise self.error(key, f"'{key.value}' stands twice.")
            if key.tag == _MERGE:
                others = below.value if isinstance(below, yaml.SequenceNode) else [below]
            else:
                own[key.value] = below
        entries: dict[str, yaml.Node] = {}
        for other in others:
            if not isinstance(other, yaml.MappingNode) or other in self.open:
                raise self.error(node, "'<<' takes another mapping, or a list of some.")
            self.open.append(other)
            entries = self._entries(other) | entries
            self.open.pop()
            self._count(len(entries), node)
        self.merged[node] = entries | own
        return self.merged[node]

    def _count(self, more: int, node: yaml.Node) -> None:
        self.built += more
        if self.built > LARGEST:
            raise self.error(node, f"more than {LARGEST:,} values.")


def _kinds(meant: Any) -> tuple[Any, ...]:
    """The types that an annotation allows, such as (str, None) of ``str | None``."""
    return (meant,) if isinstance(meant, type | Mapping) or get_origin(meant) in (list, dict) else get_args(meant)


def _is_text(meant: Any) -> bool:
    """Whether what stands here is text, and not read as anything else."""
    if get_origin(meant) is Literal:
        return all(isinstance(choice, str) for choice in get_args(meant))
    kinds = _kinds(meant)
    if any(kind in (int, float, bool) for kind in kinds):
        return False
    groups = (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    return str in kinds or Path in kinds or any(groups)


def _below(meant: Any, key: str | int) -> Any:
    """The type that is wanted of an entry of a mapping or a list."""
    if isinstance(meant, Mapping):
        return meant.get(key, Any)
    for kind in _kinds(meant):
        if get_origin(kind) in (list, dict):
            return get_args(kind)[-1]
        if isinstance(kind, type) and issubclass(kind, BaseModel) and key in kind.model_fields:
            return kind.model_fields[str(key)].annotation
    return Any
