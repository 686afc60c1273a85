"""The model: whether serve would take it, and whether it fits the tags of every device."""

from collections.abc import Iterator

from ampedge.config import Config
from ampedge.doctor.finding import Finding, ok, problem, warning
from ampedge.errors import AmpedgeError
from ampedge.model.bundle import Bundle, load_bundle
from ampedge.model.keeper import Keeper
from ampedge.site_map import check_tags, model_path, normal_label, site_bundle, verify_key


def look(config: Config) -> tuple[Bundle | None, list[Finding]]:
    """(the model that serve would run, None where it would not start; what there is to say of it)."""
    try:
        path, how = model_path(config)
        bundle = load_bundle(path, verify_key=verify_key(config), runtime=config.settings.runtime)
        check_tags(config, bundle)
        normal_label(config, bundle)
    except AmpedgeError as error:
        return _last_good(config), [problem("model", error)]
    manifest = bundle.manifest
    said = f"{path} ({how}): {manifest.name} {manifest.version}, {', '.join(bundle.classes)}"
    return bundle, [ok("model", f"{said}; {_signature(config, bundle)}."), *_rolled_back(config, bundle)]


def _last_good(config: Config) -> Bundle | None:
    """The copy that serve falls back on."""
    try:
        return site_bundle(config, Keeper(config.state_dir))[0]
    except AmpedgeError:
        return None


def _signature(config: Config, bundle: Bundle) -> str:
    if config.settings.verify_key is not None:
        return f"signed, as {config.settings.verify_key} proves"
    return "signed, which nobody checks without verify_key" if bundle.signed else "not signed"


def _rolled_back(config: Config, bundle: Bundle) -> Iterator[Finding]:
    if not config.state_dir.is_dir():
        return
    try:
        record = Keeper(config.state_dir).record()
    except AmpedgeError as error:
        yield warning("model", error.problem, error.remedy)
        return
    if record.rolled_back is not None and record.rolled_back.identity == bundle.identity:
        instead = "the one before" if record.current is None else f"version {record.current.version}"
        yield warning(
            "model",
            f"Version {bundle.manifest.version} was rolled back: {instead} runs instead.",
            "Put a better model in its place, or take that back with `ampedge rollback --undo`.",
        )
