"""What an exported file says about itself beside the network: features and classes in order, and thresholds."""

import json
import re

from ampedge.model.bundle import Bundle

FACTS = "ampedge.json"
"""The file's name inside an archive or a directory."""


def facts(bundle: Bundle) -> str:
    """The names that belong to the network's inputs and outputs, and how a class is chosen, as JSON."""
    manifest = bundle.manifest
    plain = {
        "model": manifest.name,
        "version": manifest.version,
        "features": [{"name": feature.name, "unit": feature.unit} for feature in manifest.features],
        "classes": manifest.classes,
        **({"thresholds": manifest.thresholds} if manifest.thresholds else {}),
    }
    return json.dumps(plain, indent=1, ensure_ascii=False)


def file_stem(bundle: Bundle) -> str:
    """The model's name as a file can bear it."""
    return re.sub(r"[^\w.-]+", "-", bundle.manifest.name).strip(".-") or "model"
