"""`ampedge card`: what a bundle says about its model, as Markdown that no name in it can break."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from ampedge.cli.app import app
from ampedge.datamap import DataMap, Tag
from ampedge.model import archive
from ampedge.model.bundle import Bundle, load_bundle, pack_bundle, save_bundle, sign_bundle
from ampedge.model.card import card
from ampedge.model.markdown import code, table
from ampedge.model.verdict import misleading
from ampedge.samples import BUNDLE, shipped
from tests.support.bundles import centre_layers, make_bundle, tiny_bundle
from tests.support.cli import run_cli
from tests.support.keys import make_keys
from tests.support.reference import ROOT

HOSTILE = "a|b`c<script>alert(1)</script>*d* [e](http://f) &amp; \\| __g__"
"""What ends a cell, a code span or a table, and what would be HTML, markup or a link."""


class Page(HTMLParser):
    """A card as a browser would have it: its tables, its headings, and every element that came out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.headings: list[str] = []
        self.elements: set[str] = set()
        self.text = ""
        self._in: str | None = None
        self.feed(MarkdownIt("commonmark").enable("table").render(text))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.elements.add(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._in = "cell"
        elif tag in ("h1", "h2"):
            self.headings.append("")
            self._in = "heading"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "h1", "h2"):
            self._in = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in == "cell":
            self.tables[-1][-1][-1] += data
        elif self._in == "heading":
            self.headings[-1] += data


HEADINGS = ["Intended use", "What it reads", "What it says", "Figures", "Limits", "How it was made"]
ELEMENTS = {"h1", "h2", "p", "strong", "ul", "li", "code", "table", "thead", "tbody", "tr", "th", "td"}


def scores(accuracy: float, macro_f1: float, **of_class: tuple[float, float, float, int]) -> dict[str, Any]:
    """Scores as training records them; for each class precision, recall, F1 and rows."""
    names = ("precision", "recall", "f1", "support")
    per_class = {name: dict(zip(names, figures, strict=True)) for name, figures in of_class.items()}
    return {"accuracy": accuracy, "macro_f1": macro_f1, "per_class": per_class}


def saved(bundle: Bundle, place: Path, change: Callable[[dict[str, Any]], object]) -> Bundle:
    """The same model with another manifest."""
    plain = json.loads(bundle.contents["manifest.json"])
    change(plain)
    del plain["files"]
    return save_bundle(place, plain, {"weights.bin": bundle.contents["weights.bin"]})


@pytest.fixture
def tiny(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path, classes=("low", "normal", "high"), features={"speed": ("rpm", 1500.0, 20.0)})


def with_metrics(bundle: Bundle, metrics: dict[str, Any], **settings: object) -> str:
    """The card of that bundle with these metrics and settings of training."""

    def change(plain: dict[str, Any]) -> None:
        plain["metrics"] = metrics
        plain["training"]["settings"] = settings

    return card(saved(bundle, bundle.path.parent / "changed", change))


# What stands in it


