"""How fast `ampedge` starts, how much memory `serve` takes, and how large the base install is.

Start to first label: `ampedge serve` from its start to its first message at the broker, beside a bare script
that imports the same libraries, asks the slave once and publishes once.
Help: `ampedge --help` beside a Typer stub of as many commands.
Both are run in turn, so that the ratio holds on a noisy machine.
"""

import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt

from ampedge.cli.app import app
from tests.benchmarks.parts import COMPILED, HOST, Parts

RUNS = 15
BARE = """
import rich, typer, numpy
from pydantic import BaseModel  # the package alone loads nothing of it
import paho.mqtt.client as mqtt
from pyModbusTCP.client import ModbusClient
words = ModbusClient("127.0.0.1", {slave}, auto_open=True).read_holding_registers(0, 10)
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.connect("127.0.0.1", {broker})
client.loop_start()
client.publish("{topic}", str(words[0])).wait_for_publish()
"""
STUB = """
import typer
app = typer.Typer(no_args_is_help=True)
{commands}
app(["--help"])
"""
COMMAND = '@app.command()\ndef {name}(value: str = typer.Option("", help="A value.")):\n    "What it does."\n'
HEAVY = ("tensorflow", "keras", "pandas", "sklearn", "scipy", "matplotlib", "joblib")


def first_label_s(parts: Parts, command: list[str], topic: str) -> tuple[float, "subprocess.Popen[bytes]"]:
    """Seconds from the start of a command to its first message on a topic, and the process."""
    arrived = threading.Event()
    ready = threading.Event()
    watcher = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    watcher.on_subscribe = lambda *_: ready.set()
    watcher.on_message = lambda *_: arrived.set()
    watcher.connect(HOST, parts.broker_port)
    watcher.subscribe(topic)
    watcher.loop_start()
    ready.wait(5)
    begun_s = time.perf_counter()
    process = parts.start(*command)
    assert arrived.wait(20), f"no message from {command}"
    seconds = time.perf_counter() - begun_s
    watcher.disconnect()
    watcher.loop_stop()
    return seconds, process


def run_s(*command: str) -> float:
    """Seconds that a command takes."""
    begun_s = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, env=COMPILED, check=True)
    return time.perf_counter() - begun_s


def status(pid: int, key: str) -> str:
    """One line of what the operating system says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith(key)).split(":")[1].strip()


def print_ratio(what: str, ours: list[float], bare: list[float], promise: float) -> None:
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    ours_ms, bare_ms = statistics.median(ours) * 1000, statistics.median(bare) * 1000
    print(f"{what}: {ours_ms:.0f} ms, bare {bare_ms:.0f} ms, ratio {ratio:.2f} (promised: at most {promise})")


def main() -> None:
    ours, bare = [], []
    with Parts() as parts:
        script = BARE.format(slave=parts.slave_port, broker=parts.broker_port, topic="bare")
        serve = [sys.executable, "-m", "ampedge", "serve", "--host", HOST, "--port", str(parts.slave_port)]
        serve += ["--broker", f"{HOST}:{parts.broker_port}", "--model", str(parts.bundle.path)]
        for run in range(RUNS + 1):
            serve_s, process = first_label_s(parts, serve, "amp/inference")
            bare_s, _ = first_label_s(parts, [sys.executable, "-c", script], "bare")
            if run:  # the first of each fills the caches
                ours.append(serve_s)
                bare.append(bare_s)
            if run == RUNS:
                time.sleep(2)
                resident_mb = int(status(process.pid, "VmHWM").split()[0]) / 1024
                mapped = Path(f"/proc/{process.pid}/maps").read_text()
            parts.stop(process)
    print_ratio("serve, start to first label", ours, bare, 1.6)
    print(f"serve, peak resident: {resident_mb:.1f} MiB (promised: at most 70 MB)")
    found = [name for name in HEAVY if f"/{name}/" in mapped]
    print(f"serve, heavy libraries mapped: {', '.join(found) or 'none'} (promised: none)")

    names = [f"command{i}" for i in range(len(app.registered_commands))]
    stub = STUB.format(commands="\n".join(COMMAND.format(name=name) for name in names))
    ours, bare = [], []
    for run in range(RUNS + 1):
        pair = run_s(sys.executable, "-m", "ampedge", "--help"), run_s(sys.executable, "-c", stub)
        if run:
            ours.append(pair[0])
            bare.append(pair[1])
    print_ratio("ampedge --help", ours, bare, 1.5)


if __name__ == "__main__":
    main()
