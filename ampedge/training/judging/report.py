"""The evaluation as one page of HTML that needs no network, beside its pictures and its JSON."""

import json
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from ampedge.decision import in_percent
from ampedge.training.destination import new_directory
from ampedge.training.fitting.cost_picture import costs_png
from ampedge.training.fitting.thresholds import in_words
from ampedge.training.html import bar, card, cards, caution, heading, notes, page, paragraph, picture, table
from ampedge.training.judging.confusion_picture import confusion_png
from ampedge.training.judging.curves_picture import curves_png
from ampedge.training.judging.evaluation import Evaluation
from ampedge.training.judging.intervals import figure
from ampedge.training.judging.reliability_picture import calibration_png
from ampedge.training.judging.rivals import TITLES
from ampedge.training.judging.worst import described

PAGE = "report.html"
DOCUMENT = "report.json"
CONFUSION, CURVES, CALIBRATION = "confusion_matrix.png", "curves.png", "calibration.png"
COSTS = "cost_curves.png"
F1 = "f1.png"
"""Of the comparison of two bundles, whose report takes the place of one of a single bundle, and the other way."""
_MISTAKES = 5
_CALIBRATION = (
    "Rows are put into 15 bins by the probability of their most probable class; the error is the mean distance between "
    "that and the share of rows where it is right (Guo et al., On Calibration of Modern Neural Networks, 2017)."
)


def write_report(evaluation: Evaluation, out: Path) -> None:
    """Write the pictures, the page and the JSON into the directory `out`."""
    drawn = pictures(evaluation)
    write(out, drawn, report(evaluation, drawn), evaluation.document())


def write(out: Path, drawn: Mapping[str, bytes], page: str, document: Mapping[str, Any]) -> None:
    """Write all or nothing into the directory `out`; an older report there is replaced, nothing else."""
    with new_directory(out, {PAGE, DOCUMENT, CONFUSION, CURVES, CALIBRATION, COSTS, F1}) as made:
        for name, png in drawn.items():
            (made / name).write_bytes(png)
        for name, text in ((PAGE, page), (DOCUMENT, json.dumps(document, indent=1, ensure_ascii=False))):
            (made / name).write_text(text, "utf-8", "backslashreplace")  # the name of a table's file may be no text


def pictures(evaluation: Evaluation) -> dict[str, bytes]:
    """Those that the rows give, by their file names."""
    drawn = {CONFUSION: confusion_png(evaluation.confusion, evaluation.bundle.classes)}
    if evaluation.curves:
        drawn[CURVES] = curves_png(evaluation.curves)
    if evaluation.calibration:
        drawn[CALIBRATION] = calibration_png(evaluation.calibration)
    if evaluation.trades:
        drawn[COSTS] = costs_png(evaluation.trades, evaluation.bundle.manifest.thresholds)
    return drawn


def report(evaluation: Evaluation, drawn: Mapping[str, bytes]) -> str:
    """The whole page; every name in it is escaped."""
    manifest = evaluation.bundle.manifest
    parts = [
        *map(caution, evaluation.cautions),
        f"<p>Scored on {escape(evaluation.scored)} ({evaluation.rows} rows). Each row went through the code of "
        "<code>ampedge serve</code>: encoded to registers, decoded, checked, classified, decided.</p>",
        *notes(evaluation.notes),
        _cards(evaluation),
        *_rivals(evaluation),
        heading("Each class"),
        _classes(evaluation),
        *notes([evaluation.intervals.method, "The areas are those of the curves below."]),
        *_groups(evaluation),
        *_mistakes(evaluation),
        heading("Confusion matrix"),
        picture(drawn[CONFUSION], "Confusion matrix"),
        *_worst(evaluation),
        *_curves(drawn),
        *_calibration(evaluation, drawn),
        *_costs(evaluation, drawn),
        heading("What would be published"),
        *_published(evaluation),
        heading("The model"),
        _model(evaluation),
    ]
    return page(f"Evaluation of {manifest.name} {manifest.version}", parts)


def _cards(evaluation: Evaluation) -> str:
    scores, baseline, sure = evaluation.scores, evaluation.baseline, evaluation.intervals
    always = f"always “{baseline['class']}”"
    made = [
        card(name, f"{scores[key]:.3f}", (f"{between[0]:.3f} to {between[1]:.3f}; " if between else "") + beside)
        for name, key, between, beside in (
            ("accuracy", "accuracy", sure.accuracy, f"{always}: {baseline['accuracy']:.3f}"),
            ("macro-F1", "macro_f1", sure.macro_f1, f"{always}: {baseline['macro_f1']:.3f}"),
        )
    ]
    if evaluation.min_macro_f1 is not None:
        kind, word = ("passed", "passed") if evaluation.passed else ("failed", "not met")
        made.append(card("acceptance gate", word, f"macro-F1 of at least {evaluation.min_macro_f1:g}", kind))
    return cards(made)


