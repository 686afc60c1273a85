"""The inspection as one page of HTML that needs no network and runs no script."""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

import numpy as np

from ampedge.training import html
from ampedge.training.destination import new_file
from ampedge.training.detectors.finding import Finding, Kind, Numbers, Severity, listed
from ampedge.training.inspection.inspect import Inspection
from ampedge.training.inspection.pictures import correlations, distributions

_LINES = 12
_HEAD = ("column", "what", "such as", "lines")
_DRAWN_ROWS, _SAMPLE_ROWS = 500_000, 20_000
"""Of a longer table every n-th row is drawn, and correlated."""
_STYLE = """<style>
body { max-width: 76rem; }
.finding { border-left: .3rem solid var(--none); padding: .1rem 0 .1rem .9rem; margin: .9rem 0; }
.finding p { margin: .15rem 0; overflow-wrap: anywhere; }
.finding td { overflow-wrap: anywhere; } .finding td:last-child { width: 30%; }
.error { border-color: var(--bad); } .error b { color: var(--bad); }
.warned { border-color: #ca8a04; } .warned b { color: #92620a; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); gap: 1rem 1.5rem; }
figure { margin: 0; } figcaption { font-weight: 600; overflow-wrap: anywhere; }
svg { max-width: 100%; height: auto; display: block; }
</style>"""
_KINDS = {Severity.ERROR: "error", Severity.WARNING: "warned", Severity.NOTE: "note"}


def write_page(inspection: Inspection, out: Path, told: Callable[[str, int, int], None] = lambda *_: None) -> None:
    """Write the page to `out`; every name in it is escaped."""
    with new_file(out, option="--html") as made:
        page = html.page(f"Inspection of {inspection.sheet.table.path.name}", _parts(inspection, told))
        made.write_text(page, "utf-8", "backslashreplace")  # a file's name may be no text


def _parts(inspection: Inspection, told: Callable[[str, int, int], None]) -> Iterator[str]:
    sheet = inspection.sheet
    counts = inspection.counts()
    yield _STYLE
    yield html.paragraph(
        f"{len(sheet)} rows, {len(sheet.features)} features, label {sheet.label}"
        + (f", times in {sheet.time}." if sheet.time else "."),
    )
    yield from (html.paragraph(note, "soft") for note in sheet.table.notes)
    if sheet.left_out:
        left_out = ", ".join(f"{name} ({why})" for name, why in sheet.left_out.items())
        yield html.paragraph(f"No features: {left_out}.", "soft")
    yield html.cards(
        [
            *(
                html.card(
                    f"{severity}s",
                    str(count),
                    _MEANING[Severity(severity)],
                    "failed" if count and severity == "error" else "",
                )
                for severity, count in counts.items()
            ),
            html.card("rows left", str(inspection.steps[-1][1]), f"of {inspection.steps[0][1]}, in a cleaned copy"),
        ]
    )
    yield html.heading("What was found")
    if not inspection.findings:
        yield html.paragraph("Nothing to say against it.")
    for (severity, kind), findings in groupby(inspection.findings, lambda one: (one.severity, one.kind)):
        yield _group(severity, kind, list(findings))
    yield html.heading("Rows left")
    yield html.table(("step", "rows"), ((what, str(rows)) for what, rows in inspection.steps))
    yield html.heading("Classes")
    yield _classes(inspection)
    yield from _columns(inspection, told)


_MEANING = {
    Severity.ERROR: "training refuses them, or would learn something false",
    Severity.WARNING: "figures may mislead",
    Severity.NOTE: "good to know",
}


def _group(severity: Severity, kind: Kind, findings: Sequence[Finding]) -> str:
    """All findings of one kind; what to do is said once."""
    rows = [
        (
            finding.column or "",
            finding.what,
            ", ".join(finding.examples),
            listed(finding.lines, _LINES),
        )
        for finding in findings
    ]
    parts = [f"<b>{escape(f'{severity}: {kind.words}')}</b>", html.table(_HEAD, rows, texts=True)]
    parts += (html.paragraph(remedy, "soft") for remedy in dict.fromkeys(one.remedy for one in findings))
    return f'<div class="finding {_KINDS[severity]}">{"".join(parts)}</div>'


def _classes(inspection: Inspection) -> str:
    sheet = inspection.sheet
    total = max(1, sum(sheet.sizes.values()))
    rows = [
        (name, str(size), f"{size / total:.1%}", html.bar(size / total))
        for name, size in sorted(sheet.sizes.items(), key=lambda one: -one[1])
    ]
    return html.table(("class", "rows", "share", ""), rows)


def _columns(inspection: Inspection, told: Callable[[str, int, int], None]) -> Iterator[str]:
    """Figures, distributions and correlations over the rows that a cleaned copy keeps."""
    import pandas as pd

    sheet = inspection.sheet
    gone = inspection.dropped_in > 0
    step = 1 + len(gone) // _DRAWN_ROWS
    targets = sheet.targets[::step]
    figures, pictures = [], []
    frame: dict[str, Numbers] = {}
    for done, name in enumerate(sheet.features):
        told(f"Drawing {name}", done, len(sheet.features))
        values = sheet.numbers(name)
        values[gone] = np.nan
        unit = sheet.table.unit(name)
        few = values[::step].copy()  # so that the whole column can go
        if np.isfinite(few).any():
            middle = np.nanquantile(few, (0.01, 0.5, 0.99)).tolist()
            shown = (f"{value:.5g}" for value in (np.nanmin(values), *middle, np.nanmax(values)))
            figures.append((f"{name} {f'({unit})' if unit else ''}".strip(), *shown))
        values = few
        frame[name] = values[:: 1 + len(values) // _SAMPLE_ROWS]
        drawn = distributions(values, targets, sheet.classes, unit)
        pictures.append(f"<figure><figcaption>{escape(name)}</figcaption>{drawn}</figure>")
    yield html.heading("Columns")
    yield html.paragraph("Over the rows that a cleaned copy keeps.", "soft")
    yield html.table(("feature", "least", "1 %", "median", "99 %", "greatest"), figures)
    yield html.heading("Distributions in each class")
    yield html.paragraph("Each row is as high as its fullest bin; the mark is the median.", "soft")
    yield f'<div class="grid">{"".join(pictures)}</div>'
    if len(frame) > 1:
        matrix = pd.DataFrame(frame).corr(method="spearman").to_numpy()
        yield html.heading("Correlations")
        yield html.paragraph(
            "Of ranks: red where two columns rise together, blue where one falls as the other rises. Two that are "
            "nearly 1 or -1 say the same.",
            "soft",
        )
        yield correlations(matrix, list(frame))
