"""Turns of calls, and the requests that are made."""

import time

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.spec import read_spec
from mgoe_tf.experimenting import timing


def test_calls_take_turns_and_warm_ups_are_not_counted() -> None:
    order = []

    def call(name: str, seconds: float = 0.0):
        def act() -> None:
            order.append(name)
            time.sleep(seconds)

        return act

    places = {("a", "rank", 1): call("a"), ("b", "rank", 1): call("b", 0.004)}
    times = timing.take_turns(places, rounds=2)
    turn = ["a"] * 4 + ["b"] * 4  # the first of each four is not measured
    assert order == turn * 4  # two turns to warm up
    assert {place: len(found) for place, found in times.items()} == dict.fromkeys(places, 6)
    assert min(times["b", "rank", 1]) >= 4.0
    assert np.median(times["a", "rank", 1]) < 4.0


def test_rows_of_both_layouts_are_the_same(data_dir, request_data_dir) -> None:
    found = [timing.first_rows(folder, 40) for folder in (data_dir, request_data_dir)]
    for rows in found:
        assert {len(value) for value in rows.values()} == {40}
    names = sorted(found[0])
    assert names == sorted(found[1])
    users = [rows["user_id"].numpy().tolist() for rows in found]
    assert len(set(users[1])) > 1
    # a row's features belong to it: the same user has the same features in both
    by_user = [
        {user: rows["user_1hop"][row].numpy() for row, user in enumerate(ids)}
        for rows, ids in zip(found, users, strict=True)
    ]
    common = by_user[0].keys() & by_user[1].keys()
    assert common
    for user in common:
        np.testing.assert_array_equal(by_user[0][user], by_user[1][user])


def test_a_small_window_gives_its_rows_again(data_dir) -> None:
    number = read_spec(data_dir).counts["rows"]["test"]
    rows = timing.first_rows(data_dir, number + 3)
    np.testing.assert_array_equal(rows["user_id"][number:], rows["user_id"][:3])


def test_a_list_is_of_one_user(data_dir) -> None:
    spec = read_spec(data_dir)
    rows = timing.first_rows(data_dir, 5)
    asked = timing.request(rows, spec, flat=False)
    assert asked["user_id"].shape == [1]
    assert asked["item_id"].shape == [1, 5]
    assert asked["user_1hop"].shape == [1, spec.num_item_macro_nodes]
    assert asked["item_1hop"].shape == [1, 5, spec.num_user_macro_nodes]
    assert timing.request(rows, spec, flat=True)["item_id"].shape == [5]


class Doubling(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="user_id")])
    def serve(self, user_id):
        return {"score": user_id * 2}


def test_exports_are_measured_with_the_signatures_that_they_have(data_dir, tmp_path) -> None:
    module, paths = Doubling(), {}
    for model in ("a", "b"):
        paths[model] = str(tmp_path / model)
        tf.saved_model.save(module, paths[model], signatures={"serving_default": module.serve})
    found = timing.measure(paths, data_dir, rounds=3, batch_sizes=(1, 7))
    assert [(t.model, t.signature, t.rows) for t in found] == [
        (model, "serving_default", rows) for model in ("a", "b") for rows in (1, 7)
    ]
    assert all(entry.calls == 9 and 0 < entry.median_ms <= entry.p90_ms for entry in found)


def test_other_work_is_what_is_neither_idle_nor_our_own(monkeypatch) -> None:
    times = iter([(100.0, 40.0, 10.0), (120.0, 52.0, 15.0), (120.0, 52.0, 30.0)])
    monkeypatch.setattr(timing.OtherWork, "_times", lambda self: next(times))
    other_work = timing.OtherWork()
    # of 20 seconds 12 had work, 5 of it ours
    assert other_work.share() == pytest.approx(7 / 20)
    assert other_work.share() == 0.0
    monkeypatch.undo()
    assert 0 <= timing.OtherWork().share() <= 1


def test_it_says_what_was_measured_on() -> None:
    assert timing.machine()["tensorflow"] == tf.__version__
    assert timing.machine()["devices"]


@pytest.mark.parametrize("number", [1, 100])
def test_as_many_rows_as_are_asked_for(request_data_dir, number) -> None:
    rows = timing.first_rows(request_data_dir, number)
    assert {int(value.shape[0]) for value in rows.values()} == {number}
