"""The options of an export."""

from __future__ import annotations

import dataclasses

from export.node_state import TABLE_DTYPES
from export.row_checks import CHECK_FINITE
from input_pipeline.commands.options import option
from mgoe_tf.models.node_network import NODE_STATES


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What is exported, and where to."""

    model_dir: str = option(
        "", "Trained model, as `mgoe_tf.train` wrote it; required.", is_path=True
    )
    export_base: str = option(
        "",
        "Directory of exported models, local or remote; required. A version appears whole as "
        "<export_base>/<model_name>/<version>; for a remote one, TMPDIR must have room for it.",
        is_path=True,
    )
    model_name: str = option("mgoe", "Name of the model under --export_base and on servers.")
    version: int | None = option(
        None, "A positive integer that is not there yet. Default: the time in seconds."
    )
    data_dir: str | None = option(
        None,
        "Data set of the model. If given, its graph goes into the model for the signatures "
        "rank_ids and explain, the export is compared with the Keras model on validation rows "
        "before it is published, and warm-up requests are made of real rows.",
        is_path=True,
    )
    snapshot: str = option("latest", "Graph of --data_dir that goes into the model.")
    max_graph_bytes: int = option(
        2_000_000_000,
        "Leaves rank_ids and explain out where the graph inside the model takes more memory than "
        "this. 0: always.",
    )
    node_state: str = option(
        "full",
        "What the graph inside the model holds of every node for rank_ids. none: features and sums "
        "of embeddings. full: whatever of the network depends on the node alone, so that a request "
        "computes what depends on the pair; where a model has nothing to split, in half precision "
        "and with hashed ids the same as none. The log says the bytes of each table.",
        NODE_STATES,
    )
    table_dtype: str = option(
        "float32",
        "Numbers in those tables. float16 and int8 take a half and a quarter of the memory; what "
        "they change in answers and in AUC on validation rows is printed and kept in "
        "evaluation.json.",
        TABLE_DTYPES,
    )
    id_table_dtype: str = option(
        "float32",
        "Numbers in the tables of id embeddings, for all signatures that read them. float16 takes "
        "half the memory; the weights are rounded first, and compared with the export as such. "
        "What that changes in answers on validation rows is told.",
        ("float32", "float16"),
    )
    min_auc: float | None = option(
        None, "Publishes nothing whose mean validation AUC is below this."
    )
    max_auc_drop: float | None = option(
        None,
        "Publishes nothing whose mean validation AUC is more than this below that of the newest "
        "published version.",
    )
    keep: int = option(3, "Newest versions to keep; older ones are removed. 0: keep all.")
    score_weights: tuple[float, ...] | None = option(
        None,
        "Weights of the tasks in the output `score`, their weighted geometric mean, in task "
        "order. Default: equal.",
    )
    check_finite: str = option(
        "row",
        "What becomes of a row with NaN, infinite or negative edge weights. row: it alone is "
        "answered with NaN. batch: its request is refused, for servers without batching.",
        CHECK_FINITE,
    )

    def __post_init__(self) -> None:
        for name in ("model_dir", "export_base", "model_name"):
            if not getattr(self, name):
                raise ValueError(f"--{name}: must be given, got ''")
        if "/" in self.model_name or self.model_name.startswith("."):
            raise ValueError(f"--model_name: must be a plain name, got {self.model_name!r}")
        if self.version is not None and self.version < 1:
            raise ValueError(f"--version: must be at least 1, got {self.version}")
        for name in ("keep", "max_graph_bytes", "max_auc_drop"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"--{name}: must be at least 0, got {value}")
