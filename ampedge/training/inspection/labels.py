"""The labels: rows without one, spellings that mean the same, classes that are too small or outweigh the others."""

import re

import numpy as np

from ampedge.table import is_missing, shown
from ampedge.training.detectors.finding import Kind, Places, Severity, plural
from ampedge.training.inspection.examination import Examination, Step
from ampedge.training.rows.classes import FEW_ROWS, FEWEST_ROWS
from ampedge.training.rows.labels import folded

_OUTWEIGHS = 0.9
_RARER = 30
_LONG = 5
_SHORT = 3
_WORDS = re.compile(r"[_\- ]+")
_NO_NAMES = frozenset({"na", "null", "nil"})
"""What programs write where there is no text; `none` and `missing` are good names for a class."""
_SLIPS, _FIRST_SLIP = 20, 5
"""How many rows of the common label there are for each further slip, and for the first."""
_SLIP_ROWS = 3
_SLIP_SHARE = 0.005


def judge_labels(examination: Examination) -> None:
    """Add what is to be said of the label column."""
    _no_class(examination)
    _spellings(examination)
    _words(examination)
    slips = _slips(examination)
    _balance(examination, slips)


def _no_class(examination: Examination) -> None:
    sheet = examination.sheet
    empty = [not sheet.names.get(text) for text in sheet.spelled.unique]
    missing = [none and is_missing(text) for none, text in zip(empty, sheet.spelled.unique, strict=True)]
    refused = [none and not is_missing(text) for none, text in zip(empty, sheet.spelled.unique, strict=True)]
    for kind, flags, what, remedy in (
        (Kind.MISSING, missing, "no label", "Label them, or leave them out."),
        (Kind.UNREADABLE, refused, "a label that can be no class", "Give them another label, or leave them out."),
    ):
        rows = _rows(examination, flags)
        if len(rows):
            have = "has" if len(rows) == 1 else "have"
            texts = (shown(sheet.spelled[row]) for row in rows[:1000].tolist())
            examination.found(
                kind,
                Severity.ERROR,
                sheet.label,
                rows,
                what=f"{plural(len(rows), 'row')} {have} {what}.",
                remedy=remedy,
                examples=texts,
            )
            why = "there is no label" if kind is Kind.MISSING else "the label can be no class"
            examination.drop(Step.LABEL, rows, sheet.label, why)


def _spellings(examination: Examination) -> None:
    sheet = examination.sheet
    other = [bool(sheet.names.get(text)) and sheet.names[text] != text for text in sheet.spelled.unique]
    rows = _rows(examination, other)
    if len(rows):
        texts = (
            f"{shown(text)} for {sheet.names[text]!r}"
            for text, is_other in zip(sheet.spelled.unique, other, strict=True)
            if is_other
        )
        examination.found(
            Kind.LABEL_SPELLINGS,
            Severity.NOTE,
            sheet.label,
            rows,
            what=f"{plural(len(rows), 'label')} differ{'s' * (len(rows) == 1)} from the commonest spelling in case or "
            "spaces.",
            remedy="Nothing: training takes them as the commonest spelling, --fix writes them so.",
            examples=texts,
        )


def _words(examination: Examination) -> None:
    """A note on classes whose name is hardly one."""
    sheet = examination.sheet
    words = {name: count for name, count in sheet.sizes.items() if folded(name) in _NO_NAMES}
    if words:
        examination.found(
            Kind.MISSING,
            Severity.NOTE,
            sheet.label,
            np.flatnonzero(np.isin(sheet.targets, [sheet.classes.index(name) for name in words])),
            what=f"{plural(sum(words.values()), 'row')} of {', '.join(map(repr, words))} "
            f"{'is' if sum(words.values()) == 1 else 'are'} taken as a class of that name.",
            remedy="If the word means that there is no label, empty these cells.",
        )


