"""The look for secrets finds one wherever a test of the suite could leave it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.canary import CANARY, refuse
from tests.support.cli import run_cli, start_cli

SUITE = """
import logging
from tests.support.canary import CANARY

def test_log_file(tmp_path):
    (tmp_path / "serve.log").write_text("password " + CANARY)

def test_printed():
    print(CANARY)

def test_logged():
    logging.getLogger("x").warning("tried %s", CANARY)

def test_a_config_may_hold_it(tmp_path):
    (tmp_path / "ampedge.toml").write_text(CANARY)
    (tmp_path / "secret.txt").write_text(CANARY)
"""


def test_a_suite_that_leaves_the_secret_somewhere_fails(tmp_path: Path) -> None:
    (tmp_path / "test_planted.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.canary", "-p", "no:cacheprovider"]
    command += ["--rootdir", tmp_path, "--basetemp", tmp_path / "inner", tmp_path / "test_planted.py"]
    done = subprocess.run(
        command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=60, check=False
    )
    shutil.rmtree(tmp_path / "inner")
    assert done.returncode == 1
    assert "4 passed, 3 errors" in done.stdout
    for name in ("test_printed", "test_logged"):
        assert f"::{name}" in done.stdout.partition("short test summary info")[2]
    assert "files that hold the secret: test_log_file0/serve.log\n" in done.stdout


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_command_that_shows_the_secret_fails_its_test(tmp_path: Path, stream: str) -> None:
    program = tmp_path / "sitecustomize.py"
    program.write_text(f"import sys\nsys.{stream}.write('{CANARY[:10]}' + '{CANARY[10:]}')\n")
    env = {"PYTHONPATH": str(tmp_path)}
    with pytest.raises(pytest.fail.Exception, match="the secret shows"):
        run_cli("--version", env=env)
    with start_cli("--version", env=env) as process, pytest.raises(pytest.fail.Exception, match="the secret shows"):
        process.communicate()


def test_no_text_and_other_text_pass() -> None:
    refuse(None, "", CANARY[:-1])