def test_the_shipped_model_has_its_known_figures() -> None:
    bundle = load_bundle(shipped(BUNDLE))
    text = card(bundle)
    page = Page(text)
    assert page.headings == ["Model card of amplifier", *HEADINGS]
    assert page.elements == ELEMENTS - {"strong"}
    reads, registers, overall, per_class, made = page.tables
    assert reads[:2] == [
        ["tag", "unit", "in training", "envelope", "valid"],
        ["plate_voltage", "V", "375.65 to 468.27", "344.298 to 499.622", "0 to 800"],
    ]
    assert registers[1] == ["plate_voltage", "holding 40001 (wire address 0)", "float32", "ABCD", "raw"]
    assert overall == [
        ["", "this model", "random forest", "logistic regression", "always the commonest class"],
        ["accuracy", "0.942", "0.932", "0.883", "0.700"],
        ["macro-F1", "0.900", "0.885", "0.799", "0.206"],
    ]
    assert per_class == [
        ["class", "rows", "precision", "recall", "F1"],
        ["failsoon", "36", "0.968", "0.833", "0.896"],
        ["healthy", "420", "0.963", "0.986", "0.974"],
        ["overdriven", "60", "0.933", "0.933", "0.933"],
        ["unstable", "84", "0.823", "0.774", "0.798"],
    ]
    for sentence in (
        "A small neural network that reads 5 tags and answers with one of 4 classes, or with unknown.",
        f"Version {bundle.manifest.version}, created {bundle.manifest.created}.",
        f"as an .ampedge file has it: {bundle.identity}.",
        "Not signed.",
        "It is not a safety function",
        "A reading with a value outside its envelope, or its valid range where it has one, gets the label unknown.",
        "One of the classes failsoon, healthy, overdriven, unstable; healthy is the normal state.",
        "Judged on 600 rows that training never saw.",
        "The network earns its place: macro-F1 0.900 against 0.799 of the logistic regression.",
        "The weakest class is unstable: of its 84 rows it recognised 65, and 82.2% of the rows that it called so",
        "The figures come from 600 rows of the same table that it was trained on, data.csv:",
        "The rows were held out at random",
        "The rarest class among them, failsoon, has 36 rows: each moves its recall by 0.028.",
    ):
        assert sentence in page.text
    training = bundle.manifest.training
    recorded = dict(made)
    assert recorded["SHA-256 of the data"] == training.data_sha256
    assert (recorded["rows of training"], recorded["rows of test"]) == ("2800", "600")
    assert recorded["network"] == "dense 64-32-16-4"
    assert (recorded["setting seed"], recorded["setting layers"]) == ("42", "[64, 32, 16]")
    assert recorded["version of tensorflow"] == training.libraries["tensorflow"]


def test_a_trained_model_and_its_edge_file_have_the_same_card(wine_bundle: Path, tmp_path: Path) -> None:
    bundle = load_bundle(wine_bundle)
    pack_bundle(bundle, tmp_path / "wine.ampedge")
    text = card(bundle)
    assert card(load_bundle(tmp_path / "wine.ampedge")) == text
    reads, _, overall, per_class, _ = Page(text).tables
    assert reads[0] == ["tag", "in training", "envelope"]  # no tag has a unit or a valid range
    assert [row[0] for row in reads[1:]] == bundle.manifest.feature_names
    found = bundle.manifest.metrics["test"]
    assert overall[1][1] == f"{found['accuracy']:.3f}"
    assert per_class[1:] == [
        [name, str(one["support"]), *(f"{one[key]:.3f}" for key in ("precision", "recall", "f1"))]
        for name, one in found["per_class"].items()
    ]


def test_a_signature_is_mentioned_and_not_believed(tmp_path: Path, tiny: Bundle) -> None:
    private, _ = make_keys(tmp_path / "keys")
    assert "Signed; by whom was not checked for this card." in card(sign_bundle(tiny, private))


def test_the_layout_of_registers(tmp_path: Path) -> None:
    tags = (
        Tag("temperature", 9, "input", "int16", "ABCD", "°C", 0.1, -5, (-40, 90), (0x7FFF,), max_step=2.5),
        Tag("count", 1000, type="uint32", word_order="CDAB", expect_change_s=60),
        Tag("running", 3, "coil", "bit"),
    )
    bundle = make_bundle(
        tmp_path / "m",
        classes=("off", "on"),
        mean=[20.0, 1e6, 0.5],
        std=[2.0, 1.0, 0.5],
        layers=centre_layers(np.array([[-1.0, 0, -1], [1, 0, 1]])),
        datamap=DataMap(tags),
        names=["temperature", "count", "running"],
    )
    reads, registers, *_ = Page(card(bundle)).tables
    assert [row[-1] for row in reads] == ["valid", "-40 to 90", "", ""]
    assert reads[2][2:4] == ["999996 to 1000004", "999993 to 1000007"]
    assert registers == [
        ["tag", "registers", "type", "word order", "value", "no value", "largest step", "changes within"],
        ["temperature", "input 30010 (wire address 9)", "int16", "", "raw x 0.1 - 5", "0x7FFF", "2.5", ""],
        ["count", "holding 41001 (wire address 1000)", "uint32", "CDAB", "raw", "", "", "60 s"],
        ["running", "coil 00004 (wire address 3)", "bit", "", "raw", "", "", ""],
    ]


