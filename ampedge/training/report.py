"""The evaluation as one page of HTML that needs no network, beside its picture and its JSON."""

import base64
import json
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

from ampedge.training.confusion_picture import confusion_png
from ampedge.training.destination import new_directory
from ampedge.training.evaluation import Evaluation

PAGE = "report.html"
PICTURE = "confusion_matrix.png"
DOCUMENT = "report.json"
_MISTAKES = 5
_SHRINK = 0.8
"""Size of the picture on the page: its letters then match the text."""

_STYLE = """
:root { color-scheme: light; --ink: #1f2937; --soft: #6b7280; --line: #e5e7eb; --blue: #08519c;
  --good: #2e7d32; --bad: #c62828; --none: #b0b7c3; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 3rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p { margin: .4rem 0; }
.warning { color: var(--bad); font-weight: 600; }
.soft, dt, th { color: var(--soft); }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.5rem 0; }
.card { flex: 1 1 11rem; border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem; }
.card b { display: block; font-size: 2rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.passed { border-color: var(--good); } .passed b { color: var(--good); }
.failed { border-color: var(--bad); } .failed b { color: var(--bad); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
th { font-weight: 500; }
td:first-child { min-width: 8rem; }
td.bar { width: 30%; text-align: left; }
.bar i { display: block; height: .7rem; border-radius: .2rem; background: var(--blue); }
.share { display: flex; height: 1.1rem; border-radius: .3rem; overflow: hidden; margin: .5rem 0; }
.right { background: var(--good); } .wrong { background: var(--bad); } .unknown { background: var(--none); }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: .15rem; margin: 0 .35rem 0 0; }
img { width: 100%; height: auto; display: block; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: 0; }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 36rem) { .bar { display: none; } dl { grid-template-columns: 1fr; } }
"""


def write_report(evaluation: Evaluation, out: Path) -> None:
    """Write the picture, the page and the JSON into the directory `out`, all or nothing."""
    picture = confusion_png(evaluation.confusion, evaluation.bundle.classes)
    with new_directory(out, {PAGE, PICTURE, DOCUMENT}) as made:
        (made / PICTURE).write_bytes(picture)
        (made / PAGE).write_text(page(evaluation, picture), "utf-8")
        (made / DOCUMENT).write_text(json.dumps(evaluation.document(), indent=1, ensure_ascii=False), "utf-8")


