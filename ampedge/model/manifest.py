"""What `manifest.json` of a bundle says, and nothing else: an unknown field is refused."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ampedge.datamap import DataMap, TableName, Tag, TypeName, WordOrder

PROTOCOL = 1
"""Raised when an older ampedge could misread a newer bundle; every number up to this one stays loadable."""


class Part(BaseModel):
    """Base of every part of the manifest: frozen, strict, no unknown field, only finite numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


class Feature(Part):
    """One input of the model and what it was trained on, in `unit`."""

    name: str = Field(min_length=1)
    unit: str = ""
    minimum: float
    maximum: float
    mean: float
    std: float = Field(gt=0)
    quantiles: dict[str, float] = {}

    @property
    def envelope(self) -> tuple[float, float]:
        """The range beyond which a value is far outside training: the extremes and three deviations."""
        return self.minimum - 3 * self.std, self.maximum + 3 * self.std


class Layer(Part):
    """One dense layer."""

    units: int = Field(ge=1, le=65536)
    activation: Literal["relu", "softmax"]


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

    protocol: Literal[1]
    name: str = Field(min_length=1, max_length=64)
    version: str = Field(min_length=1, max_length=64)
    created: str
    classes: list[str] = Field(min_length=2)
    normal_label: str
    features: list[Feature] = Field(min_length=1)
    layers: list[Layer] = Field(min_length=1)
    datamap: list[TagSpec]
    metrics: dict[str, Any]
    training: Training
    golden: list[Golden] = Field(min_length=1)
    files: dict[str, str]

    @property
    def feature_names(self) -> list[str]:
        return [feature.name for feature in self.features]

    def as_datamap(self) -> DataMap:
        """The data map that the bundle was made for."""
        return DataMap(tuple(spec.as_tag() for spec in self.datamap))
