"""The configuration: every key, every source, and every mistake told at once without telling a secret."""

import json
import os
import re
import traceback
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import SecretStr

from ampedge import log
from ampedge.config import Config, Device, load_config
from ampedge.datamap import DataMap, Tag
from ampedge.errors import ConfigError, UsageError
from ampedge.settings import keys
from tests.support.canary import CANARY

PATHS = [path for path, *_ in keys()]
NEEDED = {
    "tags": {"name": '"x"', "address": "0"},
    "devices": {"name": '"x"', "host": '"plc"'},
    "devices.tags": {"name": '"x"', "address": "0"},
    "modbus.check": {"address": "0", "value": "1.5"},
    "devices.check": {"address": "0", "value": "1.5"},
}
"""What the sections need that may not be there at all."""
LISTS = ("tags", "devices", "devices.tags")
TAG = '[[tags]]\nname = "x"\naddress = 0\n'


def load(
    place: Path, text: str = "", flags: dict[str, Any] | None = None, environment: dict[str, str] | None = None
) -> Config:
    """The config of a file with this text, and of nothing from outside."""
    file = place / "ampedge.toml"
    file.write_text(text, "utf-8")
    return load_config(file, flags, environment or {})


def problems(place: Path, *arguments: Any, **named: Any) -> list[str]:
    """The lines of the refusal, the file's path cut short and without the number of its line."""
    return [re.sub(r"\(FILE:\d+\)", "(FILE)", line) for line in numbered(place, *arguments, **named)]


def numbered(place: Path, *arguments: Any, **named: Any) -> list[str]:
    """The lines of the refusal, the file's path cut short."""
    with pytest.raises(ConfigError) as caught:
        load(place, *arguments, **named)
    assert caught.value.exit_code == 2
    assert caught.value.remedy
    return caught.value.problem.replace(str(place / "ampedge.toml"), "FILE").splitlines()


def toml(path: str, value: str) -> str:
    """A file with that one key, beside what its sections need."""
    section, _, name = path.rpartition(".")
    if not section:
        return f"{name} = {value}\n"
    lines = toml("devices.port", "502").splitlines() if section.startswith("devices.") else []
    needed = {key: given for key, given in NEEDED.get(section, {}).items() if key != name}
    header = f"[[{section}]]" if section in LISTS else f"[{section}]"
    return "\n".join([*lines, header, *(f"{key} = {given}" for key, given in needed.items()), f"{name} = {value}", ""])


def shown(path: str) -> str:
    """The path as problems show it: with the place in each list."""
    parts = path.split(".")
    return ".".join(part + ".0" * (".".join(parts[: i + 1]) in LISTS) for i, part in enumerate(parts))


# Defaults and sources.


def test_with_nothing_at_all_the_defaults_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(environment={})
    assert (config.device.host, config.device.port) == ("127.0.0.1", 5020)
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.topic) == ("localhost", 1883, "amp/inference")
    assert (config.datamap, config.model, config.file, config.password()) == (None, None, None, None)
    assert (config.settings.modbus.unit, config.settings.modbus.interval_s, config.settings.modbus.slave) == (
        1,
        1.0,
        "auto",
    )
    assert {config.source(path) for path in PATHS} == {"default"}


def test_the_file_of_the_directory_is_taken_and_another_one_when_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ampedge.toml").write_text('device = "here"')
    Path("other.toml").write_text('device = "other"')
    assert load_config(environment={}).settings.device == "here"
    assert load_config(Path("other.toml"), environment={}).settings.device == "other"


LEVELS = {
    "device": ("a", "b", "c"),
    "watch_model": (True, False, True),
    "verify_key": ("a.pem", "b.pem", "c.pem"),
    "state_dir": ("/a", "/b", "/c"),
    "modbus.host": ("10.0.0.1", "10.0.0.2", "10.0.0.3"),
    "modbus.port": (1502, 2502, 3502),
    "modbus.interval_s": (2, 0.5, 0.25),
    "modbus.slave": ("external", "embedded", "auto"),
    "modbus.reconnect_settle_s": (2, 0.5, 0),
    "modbus.close_after_poll": (True, False, True),
    "mqtt.port": (1884, 1885, 1886),
    "mqtt.tls": (True, False, True),
    "mqtt.topic": ("file/a", "environment/b", "flag/c"),
    "decision.min_confidence": (0.6, 0.7, 0.8),
    "decision.reasons": (False, True, False),
    "store.commit_s": (10, 20.5, 30),
    "store.max_mb": (10, 20.5, 30),
    "store.keep_days": (10, 20.5, 30),
    "log.format": ("json", "human", "auto"),
    "log.file": ("a.log", "b.log", "c.log"),
    "log.max_mb": (10, 20.5, 30),
    "log.backups": (1, 2, 0),
}


def got(config: Config, path: str) -> Any:
    node: Any = config.settings
    for part in path.split("."):
        node = getattr(node, part)
    return node


@pytest.mark.parametrize("path", LEVELS)
def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(tmp_path: Path, path: str) -> None:
    in_file, in_environment, flag = LEVELS[path]
    text = toml(path, json.dumps(in_file))
    environment = {"AMPEDGE_" + path.upper().replace(".", "__"): str(in_environment)}
    flags = {path: flag}
    default = got(load(tmp_path), path)
    for config, value, source in [
        (load(tmp_path), default, "default"),
        (load(tmp_path, text), in_file, str(tmp_path / "ampedge.toml")),
        (load(tmp_path, text, None, environment), in_environment, "environment"),
        (load(tmp_path, text, flags, environment), flag, "flag"),
        (load(tmp_path, text, {path: None}, environment), in_environment, "environment"),
        (load(tmp_path, "", flags), flag, "flag"),
    ]:
        assert config.source(path) == source
        assert got(config, path) == value


