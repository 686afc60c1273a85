"""Writes docs/reference.md from the code: commands, config keys, exit codes, qualities, topics, files.

python -m tests.support.reference [--write]    print it, or write it in its place
"""

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from ampedge import errors, quality, records
from ampedge.cli.app import app
from ampedge.config import ENVIRONMENT_PREFIX
from ampedge.model import bundle
from ampedge.mqtt.topics import device_topic, dropped_topic, event_topic, status_topic
from ampedge.settings import MqttSection, keys

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference.md"

_LISTS = {"devices": "[[devices]], once for each of several devices", "tags": "[[tags]], once for each tag"}
_KINDS = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}
_TYPES = {str: "text", bool: "`true` or `false`", int: "integer", float: "number", SecretStr: "text, never shown"}


def page() -> str:
    """The whole of docs/reference.md."""
    parts = [
        "# Reference",
        "This page is made from the code by `make docs`; a test fails where it is not current.",
        "\n".join(f"- [{title}](#{anchor(title)})" for title, _ in _SECTIONS),
    ]
    for title, body in _SECTIONS:
        parts += [f"## {title}", *body()]
    return "\n\n".join(parts) + "\n"


def anchor(title: str) -> str:
    """The fragment that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def commands() -> dict[str, Any]:
    """Every command by its name, as Typer built it; groups are entered, their own name comes first."""
    return dict(_commands(typer.main.get_command(app), ""))


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def options(command: Any) -> list[Any]:
    """The options of a command that its help shows, without `--help`."""
    return [parameter for parameter in command.params if parameter.param_type_name == "option" and not parameter.hidden]


def arguments(command: Any) -> list[Any]:
    """The arguments of a command, in order."""
    return [parameter for parameter in command.params if parameter.param_type_name == "argument"]


def _all_commands() -> Iterator[str]:
    yield "`ampedge COMMAND --help` shows the same on the terminal, `-h` is short for `--help`."
    yield "These options stand before the command, as in `ampedge --debug train data.csv`."
    yield _options(typer.main.get_command(app))
    for name, command in commands().items():
        yield f"### ampedge {name}"
        given = [_metavar(argument) for argument in arguments(command)]
        yield "```\n" + " ".join(["ampedge", name, *given, "[OPTIONS]"]) + "\n```"
        yield inspect.cleandoc(command.help or "")
        if given:
            rows = [(f"`{_metavar(a)}`", a.help or "", _default(a)) for a in arguments(command)]
            yield _table(("argument", "meaning", "default"), rows)
        if options(command):
            yield _options(command)


def _options(command: Any) -> str:
    rows = []
    for option in options(command):
        first, *others = [*option.opts, *option.secondary_opts]
        spelled = [first if option.is_flag else f"{first} {_kind(option)}", *others]
        rows.append((", ".join(f"`{name}`" for name in spelled), option.help or "", _default(option)))
    return _table(("option", "meaning", "default"), rows)


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _kind(option: Any) -> str:
    described = option.type_descriptor
    if option.metavar:
        return str(option.metavar)
    if described.is_choice:
        return "|".join(str(choice) for choice in described.choices)
    return _KINDS.get(described.annotation, "TEXT")


def _default(parameter: Any) -> str:
    value = parameter.default
    if parameter.required:
        return "required"
    return "" if value is None or value is False or value == [] else f"`{value}`"


def _all_keys() -> Iterator[str]:
    yield (
        "One file, `ampedge.toml`, holds them all.\n"
        "A command takes the file of `--config`, else `ampedge.toml` in the current directory, else the defaults.\n"
        "A flag wins over the environment, the environment over the file, the file over the bundle (for the data "
        "map), the bundle over the default.\n"
        "A key that does not exist is refused, and all problems are reported at once.\n"
        "[`examples/ampedge.toml`](../examples/ampedge.toml) is a whole file in which every key is explained."
    )
    sections: dict[str, list[tuple[str, ...]]] = {}
    for path, section, name in keys():
        field = section.model_fields[name]
        parent = path.rpartition(".")[0]
        variable = "" if parent in _LISTS else f"`{environment_name(path)}`"
        sections.setdefault(parent, []).append(
            (f"`{name}`", _type(field), _key_default(field), field.description or "", variable)
        )
    for parent, rows in sections.items():
        if parent in ("devices.tags", "devices.check"):  # as [[tags]] and [modbus.check]
            continue
        yield "### " + ({"": "At the top of the file", **_LISTS}.get(parent) or f"[{parent}]")
        head = ("key", "type", "default", "meaning", "environment variable")
        yield _table(head[:4], [row[:4] for row in rows]) if parent in _LISTS else _table(head, rows)
        if parent == "devices":
            yield (
                "A device may have tags of its own, `[[devices.tags]]` with the keys of `[[tags]]`; without them it "
                "has the shared `[[tags]]`.\n"
                "It may have a register with a known content, `[devices.check]` with the keys of `[modbus.check]`."
            )


def environment_name(path: str) -> str:
    """The environment variable of a config key."""
    return ENVIRONMENT_PREFIX + path.replace(".", "__").upper()


def _type(field: FieldInfo) -> str:
    inner = [part for part in get_args(field.annotation) or (field.annotation,) if part is not type(None)]
    if field.annotation in (tuple[float, float], tuple[float, float] | None):
        return "[low, high]"
    if field.annotation == tuple[int, ...]:
        return "list of integers"
    if all(isinstance(part, str) for part in inner):
        return " or ".join(f"`{part}`" for part in inner)
    if all(get_args(part) for part in inner):
        return " or ".join(f"`{choice}`" for part in inner for choice in get_args(part))
    said = " or ".join(_TYPES[part] for part in inner)
    return said + "".join(f", {_limit(limit)}" for limit in field.metadata if _limit(limit))


def _limit(limit: object) -> str:
    words = {"gt": "above", "ge": "at least", "le": "at most", "lt": "below"}
    return "".join(f"{word} {getattr(limit, name):g}" for name, word in words.items() if hasattr(limit, name))


def _key_default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return ""
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    return "empty" if field.default in ("", ()) else f"`{field.default}`"


def _exit_codes() -> Iterator[str]:
    rows = {error.exit_code: _first_line(error) for error in errors.AmpedgeError.__subclasses__()}
    rows[0] = "All is well."
    rows[1] = "A bug in ampedge; `ampedge --debug ...` shows where."
    rows[130] = "Interrupted by Ctrl+C."
    yield (
        "An error is printed on stderr: what is wrong and where, then what to do.\n"
        "With `ampedge --debug ...` the traceback follows.\n"
        "`serve` and `monitor` do not end because a device or a broker is away: they say so and keep trying."
    )
    yield _table(("code", "meaning"), [(f"{code}", said) for code, said in sorted(rows.items())])


def _qualities() -> Iterator[str]:
    yield (
        "Every value has a quality, and the reading has the worst of them.\n"
        f"A reading of quality `bad`, or far outside training, gets the label `{records.UNKNOWN}`, never a class.\n"
        "One that is uncertain for another reason keeps its label.\n"
        "So does a class below `decision.min_confidence`, with the reason `low_confidence` and the quality unchanged."
    )
    lines = inspect.cleandoc(quality.__doc__ or "").splitlines()
    yield "\n".join(line for line in lines if line.startswith("|"))
    yield "The reasons, as events carry them (for one tag as `plate_voltage: out_of_range`):"
    comments = dict(re.findall(r'^    \w+ = "(\w+)"(?:  # (.*))?$', inspect.getsource(records.Reason), re.MULTILINE))
    plain = {"not_a_number": "the registers hold NaN", "infinite": "the registers hold an infinity"}
    plain["out_of_range"] = "outside the tag's `valid` range; the value is kept in the event"
    yield _table(
        ("reason", "meaning"),
        [(f"`{reason}`", plain.get(reason) or comments[reason]) for reason in records.Reason],
    )


def _topics() -> Iterator[str]:
    topic = MqttSection().topic
    status = status_topic(topic)
    yield (
        f"The names derive from `mqtt.topic`, here with its default `{topic}` and a device named `amplifier`.\n"
        "`{device}` in it is replaced by the device's name; with several devices it must be there.\n"
        "[mqtt.md](mqtt.md) says what to do with them; [event.schema.json](event.schema.json) is the JSON schema of "
        "an event."
    )
    yield _table(
        ("topic", "payload", "QoS", "retained"),
        [
            (f"`{topic}`", "the label of now, such as `healthy`", "0", "no"),
            (f"`{event_topic(topic)}`", "the event, JSON", "1", "no"),
            (f"`{dropped_topic(topic)}`", "the announcement that events were dropped, JSON", "1", "no"),
            (f"`{status}`", "`online` or `offline`: the service", "1", "yes"),
            (f"`{device_topic(status, 'amplifier')}`", "`online` or `offline`: the device", "1", "yes"),
        ],
    )


def _files() -> Iterator[str]:
    yield "`ampedge train` writes a bundle directory; `ampedge export` packs what the edge needs into one file."
    yield _table(
        ("file", "in", "holds"),
        [
            (f"`{bundle.MANIFEST}`", "directory, `.ampedge`", "all facts of the model: classes in order, features in "
             "order with units and training range, data map, metrics, golden rows, a SHA-256 of each file"),
            (f"`{bundle.CHECKSUM}`", "directory, `.ampedge`", "the SHA-256 of the manifest"),
            (f"`{bundle.WEIGHTS}`", "directory, `.ampedge`", "the network's weights, float32, little-endian"),
            (f"`{bundle.SIGNATURE}`", "signed `.ampedge`", "the Ed25519 signature of the manifest; see "
             "[models.md](models.md)"),
            ("`network.keras`", "directory", "the network as a Keras model, on scaled inputs"),
            (f"`{bundle.HELD_OUT}`", "directory", "the rows that training never saw; `evaluate` scores on them"),
            (f"`{bundle.REPRESENTATIVE}`", "directory", "up to 500 rows of the training, to calibrate int8 with"),
            ("`metrics.json`", "directory", "the metrics of the test and the validation part and of the baselines"),
            ("`training_history.png`", "directory", "accuracy and loss per epoch"),
        ],
    )  # fmt: skip
    yield (
        "Without `--model` a command takes `./model`, else a single `./*.ampedge`, else the small amplifier model "
        "that ampedge ships, and says which."
    )


_SECTIONS = (
    ("Commands", _all_commands),
    ("Configuration keys", _all_keys),
    ("Exit codes", _exit_codes),
    ("Qualities and reasons", _qualities),
    ("Topics", _topics),
    ("Files of a model", _files),
)


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").splitlines()[0]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(head), *(tuple(row) for row in rows)]
    lines.insert(1, ("---",) * len(lines[0]))
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def main(given: list[str]) -> None:
    """Print the page, or write it."""
    if given == ["--write"]:
        PAGE.write_text(page(), "utf-8")
    elif not given:
        sys.stdout.write(page())
    else:
        sys.exit("python -m tests.support.reference [--write]")


if __name__ == "__main__":
    main(sys.argv[1:])
