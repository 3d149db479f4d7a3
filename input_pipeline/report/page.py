"""The page that the data report fills in, which refers to no other file, and its tables."""

from __future__ import annotations

import html
from collections.abc import Sequence

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 64rem;
  padding: 0 1rem; }}
h1 {{ margin-bottom: 0; }} h2 {{ margin: 0 0 .3rem; font-size: 1.15rem; }}
p {{ color: #555; margin: 0 0 1rem; }}
section {{ border-top: 1px solid #ddd; padding: 1.2rem 0; }}
.cards {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .7rem;
  margin: 1rem 0 1.5rem; }}
.cards div {{ background: #f4f6f8; border-radius: .5rem; padding: .7rem .9rem; }}
.cards b {{ display: block; font-size: 1.25rem; }} .cards span, small {{ color: #666; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: right; padding: .25rem .8rem; border-bottom: 1px solid #eee; }}
th {{ color: #666; font-weight: 600; }}
th:first-child, td:first-child, tr th:nth-child(2) {{ text-align: left; }}
.scroll {{ overflow-x: auto; margin-top: .8rem; }}
.warning {{ color: #a33; }} svg {{ max-width: 100%; height: auto; }}
summary {{ cursor: pointer; font-weight: 600; }}
</style></head><body>
{body}
</body></html>
"""


def table(head: Sequence[str], rows: Sequence[str]) -> str:
    """A table of these names and `<tr>` elements."""
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    return f"<div class=scroll><table><tr>{heads}</tr>{''.join(rows)}</table></div>"
