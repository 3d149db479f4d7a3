"""How nodes are placed and grouped, as flags tell it, for whichever engine does it."""

from __future__ import annotations

from input_pipeline.graph.macro_nodes import GroupingOptions
from input_pipeline.graph.projection import SpectralOptions
from input_pipeline.log.interactions import OWNERS
from input_pipeline.log.windows import STREAM_GROUPING
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.spec import DatasetSpec


def grouping_options(
    preparation: PreparationOptions, spec: DatasetSpec
) -> dict[str, GroupingOptions]:
    """By owner, how the nodes of a data set are grouped."""
    return {
        owner: GroupingOptions(
            num_macro_nodes=num_macro_nodes,
            preference=preparation.preference,
            baseline=preparation.baseline,
            omega_high=preparation.omega_high,
            omega_low=preparation.omega_low,
            theta_high=preparation.theta_high,
            theta_low=preparation.theta_low,
            activity=preparation.activity,
            restarts=preparation.kmeans_restarts,
            seed=(preparation.seed, STREAM_GROUPING, side),
        )
        for side, (owner, num_macro_nodes) in enumerate(
            zip(OWNERS, (spec.num_user_macro_nodes, spec.num_item_macro_nodes), strict=True)
        )
    }


def spectral_options(preparation: PreparationOptions) -> SpectralOptions:
    """How nodes are placed with `--grouping=spectral`."""
    return SpectralOptions(
        dim=preparation.grouping_dim,
        scale=preparation.grouping_scale,
        power=preparation.grouping_power,
        seed=(preparation.seed, STREAM_GROUPING, len(OWNERS)),
    )