def test_the_environment_of_the_process_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AMPEDGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AMPEDGE_MODBUS__UNIT", "17")
    monkeypatch.setenv("AMPEDGE_TEST_DATA", "/a/folder/of/tests")
    (tmp_path / "x.toml").touch()
    assert load_config(tmp_path / "x.toml").settings.modbus.unit == 17


def test_values_that_others_give_beside_each_other_all_hold(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        '[mqtt]\nhost = "broker"\n[modbus]\nunit = 3\n',
        {"mqtt.port": 8883},
        {"AMPEDGE_MQTT__USERNAME": "edge", "AMPEDGE_MODBUS__PORT": "1502"},
    )
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.username) == ("broker", 8883, "edge")
    assert (config.settings.modbus.unit, config.settings.modbus.port) == (3, 1502)


@pytest.mark.parametrize("empty", ["", "[mqtt]\n", "# nothing\n", "\ufeff", '\ufeffdevice = "device"\n'])
def test_empty_files_empty_sections_and_byte_order_marks(tmp_path: Path, empty: str) -> None:
    config = load(tmp_path, empty, {"mqtt.host": "broker"})
    assert (config.settings.device, config.mqtt.host) == ("device", "broker")


@pytest.mark.parametrize(
    ("modbus", "address"),
    [
        ("", ("127.0.0.1", 5020)),
        ("port = 1502", ("127.0.0.1", 1502)),
        ('host = "192.168.1.75"', ("192.168.1.75", 502)),
        ('host = "plc.local"\nport = 1502', ("plc.local", 1502)),
    ],
)
def test_the_slaves_address(tmp_path: Path, modbus: str, address: tuple[str, int]) -> None:
    device = load(tmp_path, f"[modbus]\n{modbus}\n").device
    assert (device.host, device.port) == address


def test_the_embedded_broker_is_reached_on_loopback_without_mqtt_5(tmp_path: Path) -> None:
    config = load(tmp_path, '[mqtt]\nhost = "embedded"\nport = 1999\n')
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.protocol) == ("127.0.0.1", 1999, "3.1.1")
    assert config.settings.mqtt.host == "embedded"


def test_a_relative_model_is_relative_to_whoever_names_it(tmp_path: Path) -> None:
    text = 'model = "models/pump.ampedge"\n'
    assert load(tmp_path, text).model == str(tmp_path / "models/pump.ampedge")
    assert load(tmp_path, text, {"model": "mine.ampedge"}).model == "mine.ampedge"
    assert load(tmp_path, text, None, {"AMPEDGE_MODEL": "mine.ampedge"}).model == "mine.ampedge"
    absolute = tmp_path / "elsewhere"
    assert load(tmp_path, f"model = '{absolute}'\n").model == str(absolute)


# Mistakes.


def edits(word: str) -> set[str]:
    """One slip of the finger each: a letter left out, doubled, swapped with its neighbour, or replaced."""
    found = {word[:i] + word[i + 1 :] for i in range(len(word))}
    found |= {word[:i] + word[i] + word[i:] for i in range(len(word))}
    found |= {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}
    found |= {word[:i] + "x" + word[i + 1 :] for i in range(len(word))}
    return {edit for edit in found if len(edit) > 2} - {word}


@pytest.mark.parametrize("path", PATHS)
def test_every_key_written_with_one_slip_is_refused_with_did_you_mean(tmp_path: Path, path: str) -> None:
    section, _, name = path.rpartition(".")
    near = {known.rpartition(".")[2] for known in PATHS if known.rpartition(".")[0] == section}
    for wrong in edits(name) - near:
        written = f"{section}.{wrong}".lstrip(".")
        text = toml(written, '"x"')
        number = text.splitlines().index(f'{wrong} = "x"') + 1
        (line,) = [line for line in numbered(tmp_path, text) if "there is no such key" in line]
        start, _, meant = line.partition(": there is no such key; did you mean ")
        assert start == f"{shown(written)} (FILE:{number})"
        assert meant.strip("'?") in {name, *(other for other in near if wrong in edits(other))}


@pytest.mark.parametrize("path", [path for path in PATHS if not path.startswith(("tags.", "devices."))])
def test_every_variable_written_with_one_slip_is_refused_with_did_you_mean(tmp_path: Path, path: str) -> None:
    section, _, name = path.rpartition(".")
    wrong = f"{section}.{name[:-1]}".lstrip(".")
    lines = problems(tmp_path, environment={"AMPEDGE_" + wrong.upper().replace(".", "__"): CANARY})
    needed = [f"{section}.{key} (environment): field required" for key in NEEDED.get(section, ())]
    assert lines == [*needed, f"{wrong} (environment): there is no such key; did you mean {name!r}?"]


def test_an_unknown_section_names_its_source_and_the_nearest(tmp_path: Path) -> None:
    assert problems(tmp_path, "[modbuss]\nhost = 'x'\nport = 1\n") == [
        "modbuss (FILE): there is no such key; did you mean 'modbus'?"
    ]
    (line,) = problems(tmp_path, "colour = 'red'\n")
    assert line == (
        "colour (FILE): there is no such key; known: decision, device, devices, log, modbus, model, mqtt, runtime, "
        "state_dir, store, tags, verify_key, watch_model"
    )


WRONG_TYPES = {
    "str": ["5", "1.5", "true", "[]", "{a = 1}"],
    "bool": ['"true"', '"no"', "1", "0", "[]"],
    "int": ['"5"', "1.5", "true", "[1]"],
    "float": ['"0.5"', "true", "[0.5]", "nan", "inf"],
    "choice": ['"nonsense"', "5", "true"],
    "valid": ["5", '"0-5"', "[0]", "[0, 1, 2]", '["0", "1"]', "[true, 2]", "[0, nan]", "[5, 1]", "[1, 1]"],
    "invalid": ["5", '"0x7FFF"', '["0x7FFF"]', "[1.0]", "[true]", "[-1]", "[0x100000000]"],
    "address": ["1.5", "true", "[]", "-1", "65536", "40001", '"4001"', '"50001"', '""'],
}


