"""What this process does in a cluster."""

from __future__ import annotations

from typing import Any

from mgoe_tf.models.base import RankingModel
from mgoe_tf.models.options import ModelOptions
from mgoe_tf.models.registry import model_class
from mgoe_tf.training.clusters.place import Place, read_place
from mgoe_tf.training.clusters.servers import prepare_process, serve
from mgoe_tf.training.options import TrainOptions

# Their state would be read and written by several workers in between each other's steps.
_WEIGHTINGS = ("fixed", "uncertainty", "pcgrad")


def begin(options: TrainOptions) -> Place | None:
    """Reads this process's place and prepares it, before TensorFlow's first operation.

    Raises:
      ValueError: TF_CONFIG is no cluster that the options can be met in.
    """
    place = read_place(options.distribution)
    if place is None:
        if options.distribution == "multi_worker":
            raise ValueError(
                "--distribution=multi_worker: TF_CONFIG must name the workers, got none; "
                "mgoe_tf.launch starts some on this machine"
            )
        return None
    if options.distribution == "parameter_server":
        prepare_process(place)
    return place


def train(model_options: ModelOptions, options: TrainOptions) -> dict[str, Any]:
    """As `trainer.train`, in the role that TF_CONFIG gives to this process.

    Returns:
      {} where another process evaluates the best epoch.

    Raises:
      ClusterLost: processes are gone that this one needs.
      SystemExit: of a server, at its end.
    """
    place = begin(options)
    if options.distribution == "multi_worker":
        from mgoe_tf.training.clusters import multi_worker

        assert place is not None
        return multi_worker.train(model_options, options, place)
    require_works_on_servers(options)
    if place is not None and place.role in ("ps", "worker"):
        serve(place, options)
    if place is not None and place.role == "evaluator":
        from mgoe_tf.training.clusters import validation_beside

        return validation_beside.train(model_options, options)
    from mgoe_tf.training.clusters import parameter_server

    return parameter_server.train(model_options, options, place)


def require_works_on_servers(options: TrainOptions) -> None:
    """Raises ValueError for options that asynchronous workers cannot meet."""
    begin_of_refusal = "--distribution=parameter_server"
    if options.task_weighting not in _WEIGHTINGS:
        raise ValueError(
            f"{begin_of_refusal}: --task_weighting must be one of {', '.join(_WEIGHTINGS)}, as "
            f"each step must see the state of the one before, got {options.task_weighting}"
        )
    if model_class(options.model).begin_epoch is not RankingModel.begin_epoch:
        raise ValueError(
            f"{begin_of_refusal}: --model={options.model} is trained in phases, between which it "
            "changes its weights: train it by one_device, mirrored or multi_worker"
        )
    if options.precision == "mixed_float16":
        raise ValueError(
            f"{begin_of_refusal}: --precision must be float32 or mixed_bfloat16, as the scale of "
            "the loss follows step by step, got mixed_float16"
        )
    if options.profile_steps:
        raise ValueError(
            f"{begin_of_refusal}: --profile_steps must not be given, as steps are taken elsewhere, "
            f"got {list(options.profile_steps)}"
        )
