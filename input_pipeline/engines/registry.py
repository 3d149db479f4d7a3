"""The engines by their names for `--engine`: a new one is its module and one line here."""

from __future__ import annotations

import dataclasses
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from input_pipeline.engines.engine import Engine
    from input_pipeline.preparation_options import PreparationOptions


@dataclasses.dataclass(frozen=True)
class Registered:
    """Where an engine is, which is imported when it is asked for.

    Attributes:
      module, name: of the subclass of `Engine`.
      extra: of this package, which installs what the module imports beyond its requirements.
    """

    module: str
    name: str
    extra: str | None = None


ENGINES: dict[str, Registered] = {
    "local": Registered("input_pipeline.engines.local.engine", "LocalEngine"),
    "spark": Registered("input_pipeline.engines.spark.engine", "SparkEngine", "spark"),
}


def make_engine(preparation: PreparationOptions, data_dir: str) -> Engine:
    """The engine that `preparation.engine` names, to write to a local directory.

    Raises:
      ValueError: there is none of that name.
      ImportError: what it needs is not installed.
    """
    name = preparation.engine
    if name not in ENGINES:
        raise ValueError(f"--engine: must be one of {list(ENGINES)}, got {name!r}")
    entry = ENGINES[name]
    try:
        module = importlib.import_module(entry.module)
    except ModuleNotFoundError as error:
        if entry.extra is None:
            raise
        raise ImportError(
            f"--engine={name}: needs {error.name}, which is not installed: "
            f"pip install 'mgoe_tf[{entry.extra}]'"
        ) from error
    engine: Engine = getattr(module, entry.name)(preparation, data_dir)
    return engine
