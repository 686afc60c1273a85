"""TensorFlow without its noise: the import and the conversions write to stderr past Python's own logging."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ampedge.errors import missing_extra


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what libraries write to the file descriptor of stderr, log or warn about off the screen."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    logged = logging.root.manager.disable
    try:
        os.dup2(nowhere, 2)
        logging.disable(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logged)
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def import_keras(what: str) -> Any:
    """The keras module on TensorFlow; raises the error of a missing extra, saying that `what` needs it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # networks of this size run a third faster without
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with quiet():
        try:
            import keras
            import tensorflow  # noqa: F401
        except ImportError as error:
            raise missing_extra(what, "train") from error
    return keras
