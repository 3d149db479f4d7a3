"""Dynamic batching against a function that shows what it was given."""

import threading
import time

import grpc
import numpy as np
import pytest

from export import server_files
from export.server.batching import BatchQueue
from export.server.batching_options import BatchingOptions
from export.server.errors import ServingError
from export.server.monitoring import Metrics


class Model:
    """Doubles its input; remembers the shapes that it ran; may be held back."""

    def __init__(self):
        self.shapes = []
        self.go = threading.Event()
        self.go.set()
        self.entered = threading.Semaphore(0)

    def __call__(self, arrays, seconds):
        self.shapes.append(arrays[0].shape)
        self.entered.release()
        assert self.go.wait(20)
        if (arrays[0] == 13).any():
            raise ValueError("unlucky")
        return [arrays[0] * 2, arrays[1]]


def queue_for(model, threads=1, **options):
    return BatchQueue(
        run=model,
        names=("ids", "names"),
        tensors=("ids:0", "names:0"),
        options=BatchingOptions(**options),
        threads=threading.Semaphore(threads),
        metrics=Metrics(),
    )


def request(*ids):
    values = np.array(ids, np.int64)
    return [values, np.array([b"%d" % i for i in values.ravel()], object).reshape(values.shape)]


def together(queue, model, requests, seconds=None):
    """Answers of requests that all wait while a first one runs."""
    answers = [None] * len(requests)

    def ask(index):
        try:
            answers[index] = queue(requests[index], seconds)
        except Exception as error:
            answers[index] = error

    model.go.clear()
    first = threading.Thread(target=queue, args=[request(1)])
    first.start()
    assert model.entered.acquire(timeout=20)
    threads = [threading.Thread(target=ask, args=[index]) for index in range(len(requests))]
    for thread in threads:
        thread.start()
        time.sleep(0.02)  # so that they come in this order
    model.go.set()
    for thread in [first, *threads]:
        thread.join(20)
    return answers


def test_a_request_alone_is_not_held_up():
    model = Model()
    outputs = queue_for(model)(request(3, 4))
    assert outputs[0].tolist() == [6, 8]
    assert outputs[1].tolist() == [b"3", b"4"]
    assert model.shapes == [(2,)]


def test_requests_that_wait_run_together_and_get_their_own_rows():
    model = Model()
    answers = together(queue_for(model), model, [request(2), request(3, 4), request(5)])
    assert [outputs[0].tolist() for outputs in answers] == [[4], [6, 8], [10]]
    assert [outputs[1].tolist() for outputs in answers] == [[b"2"], [b"3", b"4"], [b"5"]]
    assert model.shapes == [(1,), (4,)]


