"""Real parts that some tests need: a missing one skips the test on a workstation and fails it in CI."""

import os
import shutil
import socket

import pytest

_PACKAGES = {
    "mosquitto": "mosquitto",
    "mosquitto_sub": "mosquitto-clients",
    "mosquitto_pub": "mosquitto-clients",
    "mosquitto_passwd": "mosquitto",
    "stdbuf": "coreutils",
    "mbpoll": "mbpoll",
    "chromium": "chromium",
    "systemd-analyze": "systemd",
    "openssl": "openssl",
    "strace": "strace",
    "gcc": "gcc libc6-dev",
    "g++": "g++",
}


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback, which many containers have not."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def needed(program: str) -> str:
    """The path of a program, which Debian keeps in /usr/sbin for some of them."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        said = f"{program} is not installed: sudo apt-get install {_PACKAGES[program]}"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    return found
