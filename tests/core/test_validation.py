"""How settings are described in lists: as they are given in files and on the command line."""

from typing import Literal

from pydantic import Field

from benchmark.core import yaml_files
from benchmark.core.validation import Closed, described


class Made(Closed):
    side: int | None = Field(None, ge=32)
    folder: str | None = None
    share: float = Field(0.5, gt=0, le=1)
    clip: bool = True
    kind: Literal["none", "fixed"] = "none"


def test_defaults_and_what_is_accepted_are_told_as_they_are_given() -> None:
    told = {one.name: (one.default, one.accepted) for one in described(Made)}
    assert told == {
        "side": ("null", "32 <= x | null"),
        "folder": ("null", "str | null"),
        "share": ("0.5", "0 < x <= 1"),
        "clip": ("true", "true | false"),
        "kind": ("none", "none | fixed"),
    }
    given = {one.name: yaml_files.value(one.default, Made.model_fields[one.name].annotation) for one in described(Made)}
    assert Made(**{name: given[name] for name in ("side", "share", "clip", "kind")}) == Made()