def kind(path: str) -> str:
    """What a key wants, as WRONG_TYPES has it."""
    section, name = next((section, name) for key, section, name in keys() if key == path)
    if name in WRONG_TYPES:
        return name
    annotation = section.model_fields[name].annotation
    inner = [part for part in get_args(annotation) if part is not type(None)] or [annotation]
    return {str: "str", SecretStr: "str", bool: "bool", int: "int", float: "float"}.get(inner[0], "choice")


@pytest.mark.parametrize(("path", "value"), [(path, value) for path in PATHS for value in WRONG_TYPES[kind(path)]])
def test_every_key_refuses_a_value_of_another_type_and_says_where(tmp_path: Path, path: str, value: str) -> None:
    whole = shown(path.rpartition(".")[0])  # what is wrong with several keys of a section stands at the section
    for line in problems(tmp_path, toml(path, value)):
        assert line.startswith((f"{shown(path)} (FILE): ", f"{shown(path)}.", f"{whole} (FILE): "))
        assert len(line) < 200


@pytest.mark.parametrize(
    ("path", "low", "high"),
    [
        ("modbus.port", ["0", "-1"], ["65536"]),
        ("modbus.unit", ["-1"], ["256"]),
        ("modbus.interval_s", ["0", "-1.0"], ["86401"]),
        ("modbus.timeout_s", ["0"], ["21"]),
        ("modbus.reconnect_settle_s", ["-1"], ["86401"]),
        ("modbus.settle_ms", ["-1"], ["60001"]),
        ("mqtt.port", ["0"], ["65536"]),
        ("mqtt.heartbeat_s", ["0"], ["86401"]),
        ("decision.min_confidence", ["-0.1"], ["1.1"]),
        ("store.commit_s", ["0"], ["3601"]),
        ("store.max_mb", ["0.5"], ["1000001"]),
        ("store.keep_days", ["0"], ["36501"]),
        ("log.max_mb", ["0"], ["10001"]),
        ("log.backups", ["-1"], ["1001"]),
        ("tags.max_step", ["0", "-1"], []),
        ("tags.expect_change_s", ["0", "-1"], []),
        ("devices.port", ["0"], ["65536"]),
        ("devices.unit", ["-1"], ["256"]),
        ("devices.interval_s", ["0"], ["86401"]),
        ("devices.timeout_s", ["0"], ["21"]),
        ("devices.reconnect_settle_s", ["-1"], ["86401"]),
    ],
)
def test_limits(tmp_path: Path, path: str, low: list[str], high: list[str]) -> None:
    for value in low:
        (line,) = problems(tmp_path, toml(path, value))
        assert "greater than" in line
    for value in high:
        (line,) = problems(tmp_path, toml(path, value))
        assert line.startswith(f"{shown(path)} (FILE): input should be less than")
        assert line.endswith(value)


def test_all_problems_come_at_once_with_path_and_source(tmp_path: Path) -> None:
    text = """
        devise = "pump"
        [modbus]
        hots = "10.0.0.1"
        port = "502"
        [mqtt]
        topic = "amp/#"
        password = "a"
        password_file = "b"
        [[tags]]
        name = "a"
        address = "4001"
        [[tags]]
        name = "b"
        address = 4
        type = "bit"
        scale = 0
        valid = [3, 1]
        invalid = [9]
        [[tags]]
        adress = 0
        """
    lines = problems(
        tmp_path,
        text,
        {"decision.min_confidence": 7, "modbus.slave": None},
        {"AMPEDGE_MODBUS__UNIT": "one", "AMPEDGE_MQTT__QOS": "1", "AMPEDGE_TAGS__NAME": "x"},
    )
    starts = [line.split(": ")[0] for line in lines]
    assert sorted(starts) == sorted(
        [
            "devise (FILE)",
            "modbus.hots (FILE)",
            "modbus.port (FILE)",
            "modbus.unit (environment)",
            "mqtt.topic (FILE)",
            "mqtt.password_file (FILE)",
            "mqtt.qos (environment)",
            "decision.min_confidence (flag)",
            "tags.0.address (FILE)",
            "tags.1 (FILE)",
            "tags.2.name (FILE)",
            "tags.2.address (FILE)",
            "tags.2.adress (FILE)",
            "tags.name (environment)",
        ]
    )
    whole = next(line for line in lines if line.startswith("tags.1"))
    for words in ("holding table", "scale of 0", "valid = [3, 1]", "does not fit bit"):
        assert words in whole


def test_a_section_without_keys_is_not_blamed_for_a_flag(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "[modbus]\n", {"modbus.port": 99999}, {})
    assert line.startswith("modbus.port (flag): ")


@pytest.mark.parametrize("section", ["modbus", "mqtt", "decision", "store", "log"])
def test_a_section_that_is_none_is_told_how_to_write_it(tmp_path: Path, section: str) -> None:
    for text in (f"{section} = 5\n", f"[[{section}]]\n", f'{section} = "x"\n'):
        (line,) = problems(tmp_path, text)
        assert line == f"{section} (FILE): this is a section: write [{section}] and its keys below"


def test_tags_that_are_no_list_are_told_how_to_write_them(tmp_path: Path) -> None:
    for text in ("tags = 5\n", '[tags]\nname = "x"\naddress = 0\n'):
        (line,) = problems(tmp_path, text)
        assert line == "tags (FILE): write [[tags]] and its keys below, once for each of them"
    (line,) = problems(tmp_path, toml("devices.tags", "5"))
    assert line == "devices.0.tags (FILE): write [[devices.tags]] and its keys below, once for each of them"
    for section in ("tags", "devices", "devices.tags"):
        (line,) = problems(tmp_path, toml(section, "[5]"))
        assert line == f"{shown(section)} (FILE): this is a section: write [[{section}]] and its keys below"
    for section in ("modbus.check", "devices.check"):
        (line,) = problems(tmp_path, toml(section, "5"))
        assert line == f"{shown(section)} (FILE): this is a section: write [{section}] and its keys below"


