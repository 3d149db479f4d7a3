"""Counters and histograms as text."""

from export.server.monitoring import Counter, Histogram, Metrics


def test_a_counter():
    counter = Counter(":a:b", ("model", "status"))
    counter.add("m", "OK")
    counter.add("m", "OK", count=2)
    counter.add('q"\\', "NOT_FOUND")
    assert counter.lines() == [
        "# TYPE :a:b counter",
        ':a:b{model="m",status="OK"} 3',
        ':a:b{model="q\\"\\\\",status="NOT_FOUND"} 1',
    ]


def test_a_first_value_is_that_of_the_first_labels():
    metrics = Metrics()
    name = "/tensorflow/serving/request_count"
    assert metrics.first_value(name) == 0
    metrics.request_count.add("m", "OK", count=5)
    metrics.request_count.add("m", "NOT_FOUND", count=2)
    assert metrics.first_value(name) == 2
    assert metrics.first_value("/tensorflow/serving/other") == 0


def test_a_histogram_is_cumulative():
    histogram = Histogram(":h", ("m",), [10, 18.0])
    for value in (1, 9.5, 10, 17, 1000):
        histogram.add(value, "x")
    assert histogram.lines() == [
        "# TYPE :h histogram",
        ':h_bucket{m="x",le="10"} 2',
        ':h_bucket{m="x",le="18"} 4',
        ':h_bucket{m="x",le="+Inf"} 5',
        ':h_sum{m="x"} 1037.5',
        ':h_count{m="x"} 5',
    ]


def test_examples_are_counted_and_the_page_names_every_metric():
    metrics = Metrics()
    metrics.count_examples("m", 3)
    metrics.count_examples("m", 5)
    page = metrics.page().splitlines()
    assert ':tensorflow:serving:request_example_count_total{model="m"} 8' in page
    assert ':tensorflow:serving:request_example_counts_bucket{model="m",le="4"} 1' in page
    assert len([line for line in page if line.startswith("# TYPE")]) == len(vars(metrics))