def test_the_card_in_the_documentation_is_the_shipped_one() -> None:
    page = (ROOT / "docs" / "models.md").read_text("utf-8")
    shown = page.partition("```text\n# Model card")[2].partition("```")[0]
    lines = f"# Model card{shown}".splitlines()
    assert "..." in lines
    assert [line for line in lines if line not in ("...", *card(load_bundle(shipped(BUNDLE))).splitlines())] == []


# Honest figures


def test_accuracy_that_misleads_and_a_class_never_found_stand_before_everything_else(tiny: Bundle) -> None:
    metrics = {
        "test": scores(0.98, 0.61, low=(0.0, 0.0, 0.0, 6), normal=(0.98, 1.0, 0.99, 970), high=(0.8, 0.875, 0.84, 24)),
        "baselines": {"majority_class": scores(0.97, 0.33), "logistic_regression": scores(0.975, 0.6)},
    }
    page = Page(with_metrics(tiny, metrics))
    top = page.text.partition("Version ")[0]
    assert (
        "Warning: Accuracy misleads here: always answering the commonest class reaches 0.970, this model 0.980; "
        "macro-F1, in which every class counts the same, is 0.610." in top
    )
    assert "Warning: It recognised no row of low: never rely on it there." in top
    assert "The network is hardly better than simpler means on these rows" in page.text
    assert "The weakest class is low: of its 6 rows it recognised none." in page.text
    assert "A random forest" not in page.text
    assert "The rarest class among them, low, has 6 rows: each moves its recall by 0.167." in page.text


def test_a_random_forest_that_is_better_is_shown(tiny: Bundle) -> None:
    simple = {
        name: scores(0.9, f1)
        for name, f1 in (("random_forest", 0.97), ("majority_class", 0.3), ("logistic_regression", 0.8))
    }
    test = scores(0.9, 0.9, low=(1, 1, 1, 50), normal=(0.9, 0.9, 0.9, 50), high=(1, 1, 1, 50))
    page = Page(with_metrics(tiny, {"test": test, "baselines": simple}))
    assert page.tables[2] == [
        ["", "this model", "random forest", "logistic regression", "always the commonest class"],
        ["accuracy", "0.900", "0.900", "0.900", "0.900"],
        ["macro-F1", "0.900", "0.970", "0.800", "0.300"],
    ]
    assert "A random forest is better on the same rows: macro-F1 0.970 against 0.900." in page.text


@pytest.mark.parametrize(
    ("accuracy", "macro_f1", "commonest", "misleads"),
    [
        (0.984, 0.672, 0.967, True),
        (0.95, 0.4, 0.967, True),
        (0.998, 0.95, 0.967, False),  # little better in accuracy, and yet every class is recognised
        (0.94, 0.7, 0.70, False),  # far better than the commonest class
        (0.5, 0.667, 1.0, False),  # rows of one class only: nothing is common beside it
    ],
)
def test_when_accuracy_misleads(accuracy: float, macro_f1: float, commonest: float, misleads: bool) -> None:
    assert (misleading(scores(accuracy, macro_f1), scores(commonest, 0.2)) is not None) == misleads


