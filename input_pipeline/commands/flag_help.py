"""Help texts of flags in titled groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from absl import flags


def grouped_help(groups: Mapping[str, type], flag_values: flags.FlagValues) -> str:
    """Every flag of some options classes, with its choices and default, under their titles.

    Args:
      groups: options classes by title. A flag that several have is shown with the first.
      flag_values: where `define_flags` has defined them; nothing needs to be parsed.
    """
    shown: set[str] = set()
    lines = []
    for title, options_class in groups.items():
        lines.append(f"{title}:")
        for field in dataclasses.fields(options_class):
            if field.name not in shown:
                lines.append(_describe(flag_values[field.name]))
                shown.add(field.name)
        lines.append("")
    return "\n".join(lines)


def _describe(flag: flags.Flag[Any]) -> str:
    prefix = "--[no]" if flag.boolean else "--"
    # A flag of choices names them in its help text already.
    default = f"\n(default: {flag.default_as_str})" if flag.default not in (None, "", []) else ""
    text = f"{prefix}{flag.name}: {flag.help}{default}"
    return flags.text_wrap(text, indent="    ", firstline_indent="  ")
