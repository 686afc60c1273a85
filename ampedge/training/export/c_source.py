"""A model as the text of one C99 header: limits, scaling and weights as constant tables, and three functions."""

import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from string import Template

import numpy as np

from ampedge.modbus.codec import with_held_ends
from ampedge.model.bundle import Bundle
from ampedge.model.manifest import ClassEnvelope, Feature
from ampedge.model.network import DenseNetwork
from ampedge.records import UNKNOWN
from ampedge.settings import DecisionSection

_LONGEST_PREFIX = 40  # C99 promises to tell names apart by their first 63 characters
_NUMBERS_A_LINE = 8
_LARGEST = sys.float_info.max


def header(bundle: Bundle, file_name: str) -> str:
    """The whole header, whose example includes it as `file_name`."""
    manifest = bundle.manifest
    network = bundle.network
    name = prefix(manifest.name)
    widths = [len(manifest.features), *(layer.units for layer in manifest.layers)]
    even, odd = max(widths[::2]), max(widths[1::2])
    weights = sum(part.size for layer in network.layers for part in layer)
    numbers = [row for one in manifest.joint or () for rows in (one.centres, one.whitenings) for row in rows]
    return _HEADER.substitute(
        p=name,
        P=name.upper(),
        guard=f"AMPEDGE_{bundle.identity[:16].upper()}_H",
        name=comment(manifest.name),
        version=comment(manifest.version),
        version_text=literal(manifest.version),
        sha256=bundle.identity,
        file=file_name,
        constants_kb=f"{(4 * (weights + sum(map(len, numbers))) + 32 * widths[0] + 20 * widths[-1]) / 1000:.1f}",
        stack_bytes=max(4 * (even + odd), 8 * widths[0]) + 8 * widths[-1],
        example="\n".join(_example(bundle)),
        features=widths[0],
        classes=widths[-1],
        min_confidence=float(DecisionSection.model_fields["min_confidence"].default),
        unknown=literal(UNKNOWN),
        names=",\n".join(f"    {literal(known)}" for known in manifest.classes),
        table=",\n".join(_table(bundle)),
        thresholds=", ".join(repr(manifest.thresholds.get(known, 0.0)) for known in manifest.classes),
        joint="" if manifest.joint is None else "\n".join(_joint(name, manifest.joint)),
        compared="" if manifest.joint is None else _COMPARED.substitute(p=name, P=name.upper()),
        weights="\n".join(_weights(name, network)),
        even=even,
        odd=odd,
        calls="\n".join(_calls(name, widths)),
        scores="odd" if len(network.layers) % 2 else "even",
    )


