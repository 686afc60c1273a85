"""The model and the data map that a command uses, and a sentence that says where they come from."""

from ampedge.config import Config
from ampedge.datamap import DataMap
from ampedge.model.bundle import Bundle, agree, find_bundle, load_bundle
from ampedge.samples import BUNDLE, shipped


def site_bundle(config: Config) -> tuple[Bundle, str]:
    """(model, a sentence that says which one); raises ModelRefusedError, UsageError."""
    bundle, how = _found(config)
    return bundle, f"Using {bundle.path} ({how})."


def site_map(config: Config) -> tuple[DataMap, str]:
    """(data map, a sentence that says where it comes from).

    Where the config has tags, no model is looked for; one that is given by flag must fit them.
    Raises ModelRefusedError, UsageError.
    """
    datamap = config.device.datamap
    if datamap is not None and config.source("model") != "flag":
        return datamap, f"Data map of {config.file}."
    bundle, how = _found(config)
    if datamap is not None:
        return agree(bundle, datamap), f"Data map of {config.file}, which fits {bundle.path}."
    return bundle.datamap, f"Data map of {bundle.path} ({how})."


def _found(config: Config) -> tuple[Bundle, str]:
    path, how = find_bundle(config.model, shipped(BUNDLE))
    return load_bundle(path), how
