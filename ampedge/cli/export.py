"""`ampedge export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ampedge.cli import options


def export(
    *,
    model: options.Model = None,
    to: Annotated[
        Literal["ampedge", "keras", "h5", "tflite", "onnx", "saved-model", "c"],
        typer.Option(
            "--format", "-f", help="What to write: one file for the edge, or the model for another runtime or in C."
        ),
    ] = "ampedge",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File or directory to write; without it, named after the model.")
    ] = None,
    quantize: Annotated[
        Literal["int8", "float16"] | None,
        typer.Option("--quantize", help="With --format tflite: a smaller file, judged on the held-out rows."),
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(
            "--max-loss", min=0, max=1, help="With --quantize: by how much macro-F1 may fall (0.01), else exit code 6."
        ),
    ] = None,
    sign: Annotated[
        Path | None, typer.Option("--sign", help="Sign the file for the edge with this private Ed25519 key (PEM).")
    ] = None,
    config_file: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Write the model as one file for the edge or in another format, checked against the original."""
    import json

    from rich.console import Console

    from ampedge.errors import UsageError
    from ampedge.model.bundle import sign_bundle
    from ampedge.model.signature import exposed
    from ampedge.site_map import site_bundle
    from ampedge.training.export import exporter
    from ampedge.training.export.quantised import export_quantised

    if sign is not None and to != "ampedge":
        raise UsageError(f"--sign: the format {to} bears no signature.", "Leave out --sign or --format.")
    if quantize is not None and to != "tflite":
        raise UsageError(f"--quantize: the format {to} is not quantised.", "Add --format tflite.")
    if max_loss is not None and quantize is None:
        raise UsageError("--max-loss says nothing without --quantize.", "Add --quantize, or leave --max-loss out.")
    config = options.config_from(config_file, model=model)
    bundle, which = site_bundle(config, insist=False, runs=False)
    messages = Console(stderr=True, soft_wrap=True, highlight=False)
    messages.print(which, markup=False)
    if sign is not None:
        bundle = sign_bundle(bundle, sign)
        if exposed(sign):
            messages.print(f"Others on this machine can read the key: chmod 600 {sign}", style="yellow", markup=False)
    place = out or exporter.default_place(bundle, to, quantize)
    if quantize is not None:
        judged = export_quantised(bundle, quantize, place, max_loss=0.01 if max_loss is None else max_loss)
        if as_json:
            print(json.dumps(judged.document(), ensure_ascii=False))
        else:
            Console(soft_wrap=True, highlight=False).print(judged.describe(), markup=False)
        if not judged.passed:
            raise judged.refusal()
        messages.print(f"Written: {place}", markup=False)
        return
    made = exporter.export(bundle, to, place)
    if as_json:
        print(json.dumps(made.document(), ensure_ascii=False))
    else:
        signed = "\nSigned." if bundle.signed and to == "ampedge" else ""
        Console(soft_wrap=True, highlight=False).print(made.describe() + signed, markup=False)