def prefix(name: str) -> str:
    """What every C name for the model of this name begins with: an identifier in lower case."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    if not words or words[0].isdigit():
        words = f"model_{words}"
    return words[:_LONGEST_PREFIX].strip("_")


def literal(text: str) -> str:
    """A C string of the text's UTF-8 bytes, itself in ASCII so that no compiler's own encoding matters."""
    return '"' + "".join(map(_in_literal, text.encode())) + '"'


def _in_literal(byte: int) -> str:
    char = chr(byte)
    return char if " " <= char <= "~" and char not in '"\\?' else f"\\{byte:03o}"  # ? may begin a trigraph


def comment(text: str) -> str:
    """The text as a comment can hold it: it neither ends that nor begins another, and no compiler warns."""
    shown = "".join(char if char.isprintable() else f"<U+{ord(char):04X}>" for char in text)
    return re.sub(r"(?<=\*)(?=/)|(?<=/)(?=\*)|(?<=\?)(?=\?)", " ", shown)


def _named(feature: Feature) -> str:
    return comment(f"{feature.name} ({feature.unit})" if feature.unit else feature.name)


def _example(bundle: Bundle) -> Iterator[str]:
    """A golden row of the normal class, a feature a line."""
    manifest = bundle.manifest
    row = next((row for row in manifest.golden if row.class_name == manifest.normal_label), manifest.golden[0])
    for feature, value in zip(manifest.features, row.values, strict=True):
        yield f" *         {value:.6g},  // {_named(feature)}"


def _table(bundle: Bundle) -> Iterator[str]:
    """Lowest and highest value that gets a class, mean and deviation of each feature."""
    for feature, tag in zip(bundle.manifest.features, bundle.datamap.tags, strict=True):
        low, high = feature.envelope
        valid = with_held_ends(tag).valid or (-_LARGEST, _LARGEST)
        numbers = (max(low, valid[0]), min(high, valid[1]), feature.mean, feature.std)
        yield (
            f"    /* {_named(feature)}, trained on {feature.minimum:.6g} to {feature.maximum:.6g} */\n"
            f"    {{{', '.join(map(repr, numbers))}}}"
        )


def _weights(name: str, network: DenseNetwork) -> Iterator[str]:
    """The arrays of each layer; the shortest decimals that give the same float32 again."""
    for at, layer in enumerate(network.layers, start=1):
        for kind, part in zip(("kernel", "bias"), layer, strict=True):
            numbers = [f"{number!s}f" for number in part.ravel()]  # without !s, the digits of a double
            yield f"\nstatic const float {name}_{kind}_{at}[{part.size}] = {{"
            for start in range(0, len(numbers), _NUMBERS_A_LINE):
                yield f"    {', '.join(numbers[start : start + _NUMBERS_A_LINE])},"
            yield "};"


def _joint(name: str, joint: Sequence[ClassEnvelope]) -> Iterator[str]:
    """What the tags of each class are like together, and the function that measures the distance from it."""
    p = {"p": name, "P": name.upper()}
    components = ", ".join(str(len(one.centres)) for one in joint)
    yield "\n/* Of each class: how many components it has, and the distance from the nearest that is its limit. */"
    yield f"static const int {name}_components[{p['P']}_CLASSES] = {{{components}}};"
    yield f"static const double {name}_limits[{p['P']}_CLASSES] = {{{', '.join(repr(one.limit) for one in joint)}}};"
    for kind, rows in (
        ("centres", [row for one in joint for row in one.centres]),
        ("whitenings", [row for one in joint for row in one.whitenings]),
    ):
        yield f"\nstatic const float {name}_{kind}[{len(rows)}][{len(rows[0])}] = {{"
        for row in rows:
            numbers = [f"{np.float32(number)!s}f" for number in row]
            lines = [", ".join(numbers[at : at + _NUMBERS_A_LINE]) for at in range(0, len(numbers), _NUMBERS_A_LINE)]
            yield "    {" + ",\n     ".join(lines) + "},"
        yield "};"
    yield _DISTANCE.substitute(p)


def _calls(name: str, widths: Sequence[int]) -> Iterator[str]:
    """One call a layer; two buffers take turns."""
    flow, made = "even", "odd"
    for at in range(1, len(widths)):
        is_hidden = int(at < len(widths) - 1)
        sizes = f"{widths[at - 1]}, {name}_kernel_{at}, {name}_bias_{at}, {made}, {widths[at]}, {is_hidden}"
        yield f"    {name}_layer({flow}, {sizes});"
        flow, made = made, flow


_DISTANCE = Template("""
/* How far the values are from the training rows of that class, by its number; beyond 1 they are none of it. */
static inline double ${p}_distance(const double values[${P}_FEATURES], int of_class)
{
    double nearest = DBL_MAX;
    int at, i, j, end = 0;
    for (i = 0; i <= of_class; i++) {
        end += ${p}_components[i];
    }
    for (at = end - ${p}_components[of_class]; at < end; at++) {
        double white[${P}_FEATURES] = {0.0}, square = 0.0;
        const float *whitening = ${p}_whitenings[at];
        for (i = 0; i < ${P}_FEATURES; i++) {
            const double scaled = (values[i] - ${p}_features[i][2]) / ${p}_features[i][3];
            for (j = i; j < ${P}_FEATURES; j++) {
                white[j] += (scaled - (double)${p}_centres[at][i]) * (double)*whitening++;
            }
        }
        for (i = 0; i < ${P}_FEATURES; i++) {
            square += white[i] * white[i];
        }
        nearest = square < nearest ? square : nearest;
    }
    return sqrt(nearest) / ${p}_limits[of_class];
}""")

_COMPARED = Template("""
    if (!(${p}_distance(values, best) <= 1.0)) {
        return ${P}_UNKNOWN;
    }""")

_HEADER = Template("""\
/*
 * $name, version $version: a classifier that ampedge made.
 * SHA-256 of its manifest: $sha256
 *
 *     #include "$file"  // this file
 *
 *     const double values[${P}_FEATURES] = {
$example
 *     };
 *     puts(${p}_label(values));
 *
 * ${p}_label() gives the name of a class, ${p}_class() its number.
 * Both answer "unknown" (${P}_UNKNOWN) for a value that is NaN, infinite,
 * or far from all that the model was trained on, by itself or together with the others,
 * and where no class is as probable as ${P}_MIN_CONFIDENCE, which you may define before
 * this file is included.
 *
 * ${p}_probabilities() asks the network alone, however far the values are.
 *
 * What one row does not show is yours to check: a device that does not answer,
 * a value that stands still or jumps, a number that the device uses for "no value".
 *
 * This is C99, and C++ as well, for a double of 64 bits.
 * It calls exp() and sqrt() of <math.h> (where that is a library of its own: -lm).
 * It has $constants_kb kB of constants and puts $stack_bytes bytes of arrays on the stack,
 * allocates nothing and remembers nothing.
 */
