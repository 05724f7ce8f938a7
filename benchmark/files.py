"""YAML files that people write: read safely, with errors that name the line."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from benchmark.errors import UserError


class YamlFile:
    """A YAML file that knows on which line everything stands.

    Args:
        path: the file.
        kind: what it should be, as in ``stream file``, for errors.
        needs: what it must hold at the least, for errors.

    Raises:
        UserError: it cannot be read, is not valid YAML, is not a mapping, or has a key twice.
    """

    def __init__(self, path: Path, kind: str, needs: str) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.data = yaml.safe_load(text)
        except OSError as error:
            raise UserError(f"Cannot read the {kind} '{path}': {error.strerror}.") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"'{path}' is not valid YAML: {error}") from error
        if not isinstance(self.data, dict) or root is None:
            raise UserError(f"'{path}' is no {kind}: it needs {needs}.")
        self.root = root
        self._refuse_doubles(self.root)

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

    def _refuse_doubles(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if key.value in seen:
                    raise UserError(f"{self.path}, line {key.start_mark.line + 1}: '{key.value}' stands twice.")
                seen.add(key.value)
                self._refuse_doubles(value)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._refuse_doubles(item)
