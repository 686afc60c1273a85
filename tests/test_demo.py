"""`ampedge demo`: the whole system in one command, and nothing left behind."""

import signal
from pathlib import Path

from tests.support.cli import run_cli, start_cli
from tests.support.waiting import wait_until


def test_the_demo_shows_every_step_and_keeps_what_it_made_when_told(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    done = run_cli("demo", "--keep", kept, timeout_s=150)
    assert done.returncode == 0, done.stderr
    for step in ("data", "train", "evaluate", "export", "serve", "simulate", "monitor"):
        assert f"\n{step}: " in done.stdout
        assert f"│ {step} " in done.stdout
    assert "Score 0.9" in done.stdout
    assert done.stdout.count("[INFERENCE] ") == 5
    assert "ampedge init --from data.csv" in done.stdout
    made = {path.name for path in kept.iterdir()}
    assert made >= {"data.csv", "model", "evaluation", "amplifier.ampedge", "serve.log", "ampedge.toml"}
    assert "Stopped after" in (kept / "serve.log").read_text()


def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    with start_cli("demo", env={"TMPDIR": str(tmp_path)}) as process:
        wait_until(lambda: list(tmp_path.glob("ampedge-demo-*/data.csv")), what="the demo to begin")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_something_in_it_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = run_cli("demo", "--keep", tmp_path)
    assert done.returncode == 7
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