def _rivals(evaluation: Evaluation) -> Iterable[str]:
    found = evaluation.rivals
    if found is None:
        return
    yield heading("Beside simpler means")
    rows = [
        (TITLES[name], f"{one['accuracy']:.3f}", f"{one['macro_f1']:.3f}", bar(one["macro_f1"]))
        for name, one in found.figures.items()
    ]
    yield table((found.title, "accuracy", "macro-F1", ""), rows)
    yield from map(paragraph, found.sentences)


def _classes(evaluation: Evaluation) -> str:
    """The table of figures per class, the worst first."""
    area = {one.name: (one.roc_area, one.average_precision) for one in evaluation.curves}
    rows = []
    for name, one in evaluation.by_class():
        sure = evaluation.intervals.per_class[name]
        figures = (figure(one[key], sure[key], rows=one["support"]) for key in ("precision", "recall", "f1"))
        below = (f"{number:.3f}" for number in area[name]) if name in area else ("", "")
        rows.append((name, str(one["support"]), *figures, *below, bar(one["f1"])))
    return table(("class, worst first", "rows", "precision", "recall", "F1", "ROC area", "PR area", ""), rows)


def _groups(evaluation: Evaluation) -> Iterable[str]:
    found = evaluation.groups
    if found is None:
        return
    yield heading("Each group by itself")
    yield paragraph(found.sentence())
    rows = [
        (one.name, str(one.rows), str(one.classes), f"{one.accuracy:.3f}", f"{one.macro_f1:.3f}", bar(one.macro_f1))
        for one in found.each
    ]
    yield table(("group, worst first", "rows", "classes", "accuracy", "macro-F1", ""), rows)
    yield paragraph("Macro-F1 of a group is over the classes that occur in it.", "soft")


def _mistakes(evaluation: Evaluation) -> Iterable[str]:
    """The commonest mistakes in words."""
    support = {name: one["support"] for name, one in evaluation.scores["per_class"].items()}
    lines = [
        f"<li>{count} of {support[truth]} <q>{escape(truth)}</q> rows "
        + ("were not asked about" if said is None else f"were called <q>{escape(said)}</q>")
        + "</li>"
        for count, truth, said in evaluation.mistakes()[:_MISTAKES]
    ]
    return [heading("Commonest mistakes"), "<ul>", *lines, "</ul>"] if lines else []


def _worst(evaluation: Evaluation) -> Iterable[str]:
    """Single rows to look at."""
    if not evaluation.worst:
        return
    yield heading("Surest mistakes")
    of = f"the {len(evaluation.worst)} of {evaluation.wrong}" if len(evaluation.worst) < evaluation.wrong else "all"
    yield paragraph(f"The rows that it got wrong and was surest of ({of}), by their lines in {evaluation.path}.")
    features = evaluation.bundle.manifest.features
    yield table(
        ("line", "expected", "got", "confidence", "published", "values"),
        [
            (
                str(one.line),
                one.expected,
                one.got,
                in_percent(one.confidence),
                one.published,
                ", ".join(described(features, one.values)),
            )
            for one in evaluation.worst
        ],
        texts=True,
    )


def _curves(drawn: Mapping[str, bytes]) -> Iterable[str]:
    if CURVES in drawn:
        yield heading("Each class against all others, at every threshold")
        yield picture(drawn[CURVES], "ROC and precision-recall curves")


def _calibration(evaluation: Evaluation, drawn: Mapping[str, bytes]) -> Iterable[str]:
    if evaluation.calibration:
        yield heading("Is it right as often as it says?")
        yield paragraph(evaluation.calibration.sentence())
        yield picture(drawn[CALIBRATION], "Calibration curve")
        yield paragraph(_CALIBRATION, "soft")


def _costs(evaluation: Evaluation, drawn: Mapping[str, bytes]) -> Iterable[str]:
    if evaluation.trades:
        yield heading("What a miss costs")
        yield from (paragraph(in_words(name, one)) for name, one in evaluation.costs.items())
        yield picture(drawn[COSTS], "What each threshold costs")


def _published(evaluation: Evaluation) -> Iterable[str]:
    counts = evaluation.published
    bars = "".join(
        f'<span class="{kind}" style="width:{100 * count / evaluation.rows:.2f}%"></span>'
        for kind, count in counts.items()
    )
    thresholds = evaluation.bundle.manifest.thresholds.items()
    own = "".join(f" (<q>{escape(name)}</q>: its threshold, {least:.3g})" for name, least in thresholds)
    keys = " &emsp; ".join(f'<span class="key {kind}"></span>{count} {kind}' for kind, count in counts.items())
    yield (
        "<p>A class becomes the label only where the reading is good, like what the model was trained on, and "
        f"given a probability of at least {evaluation.min_confidence:g}{own}; else the label is <q>unknown</q>.</p>"
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