@pytest.mark.parametrize(
    "name",
    ["AMPEDGE_TAGS", "AMPEDGE_TAGS__NAME", "AMPEDGE_TAGS__0__NAME", "AMPEDGE_DEVICES", "AMPEDGE_DEVICES__0__HOST"],
)
@pytest.mark.parametrize("text", ["", TAG])
def test_the_data_map_cannot_come_from_the_environment(tmp_path: Path, name: str, text: str) -> None:
    (line,) = problems(tmp_path, text, None, {name: "x"})
    assert "(environment): " in line
    assert "file" in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[modbus\n", "line 1"),
        (b"a = 1\na = 2\n", "not TOML"),
        ("device = 'x'".encode("utf-16"), "not TOML"),
        (b"device = '\xff'", "not TOML"),
        (b"modbus:\n  host: x\n", "line 1"),
        (b"a = " + b"[" * 5000, "not TOML"),
        (b"a." * 5000 + b"a = 1", "not TOML"),
        (b"mqtt.port = " + b"9" * 5000, "not TOML"),
    ],
)
def test_files_that_are_no_toml_name_the_place(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "ampedge.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(file, environment={})
    assert str(file) in caught.value.problem
    assert words in caught.value.problem
    assert "ampedge init" in caught.value.remedy


def test_a_file_that_is_not_there_or_is_a_directory_is_named(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "missing.toml", "No such file"), (tmp_path, "directory")):
        with pytest.raises(ConfigError, match=words) as caught:
            load_config(path, environment={})
        assert str(path) in caught.value.problem


# Single values.


@pytest.mark.parametrize("host", ["localhost", "plc_1.local", "10.0.0.1", "::1", "fd00::12", "a-b.c.", "embedded"])
def test_hosts(tmp_path: Path, host: str) -> None:
    for section in ("modbus", "mqtt"):
        assert got(load(tmp_path, toml(f"{section}.host", f'"{host}"')), f"{section}.host") == host


@pytest.mark.parametrize(
    "host",
    ["", " ", "a b", "a..b", "-a", "mqtt://x", "x:1883", f"mqtt://edge:{CANARY}@x", "[::1]", "x/y", "ü", "a" * 64, "."],
)
def test_text_that_is_no_host_is_refused_before_any_socket(tmp_path: Path, host: str) -> None:
    for section in ("modbus", "mqtt"):
        (line,) = problems(tmp_path, toml(f"{section}.host", f'"{host}"'))
        assert line.startswith(f"{section}.host (FILE): ")
        assert "IP address" in line
        assert CANARY not in line


@pytest.mark.parametrize("topic", ["amp/inference", "a", "ä/ö ü", "/x/", "a" * 1024])
def test_topics(tmp_path: Path, topic: str) -> None:
    assert load(tmp_path, toml("mqtt.topic", f'"{topic}"')).mqtt.topic == topic


@pytest.mark.parametrize(
    "topic",
    ["", "#", "amp/#", "amp/+/x", "+", "a\\u0000b", "a\\nb", "a\\u007f", "a\\u0085", "a\\uFFFE", "a" * 1025, "ä" * 513],
)
@pytest.mark.parametrize("key", ["topic", "status_topic"])
def test_topics_that_cannot_be_published_to(tmp_path: Path, topic: str, key: str) -> None:
    (line,) = problems(tmp_path, toml(f"mqtt.{key}", f'"{topic}"'))
    assert line.startswith(f"mqtt.{key} (FILE): a topic to publish to")


@pytest.mark.parametrize("key", ["mqtt.client_id", "mqtt.username"])
@pytest.mark.parametrize("text", ["a\\u0000", "a\\u0085b", "a\\uFFFFb", "\\U0001FFFE"])
def test_a_text_that_a_broker_would_hang_up_over_is_refused(tmp_path: Path, key: str, text: str) -> None:
    (line,) = problems(tmp_path, toml(key, f'"{text}"'))
    assert line.startswith(f"{key} (FILE): a text for MQTT has no control character")


def test_what_is_too_long_for_mqtt_is_refused_and_a_password_not_shown(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, toml("mqtt.username", f'"{"u" * 65_536}"'))
    assert "at most 65535 bytes" in line
    (line,) = problems(tmp_path, toml("mqtt.password", f'"{CANARY * 6000}"'))
    assert "at most 65535 bytes" in line
    assert CANARY not in line
    (tmp_path / "secret").write_text(CANARY * 6000)
    config = load(tmp_path, toml("mqtt.password_file", '"secret"'))
    with pytest.raises(ConfigError, match=r"password_file.*at most 65535 bytes"):
        config.password()


@pytest.mark.parametrize("key", ["state_dir", "model", "verify_key", "log.file", "mqtt.password_file"])
def test_a_path_that_holds_a_nul_is_refused(tmp_path: Path, key: str) -> None:
    (line,) = problems(tmp_path, toml(key, '"a\\u0000b"'))
    assert line == f"{key} (FILE): it holds a NUL"


@pytest.mark.parametrize("name", ["a\\u0085", "a\\uFFFE", "a/b", "a+"])
def test_a_device_s_name_goes_into_topics(tmp_path: Path, name: str) -> None:
    (line,) = problems(tmp_path, f'device = "{name}"\n')
    assert line.startswith("device (FILE): a device's name has no")


@pytest.mark.parametrize(
    "text",
    ['topic = "amp/status"', 'topic = "x"\nstatus_topic = "x"', 'topic = "x"\nstatus_topic = "x/event"'],
)
def test_labels_and_states_have_topics_of_their_own(tmp_path: Path, text: str) -> None:
    (line,) = problems(tmp_path, f"[mqtt]\n{text}\n")
    assert "mqtt.status_topic" in line
    assert "of its own" in line
    load(tmp_path, '[mqtt]\ntopic = "amp/status"\nstatus_topic = "amp/alive"\n')


