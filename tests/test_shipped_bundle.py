"""The bundle that ships is trained on the table that ships, and is what a bare install runs with."""

import hashlib

import pytest

from ampedge.amplifier import LABELS, datamap
from ampedge.modbus.codec import encode_row
from ampedge.model.bundle import load_bundle
from ampedge.pipeline import Pipeline
from ampedge.records import Frame, Quality
from ampedge.sample_rows import read_samples
from ampedge.samples import BUNDLE, DATA, SAMPLES, shipped

PUBLISHED_REGISTERS = ((17365, 43762), (49473, 10758), (16019, 17334), (16229, 912), (16624, 4603))


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline(load_bundle(shipped(BUNDLE)))


def test_it_is_small_and_trained_on_the_shipped_table(pipeline):
    manifest = pipeline.bundle.manifest
    assert shipped(BUNDLE).stat().st_size < 60_000
    assert manifest.training.data_sha256 == hashlib.sha256(shipped(DATA).read_bytes()).hexdigest()
    assert manifest.name == "amplifier"
    assert manifest.normal_label == "healthy"
    assert sorted(manifest.classes) == sorted(LABELS)
    assert pipeline.datamap == datamap()


def test_the_published_registers_are_healthy(pipeline):
    record = pipeline.run(Frame("amp", 0.0, PUBLISHED_REGISTERS))
    assert (record.label, record.class_name, record.quality) == ("healthy", "healthy", Quality.GOOD)
    assert [value.value for value in record.values] == pytest.approx(
        [427.335513967164, -12.072760045821497, 0.2876259585530916, 0.8945856193036692, 7.502195010331243], rel=1e-7
    )


def test_the_shipped_samples_pass_the_acceptance_test_with_honest_misses(pipeline):
    rows = read_samples(shipped(SAMPLES), pipeline.datamap)
    labels = [pipeline.run(Frame("amp", 0.0, encode_row(pipeline.datamap.tags, row.values))).label for row in rows]
    right = sum(label == row.label for label, row in zip(labels, rows, strict=True))
    assert 0.9 <= right / len(rows) < 1
