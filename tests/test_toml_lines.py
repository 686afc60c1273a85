"""Where a key stands in a TOML file, told without a parser's help."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from ampedge.config import load_config
from ampedge.samples import CONFIG, shipped
from ampedge.toml_lines import Place, lines, nearest

TEXT = '''\
device = "x"            # 1
  modbus . port = 1     # 2
[ mqtt ]                # 3
"topic" = "a"           # 4
note = """
port = 5
[tags]
"""
'user' = 'b'            # 9
ca_file = 'a"""b'       # 10
[[tags]]                # 11
name = "a"
valid = [
  0,
  1,
]
[[tags]]                # 17
[[devices]]             # 18
check = {address = 0, value = 1}
[[devices]]             # 20
[[devices.tags]]        # 21
[[devices.tags]]        # 22
name = "b"
[devices.check]         # 24
value = 1
[store]                 # 26
'''


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("device",), 1),
        (("modbus", "port"), 2),
        (("mqtt",), 3),
        (("mqtt", "topic"), 4),
        (("mqtt", "port"), None),
        (("mqtt", "user"), 9),
        (("mqtt", "ca_file"), 10),
        (("tags", 0), 11),
        (("tags", 0, "valid"), 13),
        (("tags", 1), 17),
        (("tags",), None),
        (("devices", 0, "check"), 19),
        (("devices", 0, "check", "value"), None),
        (("devices", 1), 20),
        (("devices", 1, "tags", 0), 21),
        (("devices", 1, "tags", 1, "name"), 23),
        (("devices", 1, "check", "value"), 25),
        (("store",), 26),
    ],
)
def test_lines(place: Place, line: int | None) -> None:
    assert lines(TEXT).get(place) == line


def test_a_place_without_a_line_gets_that_of_what_it_stands_in() -> None:
    found = lines(TEXT)
    assert nearest(found, ("devices", 0, "check", "value")) == 19
    assert nearest(found, ("tags", 1, "name")) == 17
    assert nearest(found, ("nothing", 0)) is None


def test_every_key_of_the_sample_has_its_line() -> None:
    text = shipped(CONFIG).read_text("utf-8")
    found, written = lines(text), text.splitlines()

    def places(node: Any, above: Place = ()) -> Iterator[Place]:
        inner = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in inner:
            yield (*above, key)
            if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
                yield from places(value, (*above, key))

    for place in places(tomllib.loads(text)):
        if place != ("tags",):
            assert str(place[-1]) in written[found[place] - 1] or written[found[place] - 1] == "[[tags]]"
    assert load_config(shipped(CONFIG), environment={}).file
