"""The sample config is a real file: it loads, it has every key, and what it calls a default is the default."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from ampedge.amplifier import datamap
from ampedge.config import load_config
from ampedge.datamap import Tag
from ampedge.settings import keys

SAMPLE = Path(__file__).parent.parent / "examples" / "ampedge.toml"
SECTION = re.compile(r"(?:# )?\[+([\w.]+)\]+")
KEY = re.compile(r"(?P<out># )?(?P<name>[a-z_]+) = (?P<value>.+)")


def shown() -> dict[str, tuple[str, bool]]:
    """Every key with the first value that the file shows for it, and whether it is commented out."""
    found: dict[str, tuple[str, bool]] = {}
    section = ""
    for line in SAMPLE.read_text("utf-8").splitlines():
        if match := SECTION.fullmatch(line):
            section = match[1] + "."
        elif match := KEY.fullmatch(line):
            found.setdefault(section + match["name"], (match["value"], match["out"] is not None))
    return found


def test_it_is_the_amplifiers_data_map():
    config = load_config(SAMPLE, environment={})
    assert config.datamap == datamap()
    assert config.settings.device == "amplifier"


ELSEWHERE = {
    f"devices.{section}.{name}"
    for section, names in (
        ("check", ["table", "type", "word_order"]),
        ("tags", [path.removeprefix("tags.") for path, *_ in keys() if path.startswith("tags.")][2:]),
    )
    for name in names
}
"""Keys of a device's own sections that the file explains at the shared ones."""


def test_it_has_every_key_and_no_other():
    assert sorted(shown()) == sorted({path for path, *_ in keys()} - ELSEWHERE)


@pytest.mark.parametrize("path", [path for path, *_ in keys() if path not in ELSEWHERE])
def test_what_is_commented_out_is_the_default(path):
    section, field = next((section, field) for key, section, field in keys() if key == path)
    value, out = shown()[path]
    default = section.model_fields[field].default
    if out and default is not None and default is not PydanticUndefined:
        assert tomllib.loads(f"x = {value}")["x"] == (list(default) if default == () else default)


def test_every_line_can_be_uncommented(tmp_path):
    text = re.sub(r"^# (?=[a-z_]+ = |\[)", "", SAMPLE.read_text("utf-8"), flags=re.MULTILINE)
    text = text.replace('password = "secret"\n', "").replace("tls = false", "tls = true")
    file = tmp_path / "ampedge.toml"
    file.write_text(text, "utf-8")
    config = load_config(file, environment={})
    assert (config.device.name, config.device.host, config.device.port) == ("pump-1", "192.168.1.81", 502)
    assert config.device.datamap.names == ("flow",)
    assert config.device.check == (Tag("check", 100), 123.456)
    assert (config.settings.modbus.host, config.settings.modbus.check.word_order) == ("192.168.1.75", "ABCD")
    assert config.settings.tags[0].word_order == "ABCD"
    assert config.settings.tags[0].max_step == 100
