"""What pydantic found wrong, told so that a user can mend it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from benchmark.core.errors import meant, shortened, unknown

if TYPE_CHECKING:
    from benchmark.core.yaml_files import YamlFile

ACCEPTED = {
    "dict_type": "A mapping such as {{name: value}} is accepted",
    "model_type": "A mapping such as {{name: value}} is accepted",
    "list_type": "A list is accepted",
    "tuple_type": "A list is accepted",
    "string_type": "Text is accepted",
    "string_pattern_mismatch": "Text like {pattern} is accepted",
    "too_short": "A list with a length of at least {min_length} is accepted",
    "too_long": "A list with a length of at most {max_length} is accepted",
}
"""What pydantic tells in words of Python, by its name for the problem; with what it knows of the bounds."""


class Closed(BaseModel):
    """A frozen group of settings that takes no name it does not know, and no number that is none.

    Whole numbers may be written as ``3.0`` or ``1e3``; a number where text is wanted is its text. Infinity, nan and
    true or false in place of a number are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[info.field_name].annotation if info.field_name else bool
        kinds = {annotation, *get_args(annotation)}
        given = value if isinstance(value, list) else [value]
        if any(isinstance(one, bool) for one in given) and _numbers(kinds) and bool not in kinds:
            raise ValueError("A number is accepted, not true or false")
        if any(isinstance(one, int) and abs(one) >= 2**63 for one in given):
            raise ValueError("A number of at most 64 bits is accepted")
        return value


def filled(name: str) -> str:
    """A name that is not left out; pydantic's own ``min_length`` refuses what names of files may hold.

    Raises:
        ValueError: it is empty.
    """
    if not name:
        raise ValueError("A name of at least one character is accepted")
    return name


def _numbers(kinds: set[Any]) -> bool:
    """Whether numbers are among the types, or what a type such as ``Annotated[int, ...]`` stands for."""
    return bool({int, float} & {*kinds, *(get_args(kind)[0] for kind in kinds if get_args(kind))})


def explain(
    error: ValidationError,
    model: type[BaseModel],
    prefix: str = "",
    file: "YamlFile | None" = None,
) -> str:
    """One line for each problem: the field, the value given, what is accepted, and what the field means.

    Args:
        error: what validating ``model`` raised.
        model: the model that was validated.
        prefix: put before each field's name, as in ``cmc.fraction``.
        file: where the values stand; it is named first, and before each problem its line.
    """
    lines = []
    for problem in error.errors(include_url=False):
        path = [str(part) for part in problem["loc"]]
        where = f"line {file.line(problem['loc'])}: " if file else ""
        whole = [prefix, *path] if prefix else path
        name, section = ".".join(whole), ".".join(whole[:-1])
        parent = _model_at(model, path[:-1])
        if problem["type"] == "extra_forbidden":
            what = f"setting of {section}" if section else "setting"
            lines.append(where + str(unknown(what, path[-1], parent.model_fields)))
            continue
        field = parent.model_fields.get(path[-1]) if path else None
        meaning = f" {name}: {field.description}." if field and field.description else ""
        reason = reason_of(problem)
        if problem["type"] == "missing":
            lines.append(f"{where}{name} is missing.{meaning}")
        else:
            choices = re.findall("'([^']*)'", problem["ctx"]["expected"]) if problem["type"] == "literal_error" else []
            near = meant(shortened(str(problem["input"])), choices)
            lines.append(
                f"{where}{name} = {shortened(repr(problem['input']))} is not accepted. {reason}.{near}{meaning}"
            )
    return (f"{file.path}, " if file else "") + "\n".join(dict.fromkeys(lines))


def reason_of(problem: Mapping[str, Any]) -> str:
    """What is accepted in place of a value, from one of the problems that pydantic found; without a full stop."""
    known = ACCEPTED.get(problem["type"])
    return known.format(**problem.get("ctx", {})) if known else str(problem["msg"]).removeprefix("Value error, ")


def limits(field: FieldInfo) -> str:
    """The range of a field in words, such as ``0 < x <= 1``, or an empty string."""
    low = high = ""
    for rule in field.metadata:
        for attribute, sign in (("gt", "<"), ("ge", "<=")):
            if getattr(rule, attribute, None) is not None:
                low = f"{getattr(rule, attribute):g} {sign} "
        for attribute, sign in (("lt", "<"), ("le", "<=")):
            if getattr(rule, attribute, None) is not None:
                high = f" {sign} {getattr(rule, attribute):g}"
    return f"{low}x{high}" if low or high else ""


@dataclass(frozen=True)
class Described:
    """A setting in words: its name, its default and what is accepted, as they are given, and what it means."""

    name: str
    default: str
    accepted: str
    meaning: str


def described(model: type[BaseModel]) -> list[Described]:
    """Every setting of a model, for lists."""
    return [
        Described(name, written(field.default), _accepted(field), field.description or "")
        for name, field in model.model_fields.items()
    ]


def written(value: Any) -> str:
    """A value as it is given in a file and on the command line, where nothing is ``null``."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _accepted(field: FieldInfo) -> str:
    """What a field takes, in words: its range or its kind, and ``null`` where it may be unset."""
    kind = _kind(field.annotation)
    unset = " | null" if kind.endswith(" | null") else ""
    return limits(field) + unset if limits(field) else kind


def _kind(annotation: Any) -> str:
    """A type in words, such as ``int | null``."""
    if getattr(annotation, "__args__", None):
        return " | ".join(_kind(part) if isinstance(part, type) else str(part) for part in annotation.__args__)
    known = {type(None): "null", bool: "true | false"}
    return known[annotation] if annotation in known else str(getattr(annotation, "__name__", annotation))


def _model_at(model: type[BaseModel], path: list[str]) -> type[BaseModel]:
    """The nested model that a path of field names leads to, as far as it can be followed."""
    for part in path:
        if part.isdecimal():  # a place in a list, whose items the field before it has led to
            continue
        field = model.model_fields.get(part)
        kind = field.annotation if field else None
        kind = next(iter(get_args(kind)), kind)
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return model
        model = kind
    return model