def test_a_batch_waits_for_others_until_its_timeout():
    model = Model()
    queue = queue_for(model, threads=2, batch_timeout_micros=400_000)
    threads = [threading.Thread(target=queue, args=[request(i)]) for i in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert model.shapes == [(3,)]
    begin = time.monotonic()
    queue_for(model, max_batch_size=2, batch_timeout_micros=10_000_000)(request(1, 2))  # full
    assert time.monotonic() - begin < 5.0


def test_a_batch_that_others_join_at_once_waits_for_more_all_the_same(monkeypatch):
    """The second request comes after the first opened the batch and before it begins to wait."""
    model = Model()
    queue = queue_for(model, max_batch_size=3, batch_timeout_micros=60_000_000)
    real, joined, threads = queue._enqueue, threading.Event(), []

    def enqueue(task):
        batch, leads = real(task)
        if not threads:
            ask(2)
            assert joined.wait(20)
        elif not leads:
            joined.set()
        return batch, leads

    def ask(value):
        threads.append(threading.Thread(target=queue, args=[request(value)], daemon=True))
        threads[-1].start()

    monkeypatch.setattr(queue, "_enqueue", enqueue)
    first = threading.Thread(target=queue, args=[request(1)], daemon=True)
    first.start()
    assert not model.entered.acquire(timeout=1.0)  # it runs neither alone nor with the second
    ask(3)  # fills the batch
    for thread in (first, *threads):
        thread.join(20)
    assert model.shapes == [(3,)]


def test_a_timeout_may_be_longer_than_a_lock_can_wait():
    queue = queue_for(Model(), max_batch_size=2, batch_timeout_micros=2**63 - 1)
    assert queue(request(1, 2))[0].tolist() == [2, 4]


def test_batches_are_filled_up_to_an_allowed_size_with_a_valid_row():
    seen = []

    def model(arrays, seconds):
        seen.append(arrays[0].tolist())
        return arrays

    queue = queue_for(model, max_batch_size=8, allowed_batch_sizes=(1, 4, 8))
    assert queue(request(7, 8, 9))[0].tolist() == [7, 8, 9]
    assert queue(request(5))[0].tolist() == [5]
    assert seen == [[7, 8, 9, 7], [5]]


def test_lists_of_unequal_length_are_padded_with_their_first_entry_or_refused():
    model = Model()
    requests = [request([1, 2]), request([3, 4, 5])]
    padded = together(queue_for(model, pad_variable_length_inputs=True), model, requests)
    # [[1, 2, 1], [3, 4, 5]] doubled
    assert [outputs[0].tolist() for outputs in padded] == [[[2, 4, 2]], [[6, 8, 10]]]
    for answer in together(queue_for(model), model, requests):
        assert answer.code == grpc.StatusCode.FAILED_PRECONDITION
        assert answer.message == (
            "Tensors with name 'ids:0' from different tasks have different shapes and padding is "
            "turned off. Set pad_variable_length_inputs to true, or ensure that all tensors with "
            "the same name have equal dimensions starting with the first dim."
        )


def test_a_large_request_is_split_where_that_is_wanted():
    model = Model()
    options = {"enable_large_batch_splitting": True, "max_execution_batch_size": 2}
    queue = queue_for(model, max_batch_size=5, **options)
    outputs = queue(request(2, 3, 4, 5, 6))
    assert outputs[0].tolist() == [4, 6, 8, 10, 12]
    assert outputs[1].tolist() == [b"2", b"3", b"4", b"5", b"6"]
    assert model.shapes == [(2,), (2,), (1,)]
    with pytest.raises(ServingError, match="Task size 6 is larger than maximum input batch size 5"):
        queue(request(*range(6)))


def test_what_could_not_be_merged_runs_alone():
    model = Model()
    queue = queue_for(model, max_batch_size=4, allowed_batch_sizes=(4,))
    assert queue(request([1, 2]), alone=True)[0].tolist() == [[2, 4]]
    assert model.shapes == [(4, 2)]


def test_batches_are_counted():
    metrics = Metrics()
    queue = BatchQueue(
        run=Model(),
        names=("ids", "names"),
        tensors=("ids:0", "names:0"),
        options=BatchingOptions(max_batch_size=4, allowed_batch_sizes=(4,)),
        threads=threading.Semaphore(),
        metrics=metrics,
    )
    queue(request(2, 3))
    lines = metrics.page().splitlines()
    name = ":tensorflow:serving:batching_session"
    assert f"{name}:input_batch_size_sum{{}} 4" in lines  # of each of the two tensors
    assert f"{name}:processed_batch_size_sum{{}} 4" in lines
    assert f'{name}:padding_size_sum{{execution_batch_size="4"}} 2' in lines
    assert f'{name}:queuing_latency_count{{thread_pool_name=""}} 1' in lines


def test_a_full_queue_refuses_and_recovers():
    model = Model()
    queue = queue_for(model, max_batch_size=2, max_enqueued_batches=2)
    answers = together(queue, model, [request(2, 3), request(4, 5), request(6, 7)])
    assert [outputs[0].tolist() for outputs in answers[:2]] == [[4, 6], [8, 10]]
    assert answers[2].code == grpc.StatusCode.UNAVAILABLE
    assert "max_enqueued_batches is 2" in answers[2].message
    assert queue(request(8))[0].tolist() == [16]


def test_an_error_reaches_every_request_of_the_batch_and_no_other():
    model = Model()
    queue = queue_for(model)
    for answer in together(queue, model, [request(2), request(13)]):
        assert str(answer) == "unlucky"
    assert queue(request(2))[0].tolist() == [4]


def test_a_request_that_waited_too_long_is_given_up():
    model = Model()
    queue = queue_for(model)
    (answer,) = together(queue, model, [request(2)], seconds=0.001)
    assert answer.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "timeout exceeded while waiting in batching queue" in answer.message


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        (request(1, 2, 3), "Task size 3 is larger than maximum input batch size 2"),
        ([np.array(1), np.array(2)], "must have at least one dimension; got ids [], names []"),
        ([np.zeros(1), np.zeros(2)], "equal 0th-dimension size; got ids [1], names [2]"),
    ],
)
def test_what_cannot_be_batched_is_refused(arrays, text):
    with pytest.raises(ServingError) as error:
        queue_for(Model(), max_batch_size=2)(arrays)
    assert error.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert text in "; ".join(filter(None, (error.value.message, error.value.hint)))


