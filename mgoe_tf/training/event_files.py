"""TensorBoard's files, as a run that goes on must find them."""

from __future__ import annotations

import time

import tensorflow as tf

from input_pipeline.files import filesystem, patterns

_LAST = 2**63 - 1


def cut_off(folder: str, last_step: int) -> None:
    """Removes all points behind a step from the event files of a folder.

    What a killed run logged after its last checkpoint comes again when it is resumed, and a point
    must not be there twice. The points that stay are moved to one new file.

    Args:
      folder: of one writer; it need not exist.
      last_step: the last step whose points stay.
    """
    if not filesystem.exists(folder):
        return
    paths = patterns.glob(filesystem.join(folder, "events.out.tfevents.*"))
    kept = [event for path in paths for event in _events_until(path, last_step)]
    # TensorBoard reads files in the order of their names, which begin with the time
    name = f"events.out.tfevents.{int(time.time()):010d}.kept.v2"
    target = filesystem.join(folder, name)
    while target in paths:
        target += ".kept"
    with tf.io.TFRecordWriter(target) as writer:
        for event in kept:
            writer.write(event)
    for path in paths:
        filesystem.remove(path)


def read_scalars(folder: str) -> dict[str, list[tuple[int, float]]]:
    """Every (step, value) in the event files of a folder, by tag, in the order of the steps."""
    found: dict[str, list[tuple[int, float]]] = {}
    for path in patterns.glob(filesystem.join(folder, "events.out.tfevents.*")):
        for serialized in _events_until(path, _LAST):
            event = tf.compat.v1.Event.FromString(serialized)
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    number = float(tf.make_ndarray(value.tensor))
                    found.setdefault(value.tag, []).append((event.step, number))
    return {tag: sorted(points) for tag, points in found.items()}


def _events_until(path: str, last_step: int) -> list[bytes]:
    """Serialized events; the last one of a file whose writer was killed may be incomplete."""
    events = []
    try:
        for serialized in tf.data.TFRecordDataset(path).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(serialized)
            # the first event of a file tells its version
            if event.step <= last_step:
                events.append(serialized)
    except tf.errors.DataLossError:
        pass
    return events
