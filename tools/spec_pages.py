"""A document as blocks, and how blocks look as Markdown and as HTML.

Pure text work: knows headings, paragraphs, lists and tables, nothing of messages. In every text, what stands
between backticks is code; it is always written left to right.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

RIGHT_TO_LEFT = ("fa",)


class Heading(NamedTuple):
    """A heading; `level` 1 is the document's title. `anchor` names it within the document."""

    level: int
    text: str
    anchor: str


class Paragraph(NamedTuple):
    text: str


class Items(NamedTuple):
    """A list of short texts."""

    texts: tuple[str, ...]


class Table(NamedTuple):
    """Rows of texts; every row has as many cells as there are heads."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Code(NamedTuple):
    """Lines as they are, in a fixed-width font."""

    text: str


Block = Heading | Paragraph | Items | Table | Code


class Page(NamedTuple):
    """A document. `language`: "en" or "fa"; `origin`: the command it is made by."""

    title: str
    language: str
    origin: str
    blocks: tuple[Block, ...]


# ---------------------------------------------------------------- Markdown


def markdown(page: Page) -> str:
    """`page` as GitHub-flavoured Markdown; a right-to-left page stands in one `div` that says so."""
    lines = [f"<!-- {page.origin} -->", ""]
    is_rtl = page.language in RIGHT_TO_LEFT
    if is_rtl:
        lines += [f'<div dir="rtl" lang="{page.language}">', ""]
    for block in page.blocks:
        lines += [*_markdown_block(block), ""]
    if is_rtl:
        lines += ["</div>", ""]
    return "\n".join(lines[:-1]) + "\n"


def _markdown_block(block: Block) -> list[str]:
    match block:
        case Heading(level, text, anchor):
            # an anchor of our own: renderers derive different ones from Persian headings
            return [f'<a id="{anchor}"></a>', "", f"{'#' * level} {text}"]
        case Paragraph(text):
            return [_markdown_text(text)]
        case Items(texts):
            return [f"- {_markdown_text(text)}" for text in texts]
        case Table(heads, rows):
            return [
                _markdown_row(heads),
                "|" + " --- |" * len(heads),
                *(_markdown_row(row) for row in rows),
            ]
        case Code(text):
            return ["```text", *text.split("\n"), "```"]


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_markdown_text(cell).replace("\n", " ") for cell in cells) + " |"


def _markdown_text(text: str) -> str:
    """Text outside backticks escaped where Markdown would take it for markup."""
    parts = text.split("`")
    for place in range(0, len(parts), 2):
        parts[place] = re.sub(r"([\\*_<>#\[\]|~])", r"\\\1", parts[place])
    for place in range(1, len(parts), 2):
        parts[place] = "`" + parts[place].replace("|", "\\|") + "`"
    return "".join(parts)


# ---------------------------------------------------------------- HTML

_STYLE = """\
:root { color-scheme: light dark; --line: #8886; --shade: #8881; }
body { font: 16px/1.6 Vazirmatn, system-ui, sans-serif; max-width: 72rem; margin: auto; padding: 1rem; }
h1, h2, h3 { line-height: 1.25; margin-top: 2em; }
code, pre { font: 0.9em/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
code { direction: ltr; unicode-bidi: isolate; background: var(--shade); padding: 0 0.25em; }
pre { direction: ltr; text-align: left; background: var(--shade); padding: 0.75rem; overflow-x: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border: 1px solid var(--line); padding: 0.25rem 0.5rem; text-align: start; vertical-align: top; }
th { background: var(--shade); }
nav ul { columns: 18rem; }
@media print { body { max-width: none; } .wide { overflow: visible; } }"""


def html_page(page: Page) -> str:
    """`page` as one HTML file that needs nothing else: no script, no font, no image from elsewhere."""
    direction = "rtl" if page.language in RIGHT_TO_LEFT else "ltr"
    contents = [block for block in page.blocks if isinstance(block, Heading) and block.level == 2]
    first = next(place for place, block in enumerate(page.blocks) if block in contents)
    lines = [
        "<!DOCTYPE html>",
        f'<html lang="{page.language}" dir="{direction}">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(page.title)}</title>",
        f"<!-- {page.origin} -->",
        f"<style>\n{_STYLE}\n</style>",
        "</head>",
        "<body>",
        *_html_blocks(page.blocks[:first]),
        "<nav><ul>",
        *(f'<li><a href="#{heading.anchor}">{_html_text(heading.text)}</a></li>' for heading in contents),
        "</ul></nav>",
        *_html_blocks(page.blocks[first:]),
        "</body>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def _html_blocks(blocks: Iterable[Block]) -> list[str]:
    return [line for block in blocks for line in _html_block(block)]


def _html_block(block: Block) -> list[str]:
    match block:
        case Heading(level, text, anchor):
            return [f'<h{level} id="{anchor}">{_html_text(text)}</h{level}>']
        case Paragraph(text):
            return [f"<p>{_html_text(text)}</p>"]
        case Items(texts):
            return ["<ul>", *(f"<li>{_html_text(text)}</li>" for text in texts), "</ul>"]
        case Table(heads, rows):
            return [
                '<div class="wide"><table>',
                "<thead><tr>" + "".join(f"<th>{_html_text(head)}</th>" for head in heads) + "</tr></thead>",
                "<tbody>",
                *("<tr>" + "".join(f"<td>{_html_text(cell)}</td>" for cell in row) + "</tr>" for row in rows),
                "</tbody></table></div>",
            ]
        case Code(text):
            return [f"<pre>{html.escape(text)}</pre>"]


def _html_text(text: str) -> str:
    parts = [html.escape(part) for part in text.split("`")]
    for place in range(1, len(parts), 2):
        parts[place] = f"<code>{parts[place]}</code>"
    return "".join(parts)


# format -> (file name's ending, renderer)
FORMATS: dict[str, tuple[str, Callable[[Page], str]]] = {
    "markdown": ("md", markdown),
    "html": ("html", html_page),
}
