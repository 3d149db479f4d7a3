"""What the options of all models have in common.

A model's own options are a frozen dataclass in its file, which extends `ModelOptions`. Every field
is a flag of the same name, so no field may have the name of a training or preparation flag.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from input_pipeline.commands.options import option


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """Sizes that every model has."""

    embedding_dim: int = option(10, "d, the width of id, side-feature and macro embeddings.")
    tower_units: tuple[int, ...] = option((32,), "Hidden layers of each task's tower.")
    dropout: float = option(0.0, "Dropout rate after each hidden layer of experts and towers.")

    def __post_init__(self) -> None:
        require(self, "at least 1", ("embedding_dim", "tower_units"), lambda value: value >= 1)
        require(self, "in [0, 1)", ("dropout",), lambda value: 0 <= value < 1)
        for field in dataclasses.fields(self):  # a flag refuses them, a caller from Python does not
            choices, value = field.metadata.get("choices"), getattr(self, field.name)
            if choices and value not in choices:
                raise ValueError(
                    f"--{field.name}: must be one of {', '.join(choices)}, got {value!r}"
                )


@dataclasses.dataclass(frozen=True)
class GatedOptions(ModelOptions):
    """Sizes of models whose tasks mix experts by gates."""

    gate_temperature: float = option(
        1.0, "Gates are softmax(logits / temperature): lower is sharper, higher more even."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "above 0", ("gate_temperature",), lambda value: value > 0)


def require(
    options: Any, requirement: str, names: Iterable[str], holds: Callable[[Any], bool]
) -> None:
    """Raises ValueError for the first option that does not hold.

    Args:
      options: a dataclass.
      requirement: what is required, in words: `at least 1`.
      names: of the options; of one that is a tuple, every item has to hold.
      holds: the requirement.
    """
    for name in names:
        value = getattr(options, name)
        values = value if isinstance(value, tuple) else (value,)
        if not all(holds(item) for item in values):
            shown = list(value) if isinstance(value, tuple) else value
            raise ValueError(f"--{name}: must be {requirement}, got {shown}")


def from_json(options_class: type, values: Mapping[str, Any], origin: str) -> Any:
    """The options that `dataclasses.asdict` and JSON made `values` of.

    Args:
      options_class: a dataclass whose sequences are tuples.
      values: by name, no name missing.
      origin: the file that holds them, for the message.

    Raises:
      ValueError: naming `origin` and the class, where names are missing or unknown.
    """
    known = {field.name for field in dataclasses.fields(options_class)}
    if known != set(values):
        raise ValueError(
            f"{origin}: not the {options_class.__name__} of this version: missing "
            f"{sorted(known - set(values))}, unknown {sorted(set(values) - known)}"
        )
    return options_class(
        **{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    )