# Tags.


def test_a_tag_with_everything(tmp_path: Path) -> None:
    text = """
        [[tags]]
        name = "oil temperature"
        address = "30101"
        type = "int16"
        word_order = "BADC"
        unit = "°C"
        scale = 0.1
        offset = -40
        valid = [-40, 150]
        invalid = [0x7FFF, 0x8000]
        [[tags]]
        name = "valve"
        address = "co:3"
        type = "bit"
        [[tags]]
        name = "door"
        address = 7
        table = "discrete"
        type = "bit"
        invalid = [1]
        [[tags]]
        name = "flow (l/min) #1 +"
        address = 0
        """
    assert load(tmp_path, text).datamap == DataMap(
        (
            Tag("oil temperature", 100, "input", "int16", "BADC", "°C", 0.1, -40.0, (-40.0, 150.0), (0x7FFF, 0x8000)),
            Tag("valve", 3, "coil", "bit"),
            Tag("door", 7, "discrete", "bit", invalid=(1,)),
            Tag("flow (l/min) #1 +", 0),
        )
    )


@pytest.mark.parametrize("name", ["", " x", "x ", "a\\tb", "a\\u0000", "x" * 65])
def test_names_of_tags_that_cannot_be(tmp_path: Path, name: str) -> None:
    (line,) = problems(tmp_path, toml("tags.name", f'"{name}"'))
    assert line.startswith("tags.0.name (FILE): ")


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ('type = "bit"', "type 'bit' does not go with the holding table"),
        ('table = "coil"', "type 'float32' does not go with the coil table"),
        ('address = "00001"\ntype = "int16"', "type 'int16' does not go with the coil table"),
        ('address = "30001"\ntable = "holding"', "address in 'input'"),
        ("scale = 0", "scale of 0"),
        ("valid = [1, 0]", "valid = [1, 0] is no range"),
        ("valid = [1, 1]", "valid = [1, 1] is no range"),
        ('type = "int16"\ninvalid = [0x10000]', "does not fit int16"),
        ('table = "coil"\ntype = "bit"\ninvalid = [2]', "does not fit bit"),
        ("invalid = [-1]", "does not fit float32"),
    ],
)
def test_tags_that_cannot_be(tmp_path: Path, rest: str, words: str) -> None:
    address = "" if "address" in rest else "address = 0\n"
    (line,) = problems(tmp_path, f'[[tags]]\nname = "x"\n{address}{rest}\n')
    assert line.startswith("tags.0 (FILE): ")
    assert words in line


def test_addresses_without_quotation_marks_are_told_what_they_mean(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, toml("tags.address", "40001"))
    assert line.startswith("tags.0.address (FILE): 40001 as a number")
    assert 'did you mean the text "40001" (wire address 0)' in line


def test_overlapping_and_repeated_tags_are_all_named_beside_other_problems(tmp_path: Path) -> None:
    text = '[[tags]]\nname = "a"\naddress = 0\n[[tags]]\nname = "b"\naddress = 1\n[[tags]]\nname = "a"\naddress = 9\n'
    lines = problems(tmp_path, text, {"mqtt.port": 0})
    assert len(lines) == 2
    assert lines[0] == (
        "tags (FILE): tags 'a' and 'b' overlap at holding 40002 (wire address 1); tag 'a' is named twice"
    )


# What holds for a tag over time.


def test_steps_and_frozen_tags(tmp_path: Path) -> None:
    (tag,) = load(tmp_path, f"{TAG}max_step = 2\nexpect_change_s = 0.5\n").datamap.tags
    assert (tag.max_step, tag.expect_change_s) == (2.0, 0.5)
    (tag,) = load(tmp_path, TAG).datamap.tags
    assert (tag.max_step, tag.expect_change_s) == (None, None)


# Several devices.

TWO = """
[mqtt]
topic = "site/{device}/label"
[modbus]
unit = 7
interval_s = 5
timeout_s = 2
reconnect_settle_s = 9
close_after_poll = true
check = {address = "40100", type = "uint16", value = 42}
[[tags]]
name = "shared"
address = 0
[[devices]]
name = "first"
host = "10.0.0.1"
[[devices]]
name = "second"
host = "10.0.0.2"
port = 1502
unit = 0
interval_s = 0.5
timeout_s = 1.5
reconnect_settle_s = 0
close_after_poll = false
check = {address = 3, table = "input", word_order = "CDAB", value = -1.5}
[[devices.tags]]
name = "own"
address = "30001"
"""


def test_a_device_takes_from_modbus_and_tags_what_it_does_not_give(tmp_path: Path) -> None:
    first, second = load(tmp_path, TWO).devices
    check = Tag("check", 99, type="uint16")
    assert first == Device(
        "first", "10.0.0.1", 502, 7, 5.0, 2.0, 9.0, True, (check, 42.0), DataMap((Tag("shared", 0),))
    )
    check = Tag("check", 3, "input", word_order="CDAB")
    assert second == Device(
        "second", "10.0.0.2", 1502, 0, 0.5, 1.5, 0.0, False, (check, -1.5), DataMap((Tag("own", 0, "input"),))
    )


def test_without_devices_there_is_the_one_of_modbus(tmp_path: Path) -> None:
    text = 'device = "pump"\n[modbus]\nhost = "plc"\nunit = 3\n' + TAG
    config = load(tmp_path, text)
    assert config.devices == (config.device,)
    assert config.device == Device("pump", "plc", 502, 3, 1.0, 3.0, 5.0, False, None, DataMap((Tag("x", 0),)))