def _slips(examination: Examination) -> set[str]:
    """Rare labels that look like a slip of the hand in a common one; nobody can know, so they are not respelled."""
    sheet = examination.sheet
    counts = sheet.sizes
    slips = {}
    for rare, count in counts.items():
        if count > max(_SLIP_ROWS, _SLIP_SHARE * len(sheet)):
            continue
        for common, many in counts.items():
            if many >= _FIRST_SLIP + _SLIPS * (count - 1) and is_slip(folded(rare), folded(common)):
                slips[rare] = common
    if slips:
        rows = np.flatnonzero(np.isin(sheet.targets, [sheet.classes.index(name) for name in slips]))
        examination.found(
            Kind.LABEL_SPELLINGS,
            Severity.ERROR,
            sheet.label,
            rows,
            what=f"{plural(len(rows), 'label')} {'looks' if len(rows) == 1 else 'look'} like a slip of the hand in a "
            "common one.",
            remedy="Correct them, if so: each spelling is a class of its own. --fix leaves their rows out.",
            examples=(f"{rare!r} beside {common!r}" for rare, common in slips.items()),
        )
        examination.drop(Step.LABEL, rows, sheet.label, "the label looks like a slip of the hand in a common one")
    return set(slips)


def is_slip(rare: str, common: str) -> bool:
    """True where two words differ by other separators, or by one letter left out, doubled, changed or exchanged inside.

    Words that differ in digits, in the first or in the last letter may well be meant (`fault_a`, `atypical`).
    """
    bare, whole = (_WORDS.sub("", text) for text in (rare, common))
    if bare == whole:
        return True
    words = zip(_WORDS.split(rare), _WORDS.split(common), strict=False)
    if any(one != other and min(len(one), len(other)) < _SHORT for one, other in words):
        return False
    begin = _common(bare, whole)
    end = _common(bare[begin:][::-1], whole[begin:][::-1])
    one, other = bare[begin : len(bare) - end], whole[begin : len(whole) - end]
    if not begin or min(len(bare), len(whole)) < _LONG or any(sign.isdigit() for sign in one + other):
        return False
    return (len(one) == len(other) == 2 and one == other[::-1]) or (end > 0 and max(len(one), len(other)) == 1)


def _common(one: str, other: str) -> int:
    """How many letters two texts begin with alike."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _balance(examination: Examination, slips: set[str]) -> None:
    sheet = examination.sheet
    counts = {name: count for name, count in sheet.sizes.items() if name not in slips}
    if len(counts) < 2:
        examination.found(
            Kind.CLASS_BALANCE,
            Severity.ERROR,
            sheet.label,
            np.zeros(0, dtype=np.intp),
            count=len(counts),
            what=f"Every row is labelled {next(iter(counts), '')!r}; a classifier tells two classes or more apart.",
            remedy="Add rows of another class, or name the right column with --label.",
            examples=counts,
        )
        return
    for limit, severity, what in (
        (FEWEST_ROWS, Severity.ERROR, "too few to split; a class needs {}, better 100"),
        (FEW_ROWS, Severity.WARNING, "few; their figures will hang on two or three rows"),
    ):
        small = {
            name: count
            for name, count in counts.items()
            if count < limit and (limit == FEWEST_ROWS or count >= FEWEST_ROWS)
        }
        if small:
            places = [sheet.classes.index(name) for name in small]
            listed = ", ".join(f"{name} ({count})" for name, count in list(small.items())[:5])
            examination.found(
                Kind.CLASS_BALANCE,
                severity,
                sheet.label,
                np.flatnonzero(np.isin(sheet.targets, places)),
                count=len(small),
                what=f"The rows of {listed} are {what.format(limit)}.",
                remedy="Collect more rows of them, give them another label, or take them out.",
                examples=small,
            )
    (most, many), (least, few) = max(counts.items(), key=_count), min(counts.items(), key=_count)
    share = many / sum(counts.values())
    if share > _OUTWEIGHS or many > _RARER * few:
        examination.found(
            Kind.CLASS_BALANCE,
            Severity.WARNING,
            sheet.label,
            np.zeros(0, dtype=np.intp),
            count=len(counts),
            what=f"{most!r} has {share:.1%} of the rows, {least!r} {few / sum(counts.values()):.2%}: accuracy will "
            f"mislead, as always saying {most!r} scores {share:.3f}.",
            remedy="Look at macro-F1 and at each class; --weights balanced makes rare classes count.",
            examples=(most, least),
        )


def _count(item: tuple[str, int]) -> int:
    return item[1]


def _rows(examination: Examination, flags: list[bool]) -> Places:
    """The rows whose label is one of the texts that are marked."""
    return np.flatnonzero(np.array(flags)[examination.sheet.spelled.codes])
