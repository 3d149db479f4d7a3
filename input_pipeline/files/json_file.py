"""JSON files that name themselves where they are damaged."""

from __future__ import annotations

from typing import Any

from input_pipeline.files import filesystem
from input_pipeline.files.json_text import parse_json


def read_json(path: str, advice: str) -> Any:
    """Reads a JSON file; raises ValueError as `parse_json` does."""
    return parse_json(filesystem.read_text(path), path, advice)