def page(evaluation: Evaluation, picture: bytes) -> str:
    """The whole page; every name in it is escaped."""
    manifest = evaluation.bundle.manifest
    title = f"Evaluation of {escape(manifest.name)} {escape(manifest.version)}"
    parts = [
        f"<h1>{title}</h1>",
        f"<p>Scored on {escape(evaluation.scored)} ({evaluation.rows} rows). Each row went through the code of "
        "<code>ampedge serve</code>: encoded to registers, decoded, checked, classified, decided.</p>",
        *(f'<p class="{_tone(note)}">{escape(note)}</p>' for note in evaluation.notes),
        _cards(evaluation),
        "<h2>Each class</h2>",
        _classes(evaluation),
        *_mistakes(evaluation),
        "<h2>Confusion matrix</h2>",
        f'<img alt="Confusion matrix" style="max-width:min(100%,{_width(picture) * _SHRINK:.0f}px)" '
        f'src="data:image/png;base64,{base64.b64encode(picture).decode()}">',
        "<h2>What would be published</h2>",
        *_published(evaluation),
        "<h2>The model</h2>",
        _model(evaluation),
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _tone(note: str) -> str:
    return "warning" if note.startswith("Warning") else "soft"


def _width(png: bytes) -> int:
    """Pixels, from the picture's header."""
    return int.from_bytes(png[16:20], "big")


def _cards(evaluation: Evaluation) -> str:
    scores, baseline = evaluation.scores, evaluation.baseline
    always = f"always <q>{escape(baseline['class'])}</q>"
    cards = [
        ("", f"{scores['accuracy']:.3f}", "accuracy", f"{always}: {baseline['accuracy']:.3f}"),
        ("", f"{scores['macro_f1']:.3f}", "macro-F1", f"{always}: {baseline['macro_f1']:.3f}"),
    ]
    if evaluation.min_macro_f1 is not None:
        kind, word = ("passed", "passed") if evaluation.passed else ("failed", "not met")
        cards.append((kind, word, "acceptance gate", f"macro-F1 of at least {evaluation.min_macro_f1:g}"))
    return (
        '<div class="cards">'
        + "".join(
            f'<div class="card {kind}"><span class="soft">{name}</span><b>{figure}</b>'
            f'<span class="soft">{beside}</span></div>'
            for kind, figure, name, beside in cards
        )
        + "</div>"
    )


def _classes(evaluation: Evaluation) -> str:
    """The table of figures per class, the worst first."""
    rows = [
        f"<tr><td>{escape(name)}</td><td>{one['support']}</td><td>{one['precision']:.3f}</td>"
        f"<td>{one['recall']:.3f}</td><td>{one['f1']:.3f}</td>"
        f'<td class="bar"><i style="width:{100 * one["f1"]:.1f}%"></i></td></tr>'
        for name, one in sorted(evaluation.scores["per_class"].items(), key=_badness)
    ]
    return (
        "<table><thead><tr><th>class, worst first</th><th>rows</th><th>precision</th><th>recall</th><th>F1</th>"
        '<th class="bar"></th></tr></thead><tbody>' + "".join(rows) + "</tbody></table>"
    )


def _badness(item: tuple[str, dict[str, float]]) -> tuple[bool, float]:
    """Sorts by F1, with classes that do not occur behind all others."""
    return item[1]["support"] == 0, item[1]["f1"]


def _mistakes(evaluation: Evaluation) -> Iterable[str]:
    """The commonest mistakes in words."""
    support = {name: one["support"] for name, one in evaluation.scores["per_class"].items()}
    lines = [
        f"<li>{count} of {support[truth]} <q>{escape(truth)}</q> rows "
        + ("were not asked about" if said is None else f"were called <q>{escape(said)}</q>")
        + "</li>"
        for count, truth, said in evaluation.mistakes()[:_MISTAKES]
    ]
    return ["<h2>Commonest mistakes</h2>", "<ul>", *lines, "</ul>"] if lines else []


def _published(evaluation: Evaluation) -> Iterable[str]:
    counts = evaluation.published
    bars = "".join(
        f'<span class="{kind}" style="width:{100 * count / evaluation.rows:.2f}%"></span>'
        for kind, count in counts.items()
    )
    keys = " &emsp; ".join(f'<span class="key {kind}"></span>{count} {kind}' for kind, count in counts.items())
    yield (
        "<p>A class becomes the label only where the reading is good, like what the model was trained on, and "
        f"given a probability of at least {evaluation.min_confidence:g}; else the label is <q>unknown</q>.</p>"
    )
    yield f'<div class="share">{bars}</div><p>{keys}</p>'
    yield from _counted("Why unknown", evaluation.unknown_reasons)
    yield from _counted("Why the model was not asked (counted as missed above)", evaluation.not_asked_reasons)


def _counted(title: str, reasons: Mapping[str, int]) -> Iterable[str]:
    if reasons:
        listed = ", ".join(f"{escape(reason)} ({count})" for reason, count in reasons.items())
        yield f'<p><span class="soft">{title}:</span> {listed}</p>'


def _model(evaluation: Evaluation) -> str:
    manifest = evaluation.bundle.manifest
    layers = "-".join(str(layer.units) for layer in manifest.layers)
    features = ", ".join(f"{one.name} [{one.unit}]" if one.unit else one.name for one in manifest.features)
    facts = {
        "bundle": str(evaluation.bundle.path),
        "made": manifest.created,
        "trained on": f"{manifest.training.data} (SHA-256 {manifest.training.data_sha256})",
        "features": features,
        "classes": ", ".join(manifest.classes),
        "network": f"dense {layers}",
    }
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items()) + "</dl>"
