"""What an exported file says about itself beside the network: its features and its classes, in order."""

import json

from ampedge.model.bundle import Bundle

FACTS = "ampedge.json"
"""The file's name inside an archive or a directory."""


def facts(bundle: Bundle) -> str:
    """The names that belong to the network's inputs and outputs, as JSON."""
    manifest = bundle.manifest
    plain = {
        "model": manifest.name,
        "version": manifest.version,
        "features": [{"name": feature.name, "unit": feature.unit} for feature in manifest.features],
        "classes": manifest.classes,
    }
    return json.dumps(plain, indent=1, ensure_ascii=False)
