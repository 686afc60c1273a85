"""The sample config is a real file: it loads, it has every key, and what it calls a default is the default."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

from ampedge.amplifier import datamap
from ampedge.config import load_config
from ampedge.settings import keys

SAMPLE = Path(__file__).parent.parent / "examples" / "ampedge.toml"
SECTION = re.compile(r"\[+(\w+)\]+")
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


def test_it_has_every_key_and_no_other():
    assert sorted(shown()) == sorted(path for path, *_ in keys())


@pytest.mark.parametrize("path", [path for path, *_ in keys()])
def test_what_is_commented_out_is_the_default(path):
    section, field = next((section, field) for key, section, field in keys() if key == path)
    value, out = shown()[path]
    default = section.model_fields[field].default
    if out and default is not None and default is not PydanticUndefined:
        assert tomllib.loads(f"x = {value}")["x"] == (list(default) if default == () else default)


def test_every_line_can_be_uncommented(tmp_path):
    lines = SAMPLE.read_text("utf-8").splitlines()
    text = "\n".join(re.sub(r"^# (?=[a-z_]+ = )", "", line) for line in lines if not line.startswith("# password = "))
    file = tmp_path / "ampedge.toml"
    file.write_text(text, "utf-8")
    config = load_config(file, environment={})
    assert (config.device.host, config.device.port) == ("192.168.1.75", 502)
    assert config.settings.tags[0].word_order == "ABCD"
