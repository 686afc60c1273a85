"""The ordered stages from a frame to a label; only this file knows their order.

    frame -> decode -> judge -> select -> infer -> compare -> decide -> explain -> record

The same object runs in `serve`, `evaluate` and `collect`: what was evaluated is what runs.
It is pure given a frame and the memory of the frames before; nothing here touches a socket, a file or a clock.
"""

import math
from dataclasses import replace

import numpy as np

from ampedge.continuity import Continuity
from ampedge.datamap import DataMap
from ampedge.decision import chosen, decide
from ampedge.features import selector
from ampedge.modbus.codec import engineering, raw_bits, raw_decoder, smallest_normal, with_held_ends
from ampedge.model.bundle import Bundle, agree
from ampedge.model.causes import cause_finder
from ampedge.quality import judge_raw, judge_value, never_written, worst
from ampedge.records import Frame, Quality, Reason, Record, TagValue


class Reader:
    """Decode and quality alone: what `collect` needs, and the first half of every pipeline.

    `envelopes` gives the range of each tag beyond which a value is far outside training.
    `continuity` is the memory of the device; without it every frame is judged for itself.
    """

    def __init__(
        self,
        datamap: DataMap,
        envelopes: dict[str, tuple[float, float]] | None = None,
        *,
        continuity: Continuity | None = None,
    ) -> None:
        self.datamap = datamap
        self._continuity = continuity
        self._all_read = (None,) * len(datamap.tags)
        self._points = tuple(
            (with_held_ends(tag), raw_decoder(tag), smallest_normal(tag), (envelopes or {}).get(tag.name))
            for tag in datamap.tags
        )

    def read(self, frame: Frame) -> Record:
        """The frame's values with their qualities."""
        general: tuple[Reason, ...] = ()  # what holds for all tags is said once
        if frame.failure is not None:
            general = (frame.failure,)
        elif frame.bad and frame.bad[0] is not None and len(set(frame.bad)) == 1:
            general = (frame.bad[0],)
        elif not frame.bad and never_written(frame.words):
            general = (Reason.NEVER_WRITTEN,)
        if general:
            values = tuple(TagValue(tag.name, None, tag.unit, Quality.BAD, general[0]) for tag in self.datamap.tags)
        else:
            values = self._decode(frame)
        if self._continuity is not None:
            values = self._continuity.judge(frame, values)
            if frame.settling and not general:
                general = (Reason.SETTLING,)
        said = tuple(f"{v.name}: {v.reason}" for v in values if v.reason is not None and v.reason not in general)
        return Record(frame, values, worst(values), (*general, *said))

    def _decode(self, frame: Frame) -> tuple[TagValue, ...]:
        values = []
        points = zip(frame.words, frame.bad or self._all_read, self._points, strict=True)
        for held, missed, (tag, decode, smallest, envelope) in points:
            if missed is not None:
                values.append(TagValue(tag.name, None, tag.unit, Quality.BAD, missed))
                continue
            raw = decode(held)
            is_sentinel = bool(tag.invalid) and raw_bits(tag, held) in tag.invalid
            wrong = judge_raw(raw, smallest_normal=smallest, is_sentinel=is_sentinel)
            if wrong is not None:
                values.append(TagValue(tag.name, None, tag.unit, Quality.BAD, wrong))
            else:
                values.append(judge_value(tag, engineering(tag, raw), envelope))
        return tuple(values)


class Pipeline:
    """All stages, for one model and one data map.

    `datamap` is the site's own map; raises ModelRefusedError where it is not the model's.
    With `reasons` a record says which tags speak for a class that is not the normal one.
    """

    def __init__(
        self,
        bundle: Bundle,
        datamap: DataMap | None = None,
        *,
        min_confidence: float = 0.5,
        continuity: Continuity | None = None,
        reasons: bool = False,
    ) -> None:
        self.bundle = bundle
        self.datamap = agree(bundle, datamap or bundle.datamap)
        self.min_confidence = min_confidence
        envelopes = {feature.name: feature.envelope for feature in bundle.manifest.features}
        self._reader = Reader(self.datamap, envelopes, continuity=continuity)
        self._classes = bundle.classes
        self._select = selector(self.datamap.names, bundle.manifest.feature_names)
        self._least = bundle.manifest.thresholds
        self._thresholds = {self._classes.index(name): least for name, least in self._least.items()}
        units = [tag.unit for tag in self.datamap.tags]
        self._causes = cause_finder(bundle.manifest, bundle.network, bundle.joint, units) if reasons else None
        stages = (self._reader_stage, self._select_stage, self._infer, self._compare, self._decide)
        self._stages = stages if self._causes is None else (*stages, self._explain)

    def run(self, frame: Frame) -> Record:
        """The frame's record after every stage."""
        record = Record(frame)
        for stage in self._stages:
            record = stage(record)
        return record

    def _reader_stage(self, record: Record) -> Record:
        return self._reader.read(record.frame)

    def _select_stage(self, record: Record) -> Record:
        if record.quality is Quality.BAD:
            return record
        return Record(record.frame, record.values, record.quality, record.reasons, self._select(record.values))

    def _infer(self, record: Record) -> Record:
        if record.vector is None:
            return record
        found = self.bundle.probabilities(np.array([record.vector], dtype=np.float64))[0].tolist()
        place = chosen(found, self._thresholds)
        if not math.isfinite(found[place]):  # far outside training, beyond the model's arithmetic: no answer
            return record
        return replace(record, probabilities=tuple(found), class_name=self._classes[place], confidence=found[place])

    def _compare(self, record: Record) -> Record:
        """The reading beside the training rows of the class it is given; one that is odd by itself needs it not."""
        joint = self.bundle.joint
        if joint is None or record.class_name is None or record.vector is None or _outside(record):
            return record
        if joint.distance(record.vector, self._classes.index(record.class_name)) <= 1:
            return record
        reasons = (*record.reasons, Reason.UNUSUAL_COMBINATION)
        return replace(record, quality=Quality.UNCERTAIN, reasons=reasons)

    def _decide(self, record: Record) -> Record:
        if record.class_name is None or record.confidence is None:
            return record
        label, reason = decide(
            record.class_name,
            record.confidence,
            quality=record.quality,
            outside_training=_outside(record) or Reason.UNUSUAL_COMBINATION in record.reasons,
            min_confidence=self._least.get(record.class_name, self.min_confidence),
        )
        reasons = record.reasons if reason is None else (*record.reasons, reason)
        return replace(record, reasons=reasons, label=label)

    def _explain(self, record: Record) -> Record:
        """What speaks for a class that is not normal, or for an odd combination; other reasons explain themselves."""
        if record.class_name is None or record.vector is None or self._causes is None or _outside(record):
            return record
        is_normal = record.class_name == self.bundle.manifest.normal_label
        if is_normal and Reason.UNUSUAL_COMBINATION not in record.reasons:
            return record
        found = self._causes.causes(record.vector, self._classes.index(record.class_name))
        return replace(record, because=found)


def _outside(record: Record) -> bool:
    """Whether a value is far outside of what the model was trained on."""
    return any(value.reason is Reason.OUTSIDE_TRAINING for value in record.values)