@pytest.mark.parametrize(
    ("modbus", "device", "port"),
    [
        ("", "", 502),
        ('host = "plc"', "", 502),
        ("port = 1502", "", 1502),
        ("", "port = 2502", 2502),
        ("port = 1502", "port = 2502", 2502),
    ],
)
def test_the_port_of_a_device(tmp_path: Path, modbus: str, device: str, port: int) -> None:
    text = f'[modbus]\n{modbus}\n[[devices]]\nname = "a"\nhost = "127.0.0.1"\n{device}\n'
    assert load(tmp_path, text).device.port == port


def test_flags_win_over_the_only_device(tmp_path: Path) -> None:
    text = '[[devices]]\nname = "a"\nhost = "10.0.0.1"\nport = 1502\nunit = 4\ninterval_s = 9\n'
    device = load(tmp_path, text, {"modbus.host": "10.0.0.9", "modbus.unit": 5}).device
    assert (device.host, device.port, device.unit, device.interval_s) == ("10.0.0.9", 1502, 5, 9)
    device = load(tmp_path, text, {"modbus.port": 99, "modbus.interval_s": 2.0}).device
    assert (device.host, device.port, device.unit, device.interval_s) == ("10.0.0.1", 99, 4, 2)
    # A variable is the default of all devices, as the file's [modbus] is.
    device = load(tmp_path, text, None, {"AMPEDGE_MODBUS__UNIT": "6", "AMPEDGE_MODBUS__TIMEOUT_S": "7"}).device
    assert (device.unit, device.timeout_s) == (4, 7)


@pytest.mark.parametrize(
    "flags", [{"modbus.host": "x"}, {"modbus.port": 1}, {"modbus.unit": 1}, {"modbus.interval_s": 1.0}]
)
def test_flags_for_one_slave_are_refused_where_there_are_several(tmp_path: Path, flags: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"several devices \(first, second\)") as caught:
        load(tmp_path, TWO, flags)
    assert caught.value.problem.startswith(f"{next(iter(flags))} (flag)")
    assert load(tmp_path, TWO, {"mqtt.port": 1885}).mqtt.port == 1885
    file = tmp_path / "ampedge.toml"
    assert load_config(file, flags, {}, device="second").device.name == "second"


def test_one_of_several_devices_by_name(tmp_path: Path) -> None:
    config = load(tmp_path, TWO)
    with pytest.raises(UsageError, match="first, second") as caught:
        _ = config.device
    assert "--device" in caught.value.remedy
    assert config.datamap == DataMap((Tag("shared", 0),))

    second = load_config(tmp_path / "ampedge.toml", environment={}, device="second")
    assert second.device == config.devices[1]
    assert second.devices == (second.device,)
    with pytest.raises(ConfigError, match=r"no device 'secnd' in the config; did you mean 'second'\?"):
        load_config(tmp_path / "ampedge.toml", environment={}, device="secnd")
    with pytest.raises(ConfigError, match="it has: first, second"):
        load_config(tmp_path / "ampedge.toml", environment={}, device="zzz")


def test_the_only_device_by_name(tmp_path: Path) -> None:
    file = tmp_path / "ampedge.toml"
    file.write_text('device = "pump"\n')
    assert load_config(file, environment={}, device="pump").device.name == "pump"
    with pytest.raises(ConfigError, match="it has: pump"):
        load_config(file, environment={}, device="fan")


def test_without_shared_tags_the_map_is_that_of_the_first_device(tmp_path: Path) -> None:
    config = load(tmp_path, toml("devices.tags.unit", '"V"'))
    assert config.datamap == config.device.datamap == DataMap((Tag("x", 0, unit="V"),))


@pytest.mark.parametrize(
    "name", ["", "a/b", "#", "a+", "a{b", "}", "{device}", "a\\u0000", "a\\nb", "a\\u007f", "x" * 65]
)
@pytest.mark.parametrize("key", ["device", "devices.name"])
def test_names_of_devices_that_cannot_be_part_of_a_topic(tmp_path: Path, key: str, name: str) -> None:
    (line,) = problems(tmp_path, toml(key, f'"{name}"'))
    assert line.startswith(f"{shown(key)} (FILE): ")


def test_two_devices_of_one_name(tmp_path: Path) -> None:
    lines = numbered(tmp_path, TWO.replace('"second"', '"first"'))
    assert lines == ["devices (FILE): two devices are named 'first'"]


def test_several_devices_need_topics_of_their_own(tmp_path: Path) -> None:
    one = toml("devices.port", "502")
    load(tmp_path, one)
    (line,) = problems(tmp_path, one + one.replace('"x"', '"y"'))
    assert line.startswith("mqtt (default): several devices need own topics")
    assert "{device}" in line
    load(tmp_path, one + one.replace('"x"', '"y"') + '[mqtt]\ntopic = "{device}"\n')


@pytest.mark.parametrize("topic", ["{devise}", "a/{}", "{device", "device}", "{{device}}", "{Device}/x"])
def test_placeholders_that_there_are_not(tmp_path: Path, topic: str) -> None:
    (line,) = problems(tmp_path, toml("mqtt.topic", f'"{topic}"'))
    assert line.startswith("mqtt.topic (FILE): ")
    assert line.endswith("is no placeholder; there is {device}")


def test_the_status_of_the_service_has_no_placeholder(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, '[mqtt]\nstatus_topic = "x/{device}"\n')
    assert line == "mqtt.status_topic (FILE): the service has one status, so its topic has no placeholder"


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ('[mqtt]\ntopic = "amp/{device}"\n[[devices]]\nname = "status"\nhost = "a"\n', "amp/status"),
        ('device = "pump"\n[mqtt]\ntopic = "amp/pump"\nstatus_topic = "amp"\n', "amp/pump"),
    ],
)
def test_no_device_publishes_to_a_topic_of_online_and_offline(tmp_path: Path, text: str, topic: str) -> None:
    (line,) = problems(tmp_path, text)
    assert line.startswith("mqtt (FILE): what device ")
    assert f"would go to {topic}, a topic of online and offline" in line


