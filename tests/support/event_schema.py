"""The published JSON schema of an event, and a check of payloads against it."""

import json
from pathlib import Path
from typing import Any

import jsonschema

PATH = Path(__file__).resolve().parents[2] / "docs" / "event.schema.json"
SCHEMA = json.loads(PATH.read_text("utf-8"))
_VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def valid_event(payload: bytes | str) -> dict[str, Any]:
    """The event in a payload; fails the test, saying where, if it does not follow the schema."""
    event = json.loads(payload, parse_constant=_no_constant)
    problems = [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in _VALIDATOR.iter_errors(event)]
    assert problems == []
    return event


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")
