"""Every pattern that two registers can hold is decoded rightly, in each word order."""

import subprocess
import sys

import pytest

from ampedge.modbus import codec
from tests.faults import decode_all


@pytest.mark.timeout(600)  # the rest of the machine may be busy
def test_all_patterns_of_a_float32_in_all_word_orders_and_the_scalar_form_agrees() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.decode_all"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 x 4,294,967,296 patterns, 0 wrong" in done.stdout
    assert "4 x 16,777,216 in the scalar form, 0 differ" in done.stdout


def test_a_codec_that_is_wrong_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(codec._ORDERS, "BADC", ("<", "<"))
    assert decode_all.wrong(range(0x3F80, 0x3F81)) > 65_000