def test_a_class_without_held_out_rows_is_not_called_the_weakest(tiny: Bundle) -> None:
    metrics = {"test": scores(0.9, 0.9, low=(0.0, 0.0, 0.0, 0), normal=(0.9, 0.9, 0.9, 1), high=(1.0, 1.0, 1.0, 9))}
    page = Page(with_metrics(tiny, metrics))
    assert "No row of low was among them: how well that is recognised is not known." in page.text
    assert "The weakest class is normal: of its 1 row it recognised 1," in page.text
    assert "Warning" not in page.text


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("stratified", "The rows were held out at random"),
        ("in the order of time", "The rows are the last ones in time"),
        ("groups of 'ru|n' kept apart", "No group of rows is both in training and among these (groups of 'ru|n'"),
        (None, "How these rows were chosen, the bundle does not say."),
        (7, "How these rows were chosen, the bundle does not say."),
    ],
)
def test_how_rows_were_held_out_limits_the_figures(tiny: Bundle, split: object, said: str) -> None:
    metrics = {"test": scores(0.9, 0.9, low=(1, 1, 1, 5), normal=(0.9, 0.9, 0.9, 5), high=(1, 1, 1, 5))}
    assert said in Page(with_metrics(tiny, metrics, split=split)).text


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"test": {}},
        {"test": "good", "baselines": []},
        {"test": scores(0.9, 0.9)},
        {"test": scores(0.9, 0.9, low=(1, 1, 1, 5), normal=(1, 1, 1, 5))},  # a class is missing
        {"test": scores(0.9, 0.9, low=(1, 1, 1, 0), normal=(1, 1, 1, 0), high=(1, 1, 1, 0))},
        {"test": scores(90.0, 0.9, low=(1, 1, 1, 5), normal=(1, 1, 1, 5), high=(1, 1, 1, 5))},
        {"test": scores(0.9, 0.9, low=(1, 1, 1, 10**400), normal=(1, 1, 1, 5), high=(1, 1, 1, 5))},
        {"test": {**scores(0.9, 0.9), "per_class": {"low": HOSTILE}}},
    ],
)
def test_a_bundle_without_figures_says_so(tiny: Bundle, metrics: dict[str, Any]) -> None:
    page = Page(with_metrics(tiny, metrics))
    assert "Warning: This bundle holds no figures of held-out rows" in page.text
    assert "There are none in this bundle that can be read" in page.text
    assert page.headings[1:] == HEADINGS
    assert len(page.tables) == 3


@pytest.mark.parametrize("recorded", [None, {}, {"majority_class": scores(0.4, 0.2)}, {"logistic_regression": "x"}])
def test_a_missing_baseline_is_said_to_be_missing(tiny: Bundle, recorded: Any) -> None:
    metrics = {
        "test": scores(0.9, 0.9, low=(1, 1, 1, 5), normal=(1, 1, 1, 5), high=(1, 1, 1, 5)),
        "baselines": recorded,
    }
    page = Page(with_metrics(tiny, metrics))
    assert "With which simpler means it was compared, the bundle does not say in full." in page.text
    known = ["always the commonest class"] if recorded and "majority_class" in recorded else []
    assert page.tables[2][0] == ["", "this model", *known]


# Names


def test_hostile_names_break_nothing(tmp_path: Path) -> None:
    tags = [f"{HOSTILE} {place}" for place in range(2)]
    classes = [f"| --- | {HOSTILE}", "## high"]
    tiny = tiny_bundle(tmp_path, classes=classes, features=dict.fromkeys(tags, ("<b>|`", 5.0, 1.0)))

    def change(plain: dict[str, Any]) -> None:
        figures = [(1, 0, 0, 5), (0.9, 0.9, 0.9, 5)]
        plain["name"] = HOSTILE[:64]
        plain["metrics"] = {"test": scores(0.5, 0.5, **dict(zip(classes, figures, strict=True)))}
        plain["training"] = {
            "data": f"\n\n# {HOSTILE}\n\u202e",
            "data_sha256": HOSTILE,
            "label": HOSTILE,
            "rows": {HOSTILE: 5},
            "settings": {HOSTILE: [HOSTILE], "split": f"groups of {HOSTILE!r}"},
            "libraries": {f"{HOSTILE}\n": f"\n|{HOSTILE}"},
        }

    text = card(saved(tiny, tmp_path / "hostile", change))
    page = Page(text)
    assert "<" not in text.replace("`", "")
    assert page.elements <= ELEMENTS
    assert page.headings == [f"Model card of {HOSTILE[:64].strip()}", *HEADINGS]
    for of_page in page.tables:
        assert {len(row) for row in of_page} == {len(of_page[0])}
    reads, registers, _, per_class, made = page.tables
    assert [row[:2] for row in reads[1:]] == [[tag, "<b>|`"] for tag in tags]
    assert [row[0] for row in registers[1:]] == tags
    assert [row[0] for row in per_class[1:]] == classes
    assert f"It recognised no row of {classes[0]}:" in page.text
    assert dict(made)["data"].strip() == f"# {HOSTILE} \ufffd"


