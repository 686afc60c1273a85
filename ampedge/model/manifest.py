"""What `manifest.json` of a bundle says, and nothing else: an unknown field is refused."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ampedge.datamap import DataMap, TableName, Tag, TypeName, WordOrder

NOT_KNOWN = "not known"
"""What the manifest of an imported model has in place of its data."""

PROTOCOL = 2
"""Raised when an older ampedge could misread a newer bundle; every number up to this one stays loadable.

2 added the healthy range of a feature, the calibration, the joint envelope and the thresholds.
"""


class Part(BaseModel):
    """Base of every part of the manifest: frozen, strict, no unknown field, only finite numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


class NormalRange(Part):
    """Where a feature lies in the normal state: the median of its training rows and the middle nine tenths."""

    low: float
    centre: float
    high: float


class Feature(Part):
    """One input of the model and what it was trained on, in `unit`."""

    name: str = Field(min_length=1)
    unit: str = ""
    minimum: float
    maximum: float
    mean: float
    std: float = Field(gt=0)
    quantiles: dict[str, float] = {}
    normal: NormalRange | None = None

    @property
    def envelope(self) -> tuple[float, float]:
        """The range beyond which a value is far outside training: the extremes and three deviations."""
        return self.minimum - 3 * self.std, self.maximum + 3 * self.std


class Layer(Part):
    """One dense layer."""

    units: int = Field(ge=1, le=65536)
    activation: Literal["relu", "softmax"]


class ClassEnvelope(Part):
    """How the tags of one class belong together; see `ampedge.model.joint`.

    Each component has its centre and the upper triangle of its whitening matrix, row by row, both scaled.
    """

    limit: float = Field(gt=0)
    centres: list[list[float]] = Field(min_length=1)
    whitenings: list[list[float]] = Field(min_length=1)


class Golden(Part):
    """A row that is replayed at every load: engineering values in, probabilities out."""

    values: list[float]
    probabilities: list[float]
    class_name: str


class Training(Part):
    """Where the model comes from."""

    data: str
    data_sha256: str
    label: str
    rows: dict[str, int]
    settings: dict[str, Any]
    libraries: dict[str, str]


class TagSpec(Part):
    """One tag of the data map as the bundle carries it; see `ampedge.datamap.Tag`."""

    name: str = Field(min_length=1)
    address: int = Field(ge=0)
    table: TableName
    type: TypeName
    word_order: WordOrder
    unit: str
    scale: float
    offset: float
    valid: tuple[float, float] | None
    invalid: tuple[int, ...]
    max_step: float | None = None
    expect_change_s: float | None = None

    @model_validator(mode="after")
    def _possible(self) -> "TagSpec":
        if problems := self.as_tag().problems():
            raise ValueError("; ".join(problems))
        return self

    def as_tag(self) -> Tag:
        """The tag as the rest of the program knows it."""
        return Tag(**dict(self))


class Manifest(Part):
    """The whole of `manifest.json`."""

    protocol: int = Field(ge=1, le=PROTOCOL)
    name: str = Field(min_length=1, max_length=64)
    version: str = Field(min_length=1, max_length=64)
    created: str
    classes: list[str] = Field(min_length=2)
    normal_label: str
    features: list[Feature] = Field(min_length=1)
    layers: list[Layer] = Field(min_length=1)
    temperature: float | None = Field(None, gt=0)  # by which the scores were divided: the last layer holds it
    joint: list[ClassEnvelope] | None = None  # one for each class, in order
    thresholds: dict[str, float] = {}  # probability from which a class is said, whatever the others have
    datamap: list[TagSpec]
    metrics: dict[str, Any]
    training: Training
    golden: list[Golden] = Field(min_length=1)
    files: dict[str, str]

    @model_validator(mode="after")
    def _complete(self) -> "Manifest":
        """What a protocol added may be null, where there is none of it, but must be said."""
        if self.protocol > 1:
            missing = [name for name in ("temperature", "joint", "thresholds") if name not in self.model_fields_set]
            missing += ["normal" for feature in self.features if "normal" not in feature.model_fields_set]
            if missing:
                raise ValueError(f"{missing[0]} is missing")
        return self

    @property
    def feature_names(self) -> list[str]:
        return [feature.name for feature in self.features]

    def as_datamap(self) -> DataMap:
        """The data map that the bundle was made for."""
        return DataMap(tuple(spec.as_tag() for spec in self.datamap))
