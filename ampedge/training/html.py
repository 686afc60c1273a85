"""One page of HTML that needs no network: its frame, its look, tables and pictures; what is text is escaped here."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

_SHRINK = 0.8
"""Size of the pictures on the page: their letters then match the text."""

_STYLE = """
:root { color-scheme: light; --ink: #1f2937; --soft: #6b7280; --line: #e5e7eb; --blue: #08519c;
  --good: #2e7d32; --bad: #c62828; --none: #b0b7c3; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 3rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p { margin: .4rem 0; }
.lead { font-size: 1.1rem; font-weight: 600; }
.warning { color: var(--bad); font-weight: 600; }
.soft, dt, th { color: var(--soft); }
small { color: var(--soft); white-space: nowrap; }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.5rem 0; }
.card { flex: 1 1 11rem; border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; }
.card b { display: block; font-size: 2rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.passed { border-color: var(--good); } .passed b { color: var(--good); }
.failed { border-color: var(--bad); } .failed b { color: var(--bad); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; min-width: 11rem; }
th { font-weight: 500; }
.texts th, .texts td { text-align: left; }
.texts th:first-child, .texts td:first-child { min-width: 3rem; white-space: nowrap; }
.texts td:last-child { width: 60%; font-size: .85rem; }
td.bar { width: 15%; text-align: left; vertical-align: middle; }
.bar i { display: block; height: .7rem; border-radius: .2rem; background: var(--blue); }
.share { display: flex; height: 1.1rem; border-radius: .3rem; overflow: hidden; margin: .5rem 0; }
.right { background: var(--good); } .wrong { background: var(--bad); } .unknown { background: var(--none); }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: .15rem; margin: 0 .35rem 0 0; }
img { width: 100%; height: auto; display: block; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: 0; }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 36rem) { .bar { display: none; } dl { grid-template-columns: 1fr; } }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """The whole file; `title` is text, `parts` are HTML."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def caution(text: str) -> str:
    return paragraph(text, "warning")


def notes(sentences: Iterable[str]) -> list[str]:
    """Paragraphs, those that begin with Warning in red."""
    return [paragraph(note, "warning" if note.startswith("Warning") else "soft") for note in sentences]


def card(name: str, figure: str, beside: str, kind: str = "") -> str:
    """One large figure with its name and what to compare it with."""
    return (
        f'<div class="card {kind}"><span class="soft">{escape(name)}</span><b>{escape(figure)}</b>'
        f'<span class="soft">{escape(beside)}</span></div>'
    )


def cards(made: Iterable[str]) -> str:
    return f'<div class="cards">{"".join(made)}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: bool = False) -> str:
    """A table of texts; a cell that `cell` or `bar` made stays what it is.  Numbers unless `texts`."""
    titles = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(one if isinstance(one, Cell) else cell(one) for one in row)}</tr>" for row in rows)
    kind = ' class="texts"' if texts else ""
    return f'<div class="wide"><table{kind}><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


class Cell(str):
    """A cell that is HTML already."""

    __slots__ = ()


def cell(text: str) -> Cell:
    """A figure and, where there is one, the interval behind it, in smaller letters."""
    figure, space, between = text.partition(" (")
    small = f" <small>({escape(between)}</small>" if space and figure.replace(".", "").isdigit() else ""
    return Cell(f"<td>{escape(figure)}{small}</td>" if small else f"<td>{escape(text)}</td>")


def bar(share: float) -> Cell:
    return Cell(f'<td class="bar"><i style="width:{100 * share:.1f}%"></i></td>')


def picture(png: bytes, what: str) -> str:
    """The picture in the page itself, at the size of the text or as wide as there is room."""
    width = int.from_bytes(png[16:20], "big")
    return (
        f'<img alt="{escape(what)}" style="max-width:min(100%,{width * _SHRINK:.0f}px)" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
    )
