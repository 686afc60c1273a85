"""The published clients, written anew from their description, against our service: nobody changes their wiring."""

import csv
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ampedge.samples import SAMPLES, shipped
from tests.support.mosquitto import Mosquitto
from tests.support.serving import Serve
from tests.support.waiting import wait_until

MONITOR = """
import sys
import paho.mqtt.client as mqtt

def on_connect(client, userdata, flags, reason, properties):
    client.subscribe("amp/inference")

def on_subscribe(*_):
    print("subscribed", flush=True)

def on_message(client, userdata, message):
    print("[INFERENCE]", message.payload.decode(), flush=True)

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
client.connect("127.0.0.1", int(sys.argv[1]), 60)
client.loop_forever()
"""

MASTER = """
import sys
from pyModbusTCP.client import ModbusClient

client = ModbusClient(host="127.0.0.1", port=int(sys.argv[1]), unit_id=1, auto_open=True)
for line in sys.stdin:
    words = [int(word) for word in line.split()]
    assert client.write_multiple_registers(0, words + [0, 0]), client.last_error_as_txt
    print("written", flush=True)
"""

READER = """
import struct
import sys
from pyModbusTCP.client import ModbusClient

client = ModbusClient(host="127.0.0.1", port=int(sys.argv[1]), unit_id=1, auto_open=True)
for address in (0, 2, 4, 6, 8):
    high, low = client.read_holding_registers(address, 2)
    print(struct.unpack(">f", struct.pack(">HH", high, low))[0])
"""


def published_rows() -> list[tuple[str, str, list[float]]]:
    """(label, register words, values) of the published sample file."""
    with shipped(SAMPLES).open(newline="") as file:
        return [
            (
                row["status"],
                " ".join(re.findall(r"\d+", " ".join(cell for name, cell in row.items() if "[reg" in name))),
                [float(cell) for name, cell in row.items() if name.endswith("(float)")],
            )
            for row in csv.DictReader(file)
        ]


def test_published_monitor_and_master_work_with_our_service(tmp_path: Path, mosquitto: Mosquitto) -> None:
    label, words, values = published_rows()[0]
    heard: list[str] = []
    with Serve(tmp_path, broker=mosquitto.port) as serve:
        monitor = subprocess.Popen(
            [sys.executable, "-c", MONITOR, str(mosquitto.port)], stdout=subprocess.PIPE, text=True
        )
        assert monitor.stdout is not None
        lines = monitor.stdout
        listening = threading.Thread(target=lambda: heard.extend(line.strip() for line in lines))
        try:
            listening.start()
            wait_until(lambda: "subscribed" in heard, what="the published monitor to subscribe")
            subprocess.run(
                [sys.executable, "-c", MASTER, str(serve.port)], input=words, text=True, check=True, timeout=20
            )
            wait_until(lambda: f"[INFERENCE] {label}" in heard, what=f"[INFERENCE] {label}")
            read = subprocess.run(
                [sys.executable, "-c", READER, str(serve.port)], capture_output=True, text=True, check=True, timeout=20
            )
        finally:
            monitor.kill()
            monitor.wait()
            listening.join()
            lines.close()
    assert [float(line) for line in read.stdout.split()] == pytest.approx(values, rel=1e-6)
    assert set(heard) <= {"subscribed", "[INFERENCE] unknown", f"[INFERENCE] {label}"}
