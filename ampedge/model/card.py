"""The model card: what a bundle itself says about a model, as Markdown for people.

Every figure is the bundle's; what a bundle does not say, its card says to be missing.  Any name may be hostile.
"""

import json
from collections.abc import Iterator
from typing import Any

from ampedge.datamap import Tag
from ampedge.decision import in_percent
from ampedge.model.bundle import Bundle
from ampedge.model.figures import Scores, baselines, held_out_scores
from ampedge.model.manifest import NOT_KNOWN, Manifest
from ampedge.model.markdown import bullets, code, table
from ampedge.model.verdict import beside_others, cautions
from ampedge.records import UNKNOWN

_UNKNOWN = code(UNKNOWN)
_TITLES = {
    "random_forest": "random forest",
    "logistic_regression": "logistic regression",
    "majority_class": "always the commonest class",
}
_COMPARED = {"logistic_regression", "majority_class"}
"""Which baselines there must be to judge; models from before there was a forest have just these."""


def card(bundle: Bundle) -> str:
    """The whole card; but for the signature the same for a directory and the `.ampedge` file made of it."""
    manifest = bundle.manifest
    scores = held_out_scores(manifest.metrics, manifest.classes)
    parts = [
        f"# Model card of {code(manifest.name)}",
        _summary(manifest),
        *_warnings(manifest, scores),
        bullets(_identity(bundle)),
        "## Intended use",
        *_use(manifest),
        "## What it reads",
        *_reads(bundle),
        "## What it says",
        *_says(manifest),
        "## Figures",
        *_figures(manifest, scores),
        "## Limits",
        bullets(_limits(manifest, scores)),
        "## How it was made",
        _made(manifest),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(manifest: Manifest) -> str:
    tags = "1 tag" if len(manifest.features) == 1 else f"{len(manifest.features)} tags"
    return (
        f"A small neural network that reads {tags} and answers with one of {len(manifest.classes)} classes, "
        f"or with {_UNKNOWN}."
    )


def _warnings(manifest: Manifest, scores: Scores | None) -> Iterator[str]:
    """What a reader must not miss."""
    if scores is None:
        yield "**Warning:** This bundle holds no figures of held-out rows: how good the model is, it does not say."
        return
    commonest = baselines(manifest.metrics).get("majority_class")
    found = cautions(scores.model_dump(), None if commonest is None else commonest.model_dump(), code)
    yield from (f"**Warning:** {sentence}" for sentence in found)


def _identity(bundle: Bundle) -> Iterator[str]:
    manifest = bundle.manifest
    yield f"Version {code(manifest.version)}, created {code(manifest.created)}."
    yield f"Identity, the SHA-256 of its manifest as an `.ampedge` file has it: {code(bundle.identity)}."
    yield "Signed; by whom was not checked for this card." if bundle.signed else "Not signed."


def _use(manifest: Manifest) -> Iterator[str]:
    data = manifest.training.data
    recorded = "" if data == NOT_KNOWN else f", of the equipment that {code(data)} was recorded on,"
    yield f"To classify readings of the tags below{recorded} into the classes below."
    yield (
        "It is not a safety function: nothing that protects people or machines may depend on it.\n"
        "Which equipment that was, where and when it was recorded, and who gave the labels, the bundle does not say."
    )


def _reads(bundle: Bundle) -> Iterator[str]:
    pairs = list(zip(bundle.manifest.features, bundle.datamap.tags, strict=True))
    yield table(
        ("tag", "unit", "in training", "envelope", "valid"),
        [
            (
                code(feature.name),
                code(feature.unit),
                _range(feature.minimum, feature.maximum),
                _range(*feature.envelope),
                "" if tag.valid is None else _range(*tag.valid),
            )
            for feature, tag in pairs
        ],
    )
    ranges = bundle.manifest.training.settings.get("ranges")  # of an imported model
    yield (
        f"The ranges in training are {code(_said(ranges))}.\n"
        * (ranges is not None)
        + "The envelope is the range in training and three standard deviations beyond it.\n"
        f"A reading with a value outside its envelope{_or_valid(bundle)} gets the label {_UNKNOWN}."
    )
    if bundle.joint is not None:
        yield (
            "So does a reading whose values are within their envelopes, but together unlike the training rows of the "
            "class that the network gives it."
        )
    yield "The registers that the bundle was made for; a site may have its own:"
    yield table(
        ("tag", "registers", "type", "word order", "value", "no value", "largest step", "changes within"),
        [(code(tag.name), *_layout(tag)) for _, tag in pairs],
    )


def _or_valid(bundle: Bundle) -> str:
    return ", or its valid range where it has one," if any(tag.valid for tag in bundle.datamap.tags) else ""


def _layout(tag: Tag) -> tuple[str, ...]:
    scaled = "raw" if tag.scale == 1 else f"raw x {tag.scale:g}"
    return (
        tag.describe(),
        tag.type,
        tag.word_order if tag.width > 1 else "",
        scaled if tag.offset == 0 else f"{scaled} {'+' if tag.offset > 0 else '-'} {abs(tag.offset):g}",
        ", ".join(f"0x{pattern:X}" for pattern in tag.invalid),
        "" if tag.max_step is None else _number(tag.max_step),
        "" if tag.expect_change_s is None else f"{tag.expect_change_s:g} s",
    )


def _says(manifest: Manifest) -> Iterator[str]:
    classes = ", ".join(map(code, manifest.classes))
    yield f"One of the classes {classes}; {code(manifest.normal_label)} is the normal state."
    yield (
        f"{_UNKNOWN} is an answer, too: where a value could not be read or cannot be right, lies outside its "
        "envelope, or no class is probable enough for `decision.min_confidence` of the site's config."
    )
    for name, least in manifest.thresholds.items():
        yield (
            f"{code(name)} is said from a probability of {least:.3g} on, whatever the others have: a miss was said to "
            f"cost {1 / least - 1:.3g} false alarms."
        )
    if manifest.temperature is None:
        yield "The probabilities are those of the network as it was fitted: they may be too sure of themselves."
    else:
        yield (
            "The probabilities were calibrated on rows that did not train the network (temperature "
            f"{manifest.temperature:.3g})."
        )


def _figures(manifest: Manifest, scores: Scores | None) -> Iterator[str]:
    if scores is None:
        yield "There are none in this bundle that can be read; `ampedge evaluate` with labelled rows measures them."
        return
    simple = baselines(manifest.metrics)
    judged = {"this model": scores, **{_TITLES[name]: found for name, found in simple.items()}}
    yield f"Judged on {_rows(scores.rows)} that training never saw."
    yield table(
        ("", *judged),
        [
            ("accuracy", *(f"{one.accuracy:.3f}" for one in judged.values())),
            ("macro-F1", *(f"{one.macro_f1:.3f}" for one in judged.values())),
        ],
        numbers=True,
    )
    if simple.keys() >= _COMPARED:
        others = {name: found.model_dump() for name, found in simple.items()}
        yield "\n".join(beside_others(scores.model_dump(), others))
    else:
        yield "With which simpler means it was compared, the bundle does not say in full."
    yield table(
        ("class", "rows", "precision", "recall", "F1"),
        [
            (code(name), str(one.support), f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}")
            for name, one in scores.per_class.items()
        ],
        numbers=True,
    )
    yield _weakest(scores)


def _weakest(scores: Scores) -> str:
    name, one = min(((name, one) for name, one in scores.per_class.items() if one.support), key=lambda pair: pair[1].f1)
    recognised = f"The weakest class is {code(name)}: of its {_rows(one.support)} it recognised "
    if not one.recall:
        return f"{recognised}none."
    found = round(one.recall * one.support)
    return f"{recognised}{found}, and {in_percent(one.precision)} of the rows that it called so are of that class."


def _limits(manifest: Manifest, scores: Scores | None) -> Iterator[str]:
    if scores is not None:
        yield (
            f"The figures come from {_rows(scores.rows)} of the same table that it was trained on, "
            f"{code(manifest.training.data)}: of other equipment, other sensors or later times they say nothing."
        )
        yield _split(manifest.training.settings.get("split"))
        yield (
            "The figures judge the class that the network gives to a row of the table; what is published, "
            f"{_UNKNOWN} included, `ampedge evaluate` measures."
        )
        yield from _few(scores)
    yield "Nothing is known about values outside the ranges of training; up to the envelope it answers all the same."
    if manifest.joint is None:
        yield "Each tag is compared with its own range only: a combination that never occurred may still get a class."
    else:
        yield "A combination that never occurred, but is near to those of its class, may still get that class."
    yield f"It knows no state but its classes: a fault that has none of its own gets one of these, or {_UNKNOWN}."


def _split(method: object) -> str:
    """How the held-out rows were chosen, and what that means for the figures."""
    if method == "stratified":
        return (
            "The rows were held out at random, each class with its share: where readings follow each other, the "
            "neighbours of a held-out row were trained on, which flatters the figures."
        )
    if method == "in the order of time":
        return "The rows are the last ones in time: training saw only earlier ones."
    if isinstance(method, str) and method.startswith("groups of "):
        return f"No group of rows is both in training and among these ({code(method)})."
    return "How these rows were chosen, the bundle does not say."


def _few(scores: Scores) -> Iterator[str]:
    absent = [code(name) for name, one in scores.per_class.items() if not one.support]
    if absent:
        yield f"No row of {', '.join(absent)} was among them: how well that is recognised is not known."
    name, rows = min(
        ((name, one.support) for name, one in scores.per_class.items() if one.support), key=lambda pair: pair[1]
    )
    yield f"The rarest class among them, {code(name)}, has {_rows(rows)}: each moves its recall by {1 / rows:.3f}."


def _made(manifest: Manifest) -> str:
    training = manifest.training
    facts = [
        ("data", code(training.data)),
        ("SHA-256 of the data", code(training.data_sha256)),
        ("column of the label", code(training.label)),
        *((f"rows of {code(part)}", str(rows)) for part, rows in training.rows.items()),
        ("network", f"dense {'-'.join(str(layer.units) for layer in manifest.layers)}"),
        *((f"setting {code(name)}", code(_said(value))) for name, value in training.settings.items()),
        *((f"version of {code(name)}", code(version)) for name, version in training.libraries.items()),
        ("format of the bundle", f"protocol {manifest.protocol}"),
    ]
    return table(("what", "as recorded"), facts)


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _range(low: float, high: float) -> str:
    return f"{_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    """With the digits that a float32 register holds."""
    return f"{value:.7g}"
