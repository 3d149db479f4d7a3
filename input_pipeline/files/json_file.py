"""JSON files that name themselves where they are damaged."""

from __future__ import annotations

import json
from typing import Any

from input_pipeline.files import filesystem


def parse_json(text: str, path: str, advice: str) -> Any:
    """What a JSON file holds.

    Args:
      text: of the file.
      path: the file, for messages.
      advice: what to do where it is damaged.

    Raises:
      ValueError: it is empty, cut off, or something else than JSON.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        found = f"an error in line {error.lineno}: {error.msg}"
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            found = f"a file that is cut off in line {error.lineno}" if text.strip() else "no text"
        raise ValueError(f"{path}: must be JSON, got {found}. {advice}") from None


def read_json(path: str, advice: str) -> Any:
    """Reads a JSON file; raises ValueError as `parse_json` does."""
    return parse_json(filesystem.read_text(path), path, advice)
