"""Kills a process at each of its steps that change the disk.

python -m tests.support.killed STATE_DIR ACTION [MODEL SOURCE]

Copies STATE_DIR to STATE_DIR-0, STATE_DIR-1 ... and in each of them begins ACTION of the keeper (keep, roll_back
or undo) in a process that is killed instead of taking step 0, 1 ... ; prints how many copies there are.
The last of them is the one in which nothing was left to be killed at.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from ampedge.model.bundle import load_bundle
from ampedge.model.keeper import Keeper

_STEPS = ("open", "os.rename", "os.remove", "os.mkdir", "os.chmod")


def kill_at(step: int, directory: Path) -> None:
    """From now on, kill this process instead of letting it take that step in `directory`."""
    left = [step]

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _STEPS and str(directory) in str(arguments[0]):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

    sys.addaudithook(look)


def main(state_dir: Path, action: str, *of: str) -> None:
    """Try every step."""
    given = (load_bundle(Path(of[0])), Path(of[1])) if of else ()
    step = 0
    while True:
        copy = state_dir.with_name(f"{state_dir.name}-{step}")
        if state_dir.exists():
            shutil.copytree(state_dir, copy)
        child = os.fork()
        if child == 0:
            kill_at(step, copy)
            getattr(Keeper(copy), action)(*given)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        step += 1
        if status == 0:
            break
        assert os.WIFSIGNALED(status), status
    print(step)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
