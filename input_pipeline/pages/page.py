"""Pages that refer to no other file: the document, its sections and its tables."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

_DOCUMENT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 64rem;
  padding: 0 1rem; }}
h1 {{ margin-bottom: 0; }} h2 {{ margin: 0 0 .3rem; font-size: 1.15rem; }}
h3 {{ margin: 1rem 0 .2rem; font-size: 1rem; }}
p {{ color: #555; margin: 0 0 1rem; max-width: 46rem; }}
section {{ border-top: 1px solid #ddd; padding: 1.2rem 0; }}
.cards {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .7rem;
  margin: 1rem 0 1.5rem; }}
.cards div {{ background: #f4f6f8; border-radius: .5rem; padding: .7rem .9rem; }}
.cards b {{ display: block; font-size: 1.25rem; }} .cards span, small {{ color: #666; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: right; padding: .25rem .8rem; border-bottom: 1px solid #eee; }}
th {{ color: #666; font-weight: 600; }}
th:first-child, td:first-child, td + th, .named th:nth-child(2), .text td, .text th
{{ text-align: left; }}
.text td:last-child {{ min-width: 14rem; }} td code {{ white-space: nowrap; }}
td:first-child {{ min-width: 6rem; }}
.scroll {{ overflow-x: auto; margin-top: .8rem; }} .scroll > svg {{ min-width: 38rem; }}
.panels {{ display: grid; gap: 1rem 1.5rem; margin-top: .8rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }}
figure {{ margin: 0; max-width: 30rem; }} figcaption {{ font-weight: 600; font-size: .95rem; }}
.panels svg {{ width: 100%; }} svg {{ max-width: 100%; height: auto; }}
pre {{ background: #f4f6f8; border-radius: .5rem; padding: .7rem .9rem; white-space: pre-wrap;
  overflow-wrap: anywhere; margin: .4rem 0 1rem; }}
.good {{ color: #2a7a3b; }} .warning {{ color: #a33; }}
summary {{ cursor: pointer; font-weight: 600; }}
@media (max-width: 40rem) {{ body {{ margin: 1rem auto; }} th, td {{ padding: .25rem .45rem; }} }}
</style></head><body>
{body}
</body></html>
"""


def document(title: str, parts: Sequence[str]) -> str:
    """The page of some HTML elements."""
    return _DOCUMENT.format(title=html.escape(title), body="\n".join(parts))


def section(title: str, text: str, content: str) -> str:
    """A part of a page: a heading and a paragraph, both HTML, above other elements."""
    return f"<section><h2>{title}</h2><p>{text}</p>{content}</section>"


def cards(values: Mapping[str, str]) -> str:
    """Short values side by side, in large letters, by what they are."""
    boxes = "".join(
        f"<div><b>{html.escape(value)}</b><span>{html.escape(name)}</span></div>"
        for name, value in values.items()
    )
    return f"<div class=cards>{boxes}</div>"


def table(
    head: Sequence[str], rows: Sequence[str], *, of_text: bool = False, of_two_names: bool = False
) -> str:
    """A table of these names and `<tr>` elements.

    Args:
      head: names of the columns.
      rows: `<tr>` elements.
      of_text: whether all columns go to the left.
      of_two_names: whether the second one does, as the first always.
    """
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    kind = " class=text" if of_text else " class=named" if of_two_names else ""
    return f"<div class=scroll><table{kind}><tr>{heads}</tr>{''.join(rows)}</table></div>"


def row(cells: Sequence[str]) -> str:
    """A `<tr>` element of cells that are HTML already."""
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def panels(figures: Mapping[str, str]) -> str:
    """SVG elements by their captions, as many side by side as there is room for."""
    parts = "".join(
        f"<figure><figcaption>{html.escape(caption)}</figcaption>{svg}</figure>"
        for caption, svg in figures.items()
    )
    return f"<div class=panels>{parts}</div>"


def wide(svg: str) -> str:
    """An SVG element that is moved sideways, not made smaller, where there is little room."""
    return f"<div class=scroll>{svg}</div>"
