import pathlib

import tensorflow as tf

from mgoe_tf.training import event_files
from tests.mgoe_tf.training.curves import scalars


def write(folder: pathlib.Path, steps: range) -> None:
    writer = tf.summary.create_file_writer(str(folder))
    for step in steps:
        with writer.as_default(step=step):
            tf.summary.scalar("loss", step / 2)
    writer.close()


def test_points_behind_the_step_go_and_others_stay(tmp_path) -> None:
    folder = tmp_path / "events/train"
    write(folder, range(1, 8))
    event_files.cut_off(str(folder), 4)
    assert scalars(str(tmp_path), "train")["loss"] == [(n, n / 2) for n in range(1, 5)]
    write(folder, range(5, 7))
    # again, of two files
    event_files.cut_off(str(folder), 5)
    assert scalars(str(tmp_path), "train")["loss"] == [(n, n / 2) for n in range(1, 6)]
    assert len(list(folder.iterdir())) == 1


def test_the_end_of_a_file_whose_writer_was_killed_is_left_out(tmp_path) -> None:
    folder = tmp_path / "events/train"
    write(folder, range(1, 5))
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    event_files.cut_off(str(folder), 9)
    assert scalars(str(tmp_path), "train")["loss"] == [(n, n / 2) for n in range(1, 4)]


def test_nothing_to_cut(tmp_path) -> None:
    event_files.cut_off(str(tmp_path / "nothing"), 3)
    assert not list(tmp_path.iterdir())


def test_scalars_are_read_in_the_order_of_their_steps_from_all_files(tmp_path) -> None:
    folder = tmp_path / "events/train"
    write(folder, range(4, 6))
    write(folder, range(1, 4))
    assert event_files.read_scalars(str(folder)) == {"loss": [(n, n / 2) for n in range(1, 6)]}
    assert event_files.read_scalars(str(tmp_path / "nothing")) == {}