@given(st.text(min_size=1, max_size=30))
def test_any_name_is_one_cell_and_only_text(name: str) -> None:
    text = table(("name", "figure"), [(code(name), "1"), (code(name), "2")])
    page = Page(text)
    assert page.elements <= {"table", "thead", "tbody", "tr", "th", "td", "code"}
    [[_, one, other]] = page.tables
    shown = "".join(" " if char.isspace() else char if char.isprintable() else "\ufffd" for char in name)
    assert (one[0].strip(), one[1]) == (shown.strip(), "1")
    assert other == [one[0], "2"]


def test_a_table_is_aligned_and_leaves_out_what_nobody_fills() -> None:
    assert table(("tag", "unit", "rows"), [("a", "", "7"), ("bcde", "", "1234")], numbers=True) == (
        "| tag  | rows |\n| ---- | ---: |\n| a    |    7 |\n| bcde | 1234 |"
    )
    assert max(map(len, table(("a", "b"), [("x" * 5000, "1"), ("y", "2")]).splitlines()[2:])) > 5000
    assert len(table(("a", "b"), [("x" * 5000, "1"), ("y", "2")]).splitlines()[-1]) < 20


# The command


def test_stdout_has_the_card_and_nothing_else(wine_bundle: Path, tmp_path: Path) -> None:
    done = run_cli("card", "--model", wine_bundle, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, f"Using {wine_bundle} (as given).\n")
    assert done.stdout == card(load_bundle(wine_bundle))
    done = run_cli("card", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("# Model card of `amplifier`\n")
    assert "the small amplifier model that ampedge ships" in done.stderr


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["card", *map(str, arguments)])


def test_a_file_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "docs" / "CARD.md"
    done = invoke("--out", out)
    assert (done.exit_code, done.stdout) == (0, "")
    assert f"Card: {out}" in done.stderr
    assert out.read_text("utf-8") == card(load_bundle(shipped(BUNDLE)))

    def full(self: Path, text: str, encoding: str) -> None:
        raise OSError(28, "No space left on device")

    before = out.read_bytes()
    monkeypatch.setattr(Path, "write_text", full)
    done = invoke("--out", out)
    assert "No space left on device" in done.exception.problem
    assert [*out.parent.iterdir()] == [out]
    assert out.read_bytes() == before


def test_a_card_never_takes_the_place_of_a_model(tmp_path: Path) -> None:
    model = tmp_path / "m.ampedge"
    model.write_bytes(shipped(BUNDLE).read_bytes())
    done = run_cli("card", "--model", model, "--out", model)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the name of a card ends in .md" in done.stderr
    assert model.read_bytes() == shipped(BUNDLE).read_bytes()


def test_what_cannot_be_done_has_its_exit_code(tmp_path: Path, tiny: Bundle) -> None:
    folder = tmp_path / "folder.md"
    folder.mkdir()
    damaged = bytearray(shipped(BUNDLE).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged.ampedge").write_bytes(damaged)
    (tmp_path / "empty.ampedge").write_bytes(archive.pack({}))
    for arguments, code_, said in (
        (("--model", tmp_path / "gone.ampedge"), 2, "There is no model at"),
        (("--model", tiny.path, "--out", folder), 2, "is a directory"),
        (("--model", tiny.path, "--out", tiny.path / "manifest.json" / "x.md"), 2, "cannot be written"),
        (("--model", tmp_path / "damaged.ampedge"), 5, "is refused: It was altered after it was made"),
        (("--model", tmp_path / "empty.ampedge", "--out", tmp_path / "x.md"), 5, "It has no manifest.json"),
    ):
        done = run_cli("card", *arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (code_, ""), done.stderr
        assert re.match("(Using .*\n)?Error: ", done.stderr)
        assert said in done.stderr
    assert not (tmp_path / "x.md").exists()
