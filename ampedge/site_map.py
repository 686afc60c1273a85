"""The model and the data map that a command uses, and a sentence that says where they come from."""

from pathlib import Path

from ampedge.config import Config
from ampedge.datamap import DataMap
from ampedge.errors import ConfigError, ModelRefusedError, UsageError, did_you_mean
from ampedge.model.bundle import Bundle, agree, check_signature, find_bundle, load_bundle
from ampedge.model.keeper import Keeper, using
from ampedge.model.network import DenseNetwork
from ampedge.mqtt import tls
from ampedge.samples import BUNDLE, shipped


def site_bundle(
    config: Config,
    keeper: Keeper | None = None,
    *,
    running: Bundle | None = None,
    insist: bool = True,
    runs: bool = True,
) -> tuple[Bundle, str]:
    """(model, a sentence that says which one); raises ModelRefusedError, UsageError.

    With a keeper it is the model that is to run, which must fit the tags of every device, else the last good copy;
    where `running` may go on instead, it is refused as any other.
    Without `insist` the model need not be signed, whatever the config says: for what is made before it is signed.
    Unless it `runs`, the runtime that the config chooses need not be here.
    """
    path, how = model_path(config, keeper)
    key = verify_key(config) if insist else None
    runtime = config.settings.runtime if runs else DenseNetwork.name
    if keeper is None:
        return load_bundle(path, verify_key=key, runtime=runtime), using(path, how, runtime)

    return keeper.choose(
        path,
        verify_key=key,
        how=how,
        fits=lambda bundle: check_tags(config, bundle),
        running=running,
        runtime=runtime,
    )


def check_start(config: Config, bundle: Bundle) -> None:
    """Raise what keeps `serve` from starting with this config and this model, and can be known before it is tried.

    That is ModelRefusedError for tags that do not fit, and ConfigError.
    """
    check_tags(config, bundle)
    normal_label(config, bundle)
    config.password()
    tls.context(config.mqtt)


def check_tags(config: Config, bundle: Bundle) -> None:
    """Raise ModelRefusedError where a device has other tags than the model was made for."""
    for device in config.devices:
        if device.datamap is not None:
            agree(bundle, device.datamap)


def normal_label(config: Config, bundle: Bundle) -> str:
    """The healthy state: the config's, else the bundle's; raises ConfigError where it is no class."""
    given = config.settings.decision.normal_label
    if given is not None and given not in bundle.classes:
        raise ConfigError(
            f"decision.normal_label: {given!r} is not a class of {bundle.path}.",
            did_you_mean(given, bundle.classes) or f"Its classes: {', '.join(bundle.classes)}.",
        )
    return given or bundle.manifest.normal_label


def next_bundle(config: Config, keeper: Keeper, running: Bundle) -> tuple[Bundle, str]:
    """(the model to run after `running`, a sentence that says which one and why): `running` where the new is refused.

    Raises UsageError, and ModelRefusedError where `running` is not signed as the config insists.
    """
    try:
        return site_bundle(config, keeper, running=running)
    except ModelRefusedError as refused:
        key = verify_key(config)
        if key is not None:
            check_signature(running, key)
        return running, f"{refused.problem} Version {running.manifest.version} goes on. {refused.remedy}"


def model_path(config: Config, keeper: Keeper | None = None) -> tuple[Path, str]:
    """(where the model is, how it was found); raises UsageError where none is there and no copy of it is kept.

    A service whose model was in its directory does not take the shipped one because that is missing now.
    """
    try:
        path, how = config.found or find_bundle(config.model, shipped(BUNDLE))
    except UsageError:
        if config.model is None or keeper is None or not keeper.has(Path(config.model)):
            raise
        return Path(config.model), "as given"
    if path == shipped(BUNDLE) and config.model is None and keeper is not None:
        before = keeper.source()
        if before is not None and before.parent == Path.cwd():
            return Path(before.name), "found here before"
    return path, how


def verify_key(config: Config) -> Path | None:
    """The file of the public key that models must be signed for, None where they need not be."""
    key = config.path("verify_key", config.settings.verify_key)
    return None if key is None else Path(key)


def site_map(config: Config) -> tuple[DataMap, str]:
    """(data map, a sentence that says where it comes from).

    Where the config has tags, no model is looked for; one that is given by flag must fit them.
    Raises ModelRefusedError, UsageError.
    """
    datamap = config.device.datamap
    if datamap is not None and config.source("model") != "flag":
        return datamap, f"Data map of {config.file}."
    path, how = model_path(config)
    bundle = load_bundle(path, verify_key=verify_key(config))
    if datamap is not None:
        return agree(bundle, datamap), f"Data map of {config.file}, which fits {bundle.path}."
    return bundle.datamap, f"Data map of {bundle.path} ({how})."
