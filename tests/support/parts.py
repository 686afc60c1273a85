"""Real parts that some tests need: a missing one skips the test on a workstation and fails it in CI."""

import os
import shutil

import pytest

_PACKAGES = {
    "mosquitto": "mosquitto",
    "mosquitto_sub": "mosquitto-clients",
    "mosquitto_pub": "mosquitto-clients",
    "mosquitto_passwd": "mosquitto",
    "stdbuf": "coreutils",
    "mbpoll": "mbpoll",
    "chromium": "chromium",
}


def needed(program: str) -> str:
    """The path of a program, which Debian keeps in /usr/sbin for some of them."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        said = f"{program} is not installed: sudo apt-get install {_PACKAGES[program]}"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    return found
