"""A small log with tastes to learn, and the data set made of it."""

import numpy as np

from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.events import Categorical, EventLog
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.spec import DatasetSpec
from tests.input_pipeline.logs import write_log

TASKS = ("click", "buy")


def small_log(events: int = 4000, users: int = 60, items: int = 80, seed: int = 0) -> EventLog:
    """Users of four groups click on items of their own group nine times of ten."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, users, events)
    group = np.where(rng.random(events) < 0.9, user % 4, rng.integers(0, 4, events))
    item = group + 4 * rng.integers(0, items // 4, events)
    buys = rng.random(events) < np.where(user % 4 == item % 4, 0.4, 0.05)
    return EventLog(
        tasks=TASKS,
        user_id=Categorical(user.astype(np.int32), 1000 + 7 * np.arange(users)),
        item_id=Categorical(
            item.astype(np.int32), ByteStrings.of([b"item%03d" % i for i in range(items)])
        ),
        behaviors=(1 + 2 * buys).astype(np.uint32),
        unlabeled=None,
        timestamp=np.sort(rng.integers(0, 10**6, events)),
        timestamp_unit="s",
        user_features={},
        item_features={"category_id": Categorical((item % 4).astype(np.int32), np.arange(4))},
        source_files=(),
        malformed_lines=0,
        duplicate_lines=0,
        has_exposures=False,
    )


def write_small_data_set(data_dir: str, **options) -> DatasetSpec:
    """Prepares `small_log` with few macro nodes, neighbours and shards."""
    settings = {
        "cuts": (0.3, 0.5, 0.7, 0.85),
        "num_user_macro_nodes": 4,
        "num_item_macro_nodes": 5,
        "max_neighbors": 6,
        "negatives": 2,
        "num_shards": 3,
        **options,
    }
    preparation = PreparationOptions(source="csv", data_dir=data_dir, **settings)
    return write_log(small_log(), preparation, data_dir)
