"""What one serve cycle costs, beside a C loop and beside the loop of the published service.

A cycle is one block read, decode, quality, inference, decision, the label and the event published.
`ampedge serve` runs as a user runs it, with an interval so short that it never waits; its cycles are counted
from the sequence numbers of two events, its CPU time is the operating system's.
Then the C loop (libmodbus, libmosquitto) and the published loop run against the same slave and broker.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.parts import Parts, cpu_s

HERE = Path(__file__).parent
ROUNDS = 5
SERVE_S = 3.0
C_CYCLES = 20_000
PUBLISHED_CYCLES = 60


def event(port: int) -> tuple[float, int, bytes]:
    """(time, sequence number, payload) of the next event."""
    command = ["mosquitto_sub", "-p", str(port), "-t", "amp/inference/event", "-C", "1"]
    payload = subprocess.run(command, capture_output=True, check=True, timeout=20).stdout.strip()
    return time.monotonic(), json.loads(payload)["sequence"], payload


def serve_us(parts: Parts) -> tuple[float, float, bytes]:
    """(wall us, CPU us, an event) of a cycle of `ampedge serve`."""
    service = parts.serve("--interval", "0.00001")
    event(parts.broker_port)
    begun_s, first, _ = event(parts.broker_port)
    begun_cpu_s = cpu_s(service.pid)
    time.sleep(SERVE_S)
    ended_s, last, payload = event(parts.broker_port)
    used_s = cpu_s(service.pid) - begun_cpu_s
    parts.stop(service)
    cycles = last - first
    return (ended_s - begun_s) / cycles * 1e6, used_s / cycles * 1e6, payload


def run(*command: object) -> list[float]:
    """The numbers that a program prints."""
    arguments = [str(part) for part in command]
    return [float(word) for word in subprocess.run(arguments, capture_output=True, check=True).stdout.split()]


def main() -> None:
    with Parts() as parts:
        loop, sample = parts.folder / "loop", parts.folder / "event.json"
        libraries = ["-I/usr/include/modbus", "-lmodbus", "-lmosquitto"]
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", loop, HERE / "loop.c", *libraries], check=True)
        ports = (parts.slave_port, parts.broker_port)
        wall, cpu, plain = [], [], []
        for _ in range(ROUNDS):
            one_wall, one_cpu, payload = serve_us(parts)
            sample.write_bytes(payload)
            plain += run(loop, *ports, C_CYCLES, sample)
            wall.append(one_wall)
            cpu.append(one_cpu)
        _, published_cpu = run(sys.executable, HERE / "published_loop.py", *ports, PUBLISHED_CYCLES)
    to_c = statistics.median(ours / theirs for ours, theirs in zip(wall, plain, strict=True))
    print(f"serve cycle:    {statistics.median(wall):8.0f} us wall {statistics.median(cpu):8.0f} us CPU")
    print(f"C loop:         {statistics.median(plain):8.0f} us wall")
    print(f"published loop: {'':21} {published_cpu:8.0f} us CPU")
    print(f"wall time, serve to C loop: {to_c:.2f} (promised: at most 4)")
    print(
        f"CPU time, serve to published loop: 1/{published_cpu / statistics.median(cpu):.0f} (promised: at most 1/100)"
    )


if __name__ == "__main__":
    main()
