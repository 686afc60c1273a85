"""From named values to the model's input vector, by name only: order can never be mixed up."""

from collections.abc import Callable, Sequence

from ampedge.records import TagValue


def selector(names: Sequence[str], features: Sequence[str]) -> Callable[[Sequence[TagValue]], tuple[float, ...]]:
    """A function that picks `features` out of values which come in the order of `names`.

    It is to be called only on values that all have a number; raises KeyError now for a missing name.
    """
    places = {name: i for i, name in enumerate(names)}
    order = tuple(places[feature] for feature in features)

    def select(values: Sequence[TagValue]) -> tuple[float, ...]:
        vector = tuple(values[i].value for i in order)
        assert None not in vector
        return vector  # type: ignore[return-value]  # mypy does not narrow by `in`

    return select