#ifndef $guard
#define $guard

#include <float.h>
#include <math.h>

#if DBL_MANT_DIG < 53
#error "The scaling needs a double of 64 bits: use a compiler or an option that has it."
#endif
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "Compile this without -ffast-math: with it NaN would get a class."
#endif

#define ${P}_VERSION $version_text
#define ${P}_SHA256 "$sha256"
#define ${P}_FEATURES $features
#define ${P}_CLASSES $classes
#define ${P}_UNKNOWN (-1)
#ifndef ${P}_MIN_CONFIDENCE
#define ${P}_MIN_CONFIDENCE $min_confidence
#endif

static const char *const ${p}_names[${P}_CLASSES] = {
$names
};

/* Of each value, in order: the lowest and the highest that get a class, mean, deviation. */
static const double ${p}_features[${P}_FEATURES][4] = {
$table
};

/* Of each class: the probability from which it is said, whatever the others have; 0 where it has none. */
static const double ${p}_thresholds[${P}_CLASSES] = {$thresholds};
$joint
$weights

static inline void ${p}_layer(
    const float *from, int inputs, const float *kernel, const float *bias, float *to, int units, int is_hidden)
{
    int i, j;
    for (j = 0; j < units; j++) {
        to[j] = 0.0f;
    }
    for (i = 0; i < inputs; i++) {
        for (j = 0; j < units; j++) {
            to[j] += from[i] * *kernel++;
        }
    }
    for (j = 0; j < units; j++) {
        to[j] += bias[j];
        if (is_hidden && to[j] < 0.0f) {
            to[j] = 0.0f;
        }
    }
}

/* Fills in the probability of each class, in the order of ${p}_names, and returns 1.
 * Returns 0, with 0 for each, where a value is no number or beyond the arithmetic. */
static inline int ${p}_probabilities(
    const double values[${P}_FEATURES], double probabilities[${P}_CLASSES])
{
    float even[$even], odd[$odd];
    double highest, total = 0.0;
    int i, is_number = 1;
    for (i = 0; i < ${P}_FEATURES; i++) {
        const double scaled = (values[i] - ${p}_features[i][2]) / ${p}_features[i][3];
        const int fits = scaled >= -(double)FLT_MAX && scaled <= (double)FLT_MAX; /* NaN does not */
        even[i] = fits ? (float)scaled : 0.0f;
        is_number = is_number && fits;
    }
$calls
    highest = (double)$scores[0];
    for (i = 1; i < ${P}_CLASSES; i++) {
        highest = (double)$scores[i] > highest ? (double)$scores[i] : highest;
    }
    for (i = 0; i < ${P}_CLASSES; i++) {
        probabilities[i] = exp((double)$scores[i] - highest);
        total += probabilities[i];
    }
    is_number = is_number && total >= 1.0; /* NaN is not */
    for (i = 0; i < ${P}_CLASSES; i++) {
        probabilities[i] = is_number ? probabilities[i] / total : 0.0;
    }
    return is_number;
}

/* The number of the class in ${p}_names, from 0; or ${P}_UNKNOWN. */
static inline int ${p}_class(const double values[${P}_FEATURES])
{
    double probabilities[${P}_CLASSES], most = 0.0, least;
    int i, best = ${P}_UNKNOWN;
    for (i = 0; i < ${P}_FEATURES; i++) {
        if (!(values[i] >= ${p}_features[i][0] && values[i] <= ${p}_features[i][1])) { /* NaN, too */
            return ${P}_UNKNOWN;
        }
    }
    if (!${p}_probabilities(values, probabilities)) {
        return ${P}_UNKNOWN;
    }
    for (i = 0; i < ${P}_CLASSES; i++) {
        least = ${p}_thresholds[i];
        if (least > 0.0 && probabilities[i] >= least && probabilities[i] / least > most) {
            most = probabilities[i] / least;
            best = i;
        }
    }
    for (i = 0; i < ${P}_CLASSES && most < 1.0; i++) {
        if (${p}_thresholds[i] <= 0.0 && (best < 0 || probabilities[i] > probabilities[best])) {
            best = i;
        }
    }$compared
    least = ${p}_thresholds[best] > 0.0 ? ${p}_thresholds[best] : ${P}_MIN_CONFIDENCE;
    return probabilities[best] < least ? ${P}_UNKNOWN : best;
}

/* The name of the class in UTF-8, or $unknown. */
static inline const char *${p}_label(const double values[${P}_FEATURES])
{
    const int found = ${p}_class(values);
    return found == ${P}_UNKNOWN ? $unknown : ${p}_names[found];
}

#endif
""")