def test_tags_of_a_device_that_overlap_are_named(tmp_path: Path) -> None:
    text = toml("devices.tags.address", "1") + '[[devices.tags]]\nname = "y"\naddress = 2\n'
    (line,) = numbered(tmp_path, text)
    assert line.startswith("devices.0.tags (FILE:1): tags 'x' and 'y' overlap at holding 40003")


def test_serve_hosts_no_slave_beside_several_devices(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, toml("devices.port", "502") + '[modbus]\nslave = "embedded"\n')
    assert line.startswith("devices (FILE): serve hosts a slave for one device only")


# A register with a known content.


@pytest.mark.parametrize("section", ["modbus.check", "devices.check"])
def test_checks_that_cannot_be(tmp_path: Path, section: str) -> None:
    for key, value, words in (
        ("address", '"4001"', "is no address"),
        ("address", "70000", "outside 0 to 65535"),
        ("type", '"bit"', "does not go with the holding table"),
        ("table", '"coil"', "does not go with the coil table"),
    ):
        (line,) = problems(tmp_path, toml(f"{section}.{key}", value))
        assert line.startswith(f"{shown(section)} (FILE): ") or line.startswith(f"{shown(section)}.{key} (FILE): ")
        assert words in line
    (line,) = problems(tmp_path, toml(f"{section}.value", '"x"'))
    assert line.startswith(f"{shown(section)}.value (FILE): ")


def test_a_check_from_the_environment(tmp_path: Path) -> None:
    environment = {"AMPEDGE_MODBUS__CHECK__ADDRESS": "hr:5", "AMPEDGE_MODBUS__CHECK__VALUE": "1.5"}
    assert load(tmp_path, "", None, environment).device.check == (Tag("check", 5), 1.5)
    for text, check in (("0", Tag("check", 0)), ("40001", Tag("check", 0)), ("30011", Tag("check", 10, "input"))):
        given = {**environment, "AMPEDGE_MODBUS__CHECK__ADDRESS": text}
        assert load(tmp_path, "", None, given).device.check == (check, 1.5)
    assert load(tmp_path, toml("modbus.check.type", '"int16"'), None, environment).device.check == (
        Tag("check", 5, type="int16"),
        1.5,
    )


# Where things are.


def test_the_place_of_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert load(tmp_path).state_dir == Path("ampedge-state")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/ampedge")
    assert load(tmp_path).state_dir == Path("/var/lib/ampedge")
    assert load(tmp_path, 'state_dir = "state"\n').state_dir == tmp_path / "state"
    assert load(tmp_path, 'state_dir = "/srv/state"\n').state_dir == Path("/srv/state")
    assert load(tmp_path, "", None, {"AMPEDGE_STATE_DIR": "here"}).state_dir == Path("here")


def test_relative_paths_in_the_file_are_relative_to_the_file(tmp_path: Path) -> None:
    text = """
        verify_key = "keys/model.pem"
        [mqtt]
        tls = true
        ca_file = "ca.pem"
        cert_file = "/etc/ampedge/cert.pem"
        key_file = "key.pem"
        [log]
        file = "log/ampedge.log"
        """
    config = load(tmp_path, text, None, {"AMPEDGE_MQTT__KEY_FILE": "mine.pem"})
    assert (config.mqtt.ca_file, config.mqtt.cert_file, config.mqtt.key_file) == (
        str(tmp_path / "ca.pem"),
        "/etc/ampedge/cert.pem",
        "mine.pem",
    )
    settings = config.settings
    assert config.path("verify_key", settings.verify_key) == str(tmp_path / "keys/model.pem")
    assert config.path("log.file", settings.log.file) == str(tmp_path / "log/ampedge.log")
    assert config.path("log.file", None) is None


# TLS.


def test_tls_has_its_own_port_unless_one_is_given(tmp_path: Path) -> None:
    assert load(tmp_path, "[mqtt]\ntls = true\n").mqtt.port == 8883
    assert load(tmp_path, "[mqtt]\ntls = true\nport = 1885\n").mqtt.port == 1885
    assert load(tmp_path, "[mqtt]\ntls = true\n", {"mqtt.port": 1886}).mqtt.port == 1886
    assert load(tmp_path, "[mqtt]\ntls = false\n").mqtt.port == 1883
    for text in ("true", "TRUE", "True"):
        assert load(tmp_path, "", None, {"AMPEDGE_MQTT__TLS": text}).mqtt.port == 8883
    (line,) = problems(tmp_path, "", None, {"AMPEDGE_MQTT__TLS": "yes"})
    assert line == "mqtt.tls (environment): input should be a valid boolean, not 'yes'"


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_a_key_of_tls_without_tls_is_refused(tmp_path: Path, key: str) -> None:
    (line,) = problems(tmp_path, toml(f"mqtt.{key}", '"x.pem"'))
    assert line == f"mqtt.{key} (FILE): this says nothing without tls = true"


def test_a_private_key_goes_with_its_certificate(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, '[mqtt]\ntls = true\nkey_file = "x.pem"\n')
    assert line == "mqtt.key_file (FILE): a key says nothing without its cert_file"
    assert load(tmp_path, '[mqtt]\ntls = true\ncert_file = "x.pem"\n').mqtt.key_file is None


def test_the_embedded_broker_has_no_tls(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, '[mqtt]\nhost = "embedded"\ntls = true\n')
    assert line == "mqtt.tls (FILE): the broker inside serve is for trying and has no TLS"


# Secrets.


def test_the_password_comes_from_the_file_the_environment_or_a_file_of_its_own(tmp_path: Path) -> None:
    assert load(tmp_path, f'[mqtt]\npassword = "{CANARY}"\n').password() == CANARY
    assert load(tmp_path, "", None, {"AMPEDGE_MQTT__PASSWORD": CANARY}).password() == CANARY
    text = '[mqtt]\npassword_file = "secret.txt"\n'
    for content in (CANARY, f"{CANARY}\n", f"{CANARY}\r\nmore\n", f"\ufeff{CANARY}\r\n"):
        (tmp_path / "secret.txt").write_bytes(content.encode())
        assert load(tmp_path, text).password() == CANARY


