"""The wine example, run as its page says: real measurements from a CSV to labels on MQTT."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import run_cli, start_cli
from tests.support.event_schema import valid_event
from tests.support.mosquitto import Mosquitto, MosquittoSub, free_port
from tests.support.reference import ROOT
from tests.support.waiting import wait_until

EXAMPLE = ROOT / "examples" / "wine"
HELD_OUT = 27


def shown(word: str) -> list[str]:
    """The arguments of the one command in a code block of the page that begins with `word`."""
    blocks = re.findall(r"^```\n(.+)\n```$", (EXAMPLE / "README.md").read_text("utf-8"), re.MULTILINE)
    (command,) = [block for block in blocks if f"{block} ".startswith(f"{word} ")]
    return shlex.split(command)


@pytest.mark.slow
def test_from_csv_to_labels_on_mqtt(tmp_path: Path, mosquitto: Mosquitto) -> None:
    place = shutil.copytree(EXAMPLE, tmp_path / "wine")
    environment = {"AMPEDGE_MODBUS__PORT": str(free_port()), "AMPEDGE_MQTT__PORT": str(mosquitto.port)}

    subprocess.run([sys.executable, *shown("python")[1:]], cwd=place, check=True, timeout=60)
    trained = run_cli(*shown("ampedge train")[1:], cwd=place, timeout_s=120)
    assert trained.returncode == 0, trained.stderr
    assert json.loads((place / "model" / "metrics.json").read_text())["test"]["macro_f1"] >= 0.9

    serve = [word for word in shown("ampedge serve")[1:] if word not in ("--broker", "embedded")]
    with MosquittoSub(mosquitto.port, "wine/#") as subscriber:
        with start_cli(*serve, cwd=place, env=environment) as service:
            wait_until(lambda: "online" in subscriber.on("wine/status/wine"), what="the service to be online")
            checked = run_cli(*shown("ampedge simulate")[1:], cwd=place, env=environment)
            service.send_signal(signal.SIGINT)
            service.communicate(timeout=10)
        assert service.returncode == 0
        wait_until(lambda: subscriber.on("wine/status")[-1] == "offline", what="the service to be offline")

    assert checked.returncode == 0, checked.stdout + checked.stderr
    events = [valid_event(payload) for payload in subscriber.on("wine/inference/event")]
    assert [event["label"] for event in events] == subscriber.on("wine/inference")
    asked = [event for event in events if event["quality"] != "bad"]  # odd combinations among them
    assert len(asked) >= HELD_OUT
    assert {event["class"] for event in asked} == {"class_0", "class_1", "class_2"}
    assert all(len(event["values"]) == 13 for event in events)
