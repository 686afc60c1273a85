"""The documentation is true: it is current, its links lead somewhere, its commands are commands."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from ampedge.config import load_config
from ampedge.model.bundle import load_bundle
from ampedge.samples import BUNDLE, shipped
from ampedge.settings import keys
from tests.support import reference
from tests.support.event_schema import valid_event

ROOT = reference.ROOT
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_OTHER_MACHINE = re.compile(r"/(?:home/(?!pi/)|Users/|work/|root/)|[A-Z]:\\Users")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def spoken(page: Path) -> str:
    """The page without its code blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def typed_commands(page: Path) -> Iterator[str]:
    """Every `ampedge ...` that a reader is to type: in a code block, up to a pipe or the like."""
    for _, block in _FENCE.findall(page.read_text("utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"(?:\$ |> )?(?:sudo )?(?:\w+=\S+ )*(?:\S*/bin/)?(ampedge .+)", line)
            if found:
                yield re.split(r" (?:[|>;]|&&?|2>)(?: |$)", found[1])[0]


def named_commands(page: Path) -> Iterator[str]:
    """Every command between backticks; one without arguments is only its name."""
    for named in re.findall(r"`(ampedge [^`]+)`", spoken(page)):
        if "..." not in named:
            yield f"{named} --help" if len(named.split()) == 2 else named


def refuse(command: str) -> str | None:
    """Why the command line would not accept this command, None where it would."""
    words = shlex.split(command, comments=True)[1:]
    known = reference.commands()
    while words and words[0] == "--debug":
        words.pop(0)
    if not words or words[0] in ("--help", "--version", "--install-completion", "COMMAND"):
        return None
    chosen = next((given for given in known if words[: len(given.split())] == given.split()), None)
    if chosen is None and words[1:] == ["--help"] and any(given.startswith(f"{words[0]} ") for given in known):
        return None  # the help of a group
    if chosen is None:
        return f"there is no command {words[0]!r}"
    try:
        known[chosen].make_context(chosen, words[len(chosen.split()) :], resilient_parsing="--help" in words)
    except Exception as error:
        return getattr(error, "message", None) or repr(error)
    return None


def test_reference_is_current() -> None:
    assert reference.PAGE.read_text("utf-8") == reference.page(), "run `make docs`"


@pytest.mark.parametrize("command", reference.commands())
def test_every_command_has_its_section_and_is_explained(command: str) -> None:
    found = reference.commands()[command]
    assert f"### ampedge {command}\n" in reference.PAGE.read_text("utf-8")
    assert found.help
    assert [option.opts for option in reference.options(found) if not option.help] == []
    assert [argument.name for argument in reference.arguments(found) if not argument.help] == []


@pytest.mark.parametrize("command", reference.commands())
def test_every_command_is_shown_at_work(command: str) -> None:
    shown = [shown for page in PAGES if page != reference.PAGE for shown in typed_commands(page)]
    assert any(f"{line} ".startswith(f"ampedge {command} ") for line in shown)


@pytest.mark.parametrize(("path", "section", "field"), [*keys()], ids=[path for path, *_ in keys()])
def test_every_key_is_described(path: str, section: type[BaseModel], field: str) -> None:
    text = reference.PAGE.read_text("utf-8")
    assert section.model_fields[field].description
    is_in_list = path.startswith(("tags.", "devices."))
    assert (f"| `{field}` |" if is_in_list else f"`{reference.environment_name(path)}`") in text


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(spoken(page)):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        titles = re.findall(r"^#+ (.+)$", _FENCE.sub("", target.read_text("utf-8")), re.MULTILINE) if fragment else []
        if not target.exists() or (fragment and fragment not in map(reference.anchor, titles)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_shown_commands_are_commands(page: Path) -> None:
    shown = [*named_commands(page), *([] if page == reference.PAGE else typed_commands(page))]
    refused = {command: why for command in shown if (why := refuse(command)) is not None}
    assert refused == {}


def test_commands_in_messages_are_commands() -> None:
    refused = {}
    for source in sorted((ROOT / "ampedge").rglob("*.py")):
        for shown in re.findall(r"`(ampedge [a-z]+)[^`]*`", source.read_text("utf-8")):
            if (why := refuse(f"{shown} --help")) is not None:
                refused[f"{name(source)}: {shown}"] = why
    assert refused == {}


def test_a_wrong_command_is_noticed() -> None:
    assert refuse("ampedge serve --host 127.0.0.1 --interval 0.5  # fine") is None
    assert "--hots" in str(refuse("ampedge serve --hots 127.0.0.1"))
    assert "number" in str(refuse("ampedge serve --interval fast"))
    assert refuse("ampedge sevre") == "there is no command 'sevre'"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_knows_a_developers_machine(page: Path) -> None:
    assert _OTHER_MACHINE.findall(page.read_text("utf-8")) == []


def test_the_event_schema_is_linked() -> None:
    assert (ROOT / "docs" / "event.schema.json").is_file()
    assert "(event.schema.json)" in (ROOT / "docs" / "mqtt.md").read_text("utf-8")


@pytest.mark.parametrize(("contract", "package"), [("floors", "ampedge."), ("workshop", "ampedge.training.")])
def test_the_picture_of_the_floors_is_the_contract(contract: str, package: str) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["id"] == contract)
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    picture = page.partition(f"<!-- {contract} -->\n\n")[2].partition("\n\n")[0]
    assert [line.strip() for line in picture.splitlines()] == [layer.replace(package, "") for layer in layers]


_OTHERS = ("random_forest", "logistic_regression", "majority_class")


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_shown_figures_are_those_of_the_shipped_model(page: str) -> None:
    """The pages train on the shipped table at the defaults, as the shipped model was."""
    text = (ROOT / page).read_text("utf-8")
    metrics = load_bundle(shipped(BUNDLE)).manifest.metrics
    columns = [metrics["test"], *(metrics["baselines"][name] for name in _OTHERS)]
    rows = {
        name: [column[key] for column in columns] for name, key in (("accuracy", "accuracy"), ("macro-F1", "macro_f1"))
    }
    for label, found in metrics["test"]["per_class"].items():
        rows[f"recall of {label} {found['support']}"] = [column["per_class"][label]["recall"] for column in columns]
    shown = [" ".join(line.split()) for line in text.splitlines()]
    missing = [
        line for name, row in rows.items() if (line := f"{name} {' '.join(f'{x:.3f}' for x in row)}") not in shown
    ]
    assert missing == []
    assert set(re.findall(r"\b20\d\d\.\d\d\.\d\d-[0-9a-f]{8}\b", text)) == {
        load_bundle(shipped(BUNDLE)).manifest.version
    }


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_shown_configs_and_events_are_accepted(page: Path, tmp_path: Path) -> None:
    for language, block in _FENCE.findall(page.read_text("utf-8")):
        if language == "toml":
            file = tmp_path / "ampedge.toml"
            file.write_text(block, "utf-8")
            load_config(file, environment={})
        elif language == "json":
            valid_event(block)
