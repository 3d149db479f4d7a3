"""Tenrec's QB-video.csv and QK-article.csv: exposures in each user's order, without a clock."""

from __future__ import annotations

from input_pipeline.log.events import EventLog
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.sources.delimited import read_files
from input_pipeline.sources.dialect import Dialect
from input_pipeline.sources.feature_columns import FeatureColumn
from input_pipeline.sources.input_files import find_files
from input_pipeline.sources.labels import Condition, label_reader
from input_pipeline.sources.layout import Layout, read_log


def _layout(labels: dict[str, str], item_features: tuple[str, ...]) -> Layout:
    """The layout of a file with a label column by task name."""
    columns = tuple(labels.values())
    return Layout(
        tasks=tuple(labels),
        user_column="user_id",
        item_column="item_id",
        timestamp_column=None,
        timestamp_unit=None,
        behaviors=label_reader([Condition(name) for name in columns], unlabeled_cells=False),
        label_columns=columns,
        features=(
            *(FeatureColumn(name, "user") for name in ("gender", "age")),
            *(FeatureColumn(name, "item") for name in item_features),
        ),
        has_exposures=True,
    )


_QB_VIDEO = _layout(
    {"click": "click", "like": "like", "share": "share", "follow": "follow"}, ("video_category",)
)
# The columns that count an item's past behaviours or tell how this exposure went (read_percentage,
# read_time) are outcomes, so they are no features.
_QK_ARTICLE = _layout(
    {"read": "read", "like": "like", "favor": "favorite", "follow": "follow"},
    ("category_first", "category_second"),
)


def read_qb_video(options: PreparationOptions) -> EventLog:
    """Reads QB-video.csv; an exposure a line."""
    return _read(_QB_VIDEO, options)


def read_qk_article(options: PreparationOptions) -> EventLog:
    """Reads QK-article.csv; an exposure a line."""
    return _read(_QK_ARTICLE, options)


def _read(layout: Layout, options: PreparationOptions) -> EventLog:
    files = read_files(find_files(options.input), Dialect(), layout.columns)
    return read_log(files, layout, options)
