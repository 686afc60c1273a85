"""The whole of the fault figures, one after the other; what has been measured already is not run again.

    python -m tests.faults.soak            (make soak)
    python -m tests.faults.soak --again kills

Results stand in `.soak/`, one file a figure, for the commit that they were measured on; another commit begins anew.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

PLACE = Path(".soak")
FIGURES: dict[str, tuple[str, ...]] = {
    "simulated time": ("tests.faults.simulated_time", "--days", "30"),
    "wrong replies": ("tests.faults.replies",),
    "decoding": ("tests.faults.decode_all",),
    "bundle mutations": ("tests.faults.mutate_bundle",),
    "fuzzed replies": ("tests.faults.fuzz_replies", "--count", "10000000", "--processes", "2"),
    "fuzzed frames": ("tests.faults.fuzz_slave", "--count", "1000000"),
    "power cuts": ("tests.faults.power_cut", "--cuts", "2000"),
    "kills": ("tests.faults.kills", "--kills", "200"),
    "storm": ("tests.faults.storm", "--injections", "500"),
    "backlog": ("tests.faults.backlog", "--days", "7"),
    "half-open": ("tests.faults.half_open",),
    "half-open broker": ("tests.faults.half_open_broker",),
    "killed brokers": ("tests.faults.broker_kills", "--kills", "50"),
    "endurance": ("tests.faults.endurance", "--polls", "600000"),
    "wear": ("tests.benchmarks.bench_wear",),
}


def commit() -> str:
    """What is measured: the commit, with a mark where files have been changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def measured(name: str, of: str) -> dict[str, str] | None:
    """The result that is there for this commit."""
    file = PLACE / f"{name.replace(' ', '-')}.json"
    if not file.exists():
        return None
    found: dict[str, str] = json.loads(file.read_text())
    return found if found["commit"] == of and found["passed"] == "yes" else None


def measure(name: str, of: str) -> dict[str, str]:
    """Run one figure and keep its result."""
    begun_s = time.monotonic()
    done = subprocess.run([sys.executable, "-m", *FIGURES[name]], capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or [""]
    result = {
        "commit": of,
        "figure": lines[-1],
        "seconds": f"{time.monotonic() - begun_s:.0f}",
        "passed": "yes" if done.returncode == 0 else "no",
    }
    PLACE.mkdir(exist_ok=True)
    (PLACE / f"{name.replace(' ', '-')}.json").write_text(json.dumps(result, indent=1))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--again", choices=FIGURES, action="append", default=[], help="Measure this one anew.")
    again = parser.parse_args().again
    of = commit()
    failed = []
    for name in FIGURES:
        result = (None if name in again else measured(name, of)) or measure(name, of)
        print(f"{name} ({result['seconds']} s): {result['figure']}", flush=True)
        if result["passed"] != "yes":
            failed.append(name)
    if failed:
        sys.exit(f"Not reached: {', '.join(failed)}")


if __name__ == "__main__":
    main()