def test_a_password_file_is_relative_to_whoever_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (tmp_path / "secret").write_text("beside the config")
    (here / "secret").write_text("here")
    monkeypatch.chdir(here)
    assert load(tmp_path, '[mqtt]\npassword_file = "secret"\n').password() == "beside the config"
    assert load(tmp_path, "", None, {"AMPEDGE_MQTT__PASSWORD_FILE": "secret"}).password() == "here"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe\x00", b"\xef\xbb\xbf\n"])
def test_a_password_file_that_cannot_be_used_is_named_and_nothing_of_it(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    config = load(tmp_path, '[mqtt]\npassword_file = "secret"\n')
    with pytest.raises(ConfigError, match=r"mqtt\.password_file") as caught:
        config.password()
    assert str(tmp_path / "secret") in caught.value.problem


def test_files_with_a_secret_that_others_may_read_are_named(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("secret", "client.key", "client.pem", "ca.pem")}
    for file in files.values():
        file.write_text("x")
    text = '[mqtt]\ntls = true\nca_file = "ca.pem"\ncert_file = "client.pem"\n'

    def exposed(text: str) -> tuple[Path, ...]:
        return load(tmp_path, text).exposed

    for mode, is_exposed in (
        (0o644, True),
        (0o640, False),
        (0o604, True),
        (0o620, True),
        (0o600, False),
        (0o400, False),
    ):
        for file in files.values():
            file.chmod(mode)
        secret, key = files["secret"], files["client.key"]
        found = exposed(f'{text}key_file = "client.key"\npassword_file = "secret"\n')
        assert found == ((secret, key) if is_exposed else ())
        assert exposed(text) == ((files["client.pem"],) if is_exposed else ())  # the key is in it
    assert exposed("[mqtt]\npassword_file = 'missing'\n") == ()


def test_a_config_with_a_password_that_others_may_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ampedge.toml"
    text = f'[mqtt]\npassword = "{CANARY}"\n'
    for mode, exposed in ((0o644, (file,)), (0o600, ())):
        file.touch()
        file.chmod(mode)
        assert load(tmp_path, text).exposed == exposed
    file.chmod(0o644)
    assert load(tmp_path).exposed == ()
    assert load(tmp_path, "", None, {"AMPEDGE_MQTT__PASSWORD": CANARY}).exposed == ()


def test_no_secret_shows_in_what_is_printed(tmp_path: Path) -> None:
    config = load(tmp_path, f'[mqtt]\nusername = "edge"\npassword = "{CANARY}"\n')
    (tmp_path / "secret").write_text(CANARY)
    with_file = load(tmp_path, '[mqtt]\npassword_file = "secret"\n')
    for shown in (config, config.settings, config.mqtt, config.sources, with_file, with_file.mqtt):
        assert CANARY not in repr(shown)
        assert CANARY not in str(shown)
    assert CANARY not in config.settings.model_dump_json()


@pytest.mark.parametrize(
    "text",
    [
        f'[mqtt]\npassword = "{CANARY}"\nport = "x"\n',
        f'[mqtt]\npassword = "{CANARY}"\npassword_file = "x"\n',
        f'[mqtt]\npassword = ["{CANARY}"]\n',
        f'[mqtt]\npassword = {{value = "{CANARY}"}}\n',
        f'[mqtt]\npasword = "{CANARY}"\n',
        f'[[mqtt]]\npassword = "{CANARY}"\n',
        f'mqtt = ["{CANARY}"]\n',
        f'mqtt = "mqtt://edge:{CANARY}@broker"\n',
        f'[mqtt]\nhost = "edge:{CANARY}@broker"\n',
        f'[mqtt]\nhost = {{password = "{CANARY}"}}\n',
        f'password = "{CANARY}"\n',
        f'[modbus]\nhost = {{password = "{CANARY}"}}\n',
        f'tags = [["{CANARY}"]]\n',
    ],
)
def test_no_secret_shows_in_an_error_or_its_traceback(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    shown = "".join(traceback.format_exception(caught.value)) + caught.value.problem + repr(caught.value)
    assert CANARY not in shown


def test_a_password_of_digits_without_quotation_marks_does_not_show(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "[mqtt]\npassword = 271828\n")
    assert line == "mqtt.password (FILE): input should be a valid string"


def test_a_secret_in_a_wrong_variable_does_not_show(tmp_path: Path) -> None:
    for name in ("AMPEDGE_PASSWORD", "AMPEDGE_MQTT", "AMPEDGE_MQTT__PASS", "AMPEDGE_TAGS"):
        assert CANARY not in "\n".join(problems(tmp_path, environment={name: CANARY}))


def test_a_unit_that_would_steer_a_terminal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a unit has no control character"):
        load(tmp_path, '[[tags]]\nname = "a"\naddress = 0\nunit = "\\u001b[31m"\n')


def test_a_long_value_is_cut_in_its_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f'device = "{"x" * 5000}"\n')
    assert len(caught.value.problem) < 250


def test_once_read_the_password_is_in_no_log_line(tmp_path: Path) -> None:
    lines: list[str] = []
    config = load(tmp_path, '[mqtt]\nusername = "pi"\npassword = "plain-to-see"\n')
    assert config.password() == "plain-to-see"
    log.set_up(lines.append)
    log.logger.warning("The broker said plain-to-see.")
    log.close()
    assert lines
    assert "plain-to-see" not in lines[0]


@pytest.mark.timeout(20)
def test_a_pipe_is_no_password_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="no first line"):
        load(tmp_path, '[mqtt]\npassword_file = "pipe"\n').password()