def test_what_has_many_axes_is_not_padded():
    arrays = [np.zeros((1,) * 7), np.zeros(1)]
    with pytest.raises(ServingError, match=r"^Only tensors with rank from 1 to 6 can be padded\.$"):
        queue_for(Model(), pad_variable_length_inputs=True)(arrays)
    assert queue_for(Model())(arrays)[0].shape == (1,) * 7
    assert queue_for(Model(), pad_variable_length_inputs=True)([np.zeros((1,) * 6), np.zeros(1)])


def test_lists_without_entries_are_padded_where_nothing_is_to_be_filled():
    queue = queue_for(Model(), pad_variable_length_inputs=True)
    model = queue._run
    empty, long = np.zeros((0, 2)), np.ones((1, 3))
    answers = together(queue, model, [[empty, np.zeros(0)], [long, np.zeros(1)]])
    assert [answer[0].shape[0] for answer in answers] == [0, 1]


def test_outputs_that_are_no_rows_are_refused():
    for outputs, text in (([np.array(1.0)], "has 0 dimensions"), ([np.zeros(3)], "0th dimension")):
        with pytest.raises(ServingError, match=text) as error:
            queue_for(lambda arrays, seconds, outputs=outputs: outputs)(request(1, 2))
        assert error.value.code == grpc.StatusCode.FAILED_PRECONDITION


def test_the_parameters_file_is_tensorflow_servings(tmp_path):
    path = tmp_path / "batching.txt"
    path.write_text(
        "max_batch_size { value: 64 }\nbatch_timeout_micros { value: 500 }\n"
        "max_enqueued_batches { value: 7 }\nnum_batch_threads { value: 3 }\n"
        "allowed_batch_sizes: 8\nallowed_batch_sizes: 32\npad_variable_length_inputs: true\n"
        "enable_large_batch_splitting { value: true }\nmax_execution_batch_size { value: 32 }\n"
    )
    message = server_files.read(str(path), server_files.BatchingParameters(), "f")
    expected = BatchingOptions(64, 500, 7, 3, (8, 32), True, True, 32)
    assert BatchingOptions.from_message(message) == expected
    empty = server_files.BatchingParameters()
    assert BatchingOptions.from_message(empty) == BatchingOptions()
    path.write_text("max_batch: 3")
    with pytest.raises(ValueError, match=r"--f: .* is no BatchingParameters in text format"):
        server_files.read(str(path), server_files.BatchingParameters(), "f")
    with pytest.raises(ValueError, match=r"--f: cannot read .*nowhere"):
        server_files.read(str(tmp_path / "nowhere"), server_files.BatchingParameters(), "f")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_batch_size": 0}, "max_batch_size: must be at least 1, got 0"),
        ({"batch_timeout_micros": -1}, "batch_timeout_micros: must be at least 0, got -1"),
        ({"allowed_batch_sizes": (4, 2, 1000)}, r"must ascend to .* got \[4, 2, 1000\]"),
        ({"allowed_batch_sizes": (4, 8)}, r"the largest batch, 1000, got \[4, 8\]"),
    ],
)
def test_options_are_checked(options, text):
    with pytest.raises(ValueError, match=text):
        BatchingOptions(**options)
