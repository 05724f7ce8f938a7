"""The shipped presets as plain data; :mod:`benchmark.config` checks what they say of training and sizes."""

from pathlib import Path
from typing import Any

from benchmark.core.files import named
from benchmark.core.yaml_files import YamlFile

FOLDER = Path(__file__).parent

AS_ASKED_FOR = " as asked for"
"""What follows the names of settings that are not the preset's, where a run says where its settings come from."""


def settings(preset: str, strategy: str) -> dict[str, Any]:
    """What a shipped preset says about a strategy; nothing for a preset of another name."""
    return dict(_read(preset).get(strategy, {}))


def sizes(preset: str) -> dict[str, dict[str, Any]]:
    """What a shipped preset says about the training and the backbone; nothing for a preset of another name."""
    return {section: dict(_read(preset).get(section, {})) for section in ("training", "backbone")}


def origin(preset: str, strategy: str) -> str:
    """Where a shipped preset has its settings of a strategy from, in words; empty where it does not say."""
    origins = _read(preset).get("origins", {})
    return str(origins.get(strategy, origins.get("others", "")))


def _read(preset: str) -> dict[str, Any]:
    """All that a shipped preset says; nothing for a preset of another name."""
    path = named(FOLDER, ".yaml").get(preset)
    return YamlFile(path, "preset", "sections such as 'training:'").data if path else {}
