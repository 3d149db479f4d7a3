"""Exports of models that read lists of ids, numbers and context, in every way of asking."""

import json
import shutil
import socket
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from export import warmup
from export.client import Client
from export.client import __main__ as command
from export.client.client import Input
from export.client.ranking import join
from export.client.request_records import packing_beside, request_inputs
from export.client.snapshot import GraphSnapshot
from export.explain import ExplainOptions, explain
from export.options import ExportOptions
from export.savedmodel import export
from export.server.model_server import Server
from export.server.options import ServeOptions
from input_pipeline.feature import UNKNOWN_INT64
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.prepare import prepare
from input_pipeline.records.example_parsing import parse_examples
from input_pipeline.records.example_rows import examples_of_request
from input_pipeline.records.packing import Packing
from input_pipeline.spec import read_spec
from mgoe_tf.training import checkpoints
from tests.export.conftest import Run, write_model
from tests.feature_kinds import add_feature_kinds, as_request

OUTPUTS = ("click", "buy", "score")
CONTEXT = {"device", "hour", "position", "shown"}
USERS = np.array([b"u1", b"u2", b"nobody"], object)
ITEMS = np.array([[7, 14, 21, 0], [7, 7, -5, 35], [0, 2**40, 7, 70]])
# Of the second user nothing is known of the request.
OF_USERS = {
    "device": np.array([b"web", b"", b"ios"], object),
    "hour": np.array([0, UNKNOWN_INT64, 22]),
    "position": np.array([-4.0, np.nan, 7.0], np.float32),
    "shown": np.array([[b"red", b"rare"], [b"", b""], [b"new", b""]], object),
}


@pytest.fixture(scope="module")
def kinds(run, tmp_path_factory) -> Run:
    """The data set of `run` with more features, and models on it that nobody trained."""
    folder = tmp_path_factory.mktemp("kinds")
    data_dir = str(folder / "data")
    shutil.copytree(run.data_dir, data_dir)
    add_feature_kinds(data_dir)
    model_dirs = {name: str(folder / name) for name in ("mgoe", "mmoe")}
    for name, model_dir in model_dirs.items():
        write_model(model_dir, name, data_dir)
    return Run(data_dir, model_dirs)


@pytest.fixture(scope="module", params=["mgoe", "mmoe"])
def exported(request, kinds, tmp_path_factory):
    path = export(
        ExportOptions(
            model_dir=kinds.model_dirs[request.param],
            export_base=str(tmp_path_factory.mktemp("exports")),
            model_name=request.param,
            data_dir=kinds.data_dir,
        )
    )
    return path, checkpoints.load_model(kinds.model_dirs[request.param])


only_mgoe = pytest.mark.parametrize("exported", ["mgoe"], indirect=True)


@pytest.fixture(scope="module")
def served(exported):
    """gRPC and REST addresses of a server of the export."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        rest_port = free.getsockname()[1]
    base_path = str(Path(exported[0]).parent)
    options = ServeOptions(
        model_name="m", model_base_path=base_path, port=0, rest_api_port=rest_port
    )
    server = Server(options)
    server.start()
    yield f"127.0.0.1:{server.port}", f"http://127.0.0.1:{rest_port}/v1/models/m"
    server.stop(0)


@pytest.fixture(scope="module")
def serialized(kinds):
    files = sorted(map(str, Path(kinds.data_dir).glob("examples/test-*.tfrecord.gz")))
    return next(iter(tf.data.TFRecordDataset(files, "GZIP").batch(200)))


def signatures_of(path):
    return tf.saved_model.load(path).signatures


def ask(signature, inputs):
    outputs = signature(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def raw_rows(loaded, serialized):
    features = [loaded.spec.feature(name) for name in loaded.model.feature_names]
    return {k: v.numpy() for k, v in parse_examples(serialized, features).items()}


def keras_answers(loaded, raw):
    logits = loaded.model(loaded.lookup({k: tf.constant(v) for k, v in raw.items()}))
    answers = {task: 1 / (1 + np.exp(-logits[task].numpy())) for task in ("click", "buy")}
    return answers | {"score": np.sqrt(answers["click"] * answers["buy"])}


def joined(loaded, snapshot, context=OF_USERS):
    """Flat rows of USERS with their ITEMS."""
    names = loaded.model.feature_names
    user = snapshot.features("user", np.repeat(USERS, 4), names)
    item = snapshot.features("item", ITEMS.ravel(), names)
    return user | item | {name: np.repeat(value, 4, axis=0) for name, value in context.items()}


def assert_close(found, expected, tolerance=1e-5):
    for name in OUTPUTS:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=tolerance)


def test_flat_rows_and_examples_answer_as_keras_does(exported, serialized):
    path, loaded = exported
    raw = raw_rows(loaded, serialized)
    for name in ("price", "position"):  # some are missing, some are not
        assert 0 < np.isnan(raw[name]).sum() < len(raw[name])
    assert (raw["activity"] < 0).any()
    expected = keras_answers(loaded, raw)
    assert np.std(expected["buy"]) > 1e-3
    signatures = signatures_of(path)
    assert_close(ask(signatures["serving_default"], raw), expected, 1e-6)
    assert_close(ask(signatures["examples"], {"examples": serialized}), expected, 1e-6)
    scores = ask(signatures["classify"], {"inputs": serialized})["scores"]
    np.testing.assert_allclose(scores[:, 1], expected["buy"], rtol=0, atol=1e-6)


def test_signatures_take_the_context_beside_the_user(exported):
    signatures = signatures_of(exported[0])

    def shapes(name):
        inputs = signatures[name].structured_input_signature[1]
        return {key: spec.shape.as_list() for key, spec in inputs.items()}

    context = {"device": [None], "hour": [None], "position": [None], "shown": [None, 2]}
    asked = {"user_id": [None], "item_id": [None, None], **context}
    assert shapes("rank_ids") == asked
    lists = shapes("rank")
    assert {name: lists[name] for name in asked} == asked
    assert (lists["tags"], lists["price"]) == ([None, None, 3], [None, None])
    assert (lists["interests"], lists["activity"]) == ([None, 2], [None, 4])
    assert shapes("serving_default")["tags"] == [None, 3]
    if "explain" in signatures:
        assert shapes("explain") == asked


def test_rank_and_rank_ids_answer_as_flat_rows_do(exported, kinds):
    path, loaded = exported
    flat = joined(loaded, GraphSnapshot(kinds.data_dir))
    expected = {k: v.reshape(3, 4) for k, v in keras_answers(loaded, flat).items()}
    signatures = signatures_of(path)
    ids = {"user_id": USERS, "item_id": ITEMS, **OF_USERS}
    assert_close(ask(signatures["rank_ids"], ids), expected)
    items = {feature.name for feature in loaded.spec.select("item")}
    lists = {
        name: value.reshape(3, 4, *value.shape[1:]) if name in items else value[::4]
        for name, value in flat.items()
    }
    assert_close(ask(signatures["rank"], lists), expected)
    # Each part of the context tells on the scores.
    for name in CONTEXT:
        other = {**OF_USERS, name: OF_USERS[name][::-1]}
        moved = ask(signatures["rank_ids"], ids | other)["score"] - expected["score"]
        assert np.abs(moved[0]).min() > 1e-6, name


def test_an_infinite_number_makes_its_own_row_nan(exported, kinds):
    path, loaded = exported
    signatures = signatures_of(path)
    context = {**OF_USERS, "position": np.array([1.0, np.inf, np.nan], np.float32)}
    ids = {"user_id": USERS, "item_id": ITEMS, **context}
    for name in {"rank_ids", "explain"} & set(signatures):
        for output, values in ask(signatures[name], ids).items():
            bad = np.isnan(values).reshape(3, -1)
            assert (bad.all(axis=1).tolist(), bad.any(axis=1).tolist()) == (
                [False, True, False],
                [False, True, False],
            ), output
    flat = joined(loaded, GraphSnapshot(kinds.data_dir), context)
    flat["price"][9] = -np.inf
    found = ask(signatures["serving_default"], flat)
    assert np.flatnonzero(np.isnan(found["score"])).tolist() == [4, 5, 6, 7, 9]


def test_context_of_another_number_of_users_is_refused(exported):
    serve = signatures_of(exported[0])["rank_ids"]
    ids = {"user_id": USERS, "item_id": ITEMS, **OF_USERS}
    for size in (1, 5):
        hours = {"hour": np.zeros(size, np.int64)}
        with pytest.raises(tf.errors.InvalidArgumentError, match="hour must be of as many users"):
            ask(serve, ids | hours)


def test_check_finite_batch_says_what_is_asked(kinds, tmp_path):
    path = export(
        ExportOptions(
            model_dir=kinds.model_dirs["mmoe"],
            export_base=str(tmp_path),
            data_dir=kinds.data_dir,
            check_finite="batch",
        )
    )
    serve = signatures_of(path)["rank_ids"]
    ids = {"user_id": USERS, "item_id": ITEMS, **OF_USERS}
    assert np.isfinite(ask(serve, ids)["score"]).all()
    with pytest.raises(tf.errors.InvalidArgumentError, match="position must not be infinite"):
        ask(serve, ids | {"position": np.full(3, -np.inf, np.float32)})


def test_joins_are_what_the_rows_hold(kinds, serialized):
    snapshot = GraphSnapshot(kinds.data_dir)
    features = snapshot.spec.input_features
    raw = {k: v.numpy() for k, v in parse_examples(serialized, features).items()}
    for owner, names in (("user", ["interests", "activity"]), ("item", ["tags", "price"])):
        found = snapshot.features(owner, raw[f"{owner}_id"], names)
        for name in names:
            np.testing.assert_array_equal(found[name], raw[name], err_msg=name)
            assert found[name].dtype == raw[name].dtype
    cold = snapshot.features("item", np.array([-1, 7]), ["tags", "price", "item_id"])
    assert cold["tags"][0].tolist() == [b"", b"", b""]
    assert np.isnan(cold["price"][0])
    cold = snapshot.features("user", USERS[2:], ["interests", "activity"])
    assert cold["interests"].tolist() == [[UNKNOWN_INT64] * 2]
    assert cold["activity"].tolist() == [[-1.0] * 4]


def test_a_join_without_context_reads_it_as_missing(kinds):
    snapshot = GraphSnapshot(kinds.data_dir)
    wanted = {name: Input.of(snapshot.spec.feature(name)) for name in ("item_id", *CONTEXT)}
    rows = join(snapshot, USERS[:1], ITEMS[0], wanted, {"hour": np.array([22])})
    assert rows["hour"].tolist() == [22] * 4
    assert rows["device"].tolist() == [b""] * 4
    assert rows["shown"].tolist() == [[b"", b""]] * 4
    assert np.isnan(rows["position"]).tolist() == [True] * 4


def test_warm_up_asks_with_context(exported):
    asked = {}
    for log in warmup.read(exported[0]):
        request = log.predict_log.request
        asked.setdefault(request.model_spec.signature_name, set(request.inputs))
    assert asked["rank_ids"] == {"user_id", "item_id", *CONTEXT}
    assert asked["rank"] == asked["serving_default"] > asked["rank_ids"]


def main(capsys, *flags):
    """What the command printed, and what it told beside; or the message that it ended with."""
    try:
        command.main(flags)
    except SystemExit as stop:
        return "", str(stop)
    return tuple(capsys.readouterr())


def scores_in(text):
    return {line.split()[0]: float(line.split()[1]) for line in text.splitlines()[1:]}


@only_mgoe
def test_the_command_takes_context(exported, served, kinds, capsys):
    flags = [f"--target={served[0]}", "--model_name=m", "--user_id=u1", "--timeout_seconds=30"]
    flags += ["--item_ids=7,14,21,0", f"--data_dir={kinds.data_dir}"]
    ids = {"user_id": USERS[:1], "item_id": ITEMS[:1]}
    of_first = {name: value[:1] for name, value in OF_USERS.items()}
    expected = ask(signatures_of(exported[0])["rank_ids"], {**ids, **of_first})["score"][0]
    text = "--context=device=web,hour=0,position=-4,shown=red|rare"
    for signature in ("rank_ids", "rank", "serving_default"):
        out, told = main(capsys, *flags, text, f"--signature={signature}")
        assert told == ""
        found = scores_in(out)
        for item, score in zip(ITEMS[0], expected, strict=True):
            assert found[str(item)] == pytest.approx(score, abs=2e-5), signature
        # What is left out is missing.
        out, told = main(capsys, *flags, "--context=hour=0", f"--signature={signature}")
        assert told == "device, position, shown of --context read as missing\n"
        missing = {
            "device": np.array([b""], object),
            "position": np.array([np.nan], np.float32),
            "shown": np.array([[b"", b""]], object),
        }
        answer = ask(signatures_of(exported[0])["rank_ids"], {**ids, **of_first, **missing})
        found = scores_in(out)
        for item, score in zip(ITEMS[0], answer["score"][0], strict=True):
            assert found[str(item)] == pytest.approx(score, abs=2e-5), signature


@only_mgoe
@pytest.mark.parametrize(
    ("context", "message"),
    [
        ("day=1", "of ['device', 'hour', 'position', 'shown'], got 'day=1'"),
        ("hour", "must be name=value, each name once, of ['device', "),
        (
            "hour=1,hour=2",
            "each name once, of ['device', 'hour', 'position', 'shown'], got 'hour=2",
        ),
        ("hour=noon", "--context: hour must be an integer, got 'noon'"),
        (f"hour={2**63}", f"--context: hour must be an integer, got '{2**63}'"),
        ("position=top", "--context: position must be a number, got 'top'"),
        ("shown=a|b|c", "shown must have at most 2 values, got ['a', 'b', 'c']"),
    ],
)
def test_mistakes_in_the_context_are_named(served, capsys, context, message):
    flags = [f"--target={served[0]}", "--model_name=m", "--user_id=u1", "--timeout_seconds=30"]
    out, told = main(capsys, *flags, "--item_ids=7", f"--context={context}")
    assert (out, told.startswith("export.client: ")) == ("", True)
    assert message in told


@only_mgoe
def test_records_of_the_request_layout_are_replayed(exported, served, kinds, tmp_path, capsys):
    path, loaded = exported
    files = sorted(map(str, Path(kinds.data_dir).glob("examples/test-*.tfrecord.gz")))
    rows = list(tf.data.TFRecordDataset(files, "GZIP").take(400).as_numpy_iterator())
    users = [tf.train.Example.FromString(row).features.feature["user_id"] for row in rows]
    own = [row for row, user in zip(rows, users, strict=True) if user == users[0]][:5]
    # Rows of one user, of several contexts; the last one shares that of the first.
    first, last = (tf.train.Example.FromString(row) for row in (own[0], own[-1]))
    for name in CONTEXT:
        last.features.feature.pop(name, None)
        if name in first.features.feature:
            last.features.feature[name].CopyFrom(first.features.feature[name])
    own[-1] = last.SerializeToString()
    assert len(own) >= 3
    records = tmp_path / "requests.tfrecord"
    with tf.io.TFRecordWriter(str(records)) as writer:
        writer.write(as_request(loaded.spec, own))
    expected = ask(signatures_of(path)["examples"], {"examples": np.array(own, object)})
    flags = [f"--target={served[0]}", "--model_name=m", "--signature=rank", "--timeout_seconds=30"]
    out, _ = main(capsys, *flags, f"--examples={records}")
    found = scores_in(out)
    assert list(found) == [f"0.{row}" for row in range(len(own))]
    np.testing.assert_allclose(list(found.values()), expected["score"], atol=1e-5)


@only_mgoe
def test_explain_takes_context(exported, served):
    options = {"user_id": "u1", "item_id": "7"}
    context = ("device=web", "hour=0", "position=-4", "shown=red|rare")
    of_directory = explain(ExplainOptions(export_dir=exported[0], context=context, **options))
    of_server = explain(
        ExplainOptions(target=served[0], model_name="m", context=context, **options)
    )
    of_nothing = explain(ExplainOptions(export_dir=exported[0], **options))
    for name, values in of_directory.answer.items():
        np.testing.assert_allclose(of_server.answer[name], values, atol=1e-6)
    # The gates read the context: experts count otherwise.
    name = "attention_buy_user_1hop"
    assert np.abs(of_nothing.answer[name] - of_directory.answer[name]).max() > 1e-7
    with pytest.raises(ValueError, match=r"--context: must be name=value, .* got 'day=1'"):
        explain(ExplainOptions(export_dir=exported[0], context=("day=1",), **options))


def post(url, verb, text):
    try:
        with urllib.request.urlopen(f"{url}:{verb}", text.encode(), timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@only_mgoe
def test_rest_says_that_a_number_is_missing(exported, served, kinds, serialized):
    body = {"user_id": ["u1"], "item_id": [[7, 14]], "hour": [0], "device": ["web"]}
    body |= {"shown": [["red", ""]], "position": [float("nan")]}
    text = json.dumps({"signature_name": "rank_ids", "inputs": body})
    assert "[NaN]" in text
    status, answer = post(served[1], "predict", text)
    arrays = {
        "user_id": USERS[:1],
        "item_id": np.array([[7, 14]]),
        "hour": np.array([0]),
        "device": np.array([b"web"], object),
        "shown": np.array([[b"red", b""]], object),
        "position": np.array([np.nan], np.float32),
    }
    expected = ask(signatures_of(exported[0])["rank_ids"], arrays)["score"]
    assert status == 200
    np.testing.assert_allclose(answer["outputs"]["score"], expected, atol=1e-5)
    status, answer = post(served[1], "predict", text.replace("NaN", "null"))
    assert status == 400
    assert "Type: Null is not of expected type: float" in answer["error"]
    # Examples leave it out.
    row = tf.train.Example.FromString(serialized[0].numpy())
    row.features.feature.pop("position", None)
    example = {}
    for name in exported[1].model.feature_names:
        if name in row.features.feature:
            feature = row.features.feature[name]
            values = getattr(feature, feature.WhichOneof("kind")).value
            example[name] = [v.decode() if isinstance(v, bytes) else v for v in values]
    text = json.dumps({"signature_name": "regress", "examples": [example]})
    status, answer = post(served[1], "regress", text)
    assert status == 200, answer
    expected = ask(
        signatures_of(exported[0])["regress"],
        {"inputs": np.array([row.SerializeToString()], object)},
    )
    np.testing.assert_allclose(answer["results"], expected["outputs"], atol=1e-5)


def test_a_client_asks_with_context(exported, served):
    ids = {"user_id": USERS, "item_id": ITEMS, **OF_USERS}
    with Client(served[0], "m", timeout_seconds=30) as client:
        answer = client.predict(ids, "rank_ids")
    assert_close(answer, ask(signatures_of(exported[0])["rank_ids"], ids))


def write_log(path):
    """400 lines of every kind of column; some cells are empty."""
    random = np.random.default_rng(3)
    lines = ["who,what,when,kind,tags,price,age,clubs,device,place,is_click,is_buy"]
    for position in range(400):
        user, item = random.integers(0, 20), random.integers(0, 15)
        tags = "|".join(f"t{tag}" for tag in random.permutation(5)[: random.integers(0, 4)])
        clubs = "|".join(str(club) for club in random.permutation(4)[: random.integers(0, 3)])
        numbers = [f"{value:.2f}" for value in (item * 3.5, user * 0.25, random.normal(0, 5))]
        price, age, place = ("" if random.random() < 0.2 else number for number in numbers)
        device = random.choice(["ios", "web", ""])
        line = [f"u{user}", 7 * item, 3600 * position, item % 4, tags, price, age, clubs, device]
        lines.append(",".join(map(str, [*line, place, 1, random.integers(0, 2)])))
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("layout", ["example", "request"])
def test_what_preparation_makes_is_exported(tmp_path, layout):
    write_log(tmp_path / "log.csv")
    data_dir = str(tmp_path / "data")
    prepare(
        PreparationOptions(
            source="csv",
            input=str(tmp_path / "log.csv"),
            data_dir=data_dir,
            user_column="who",
            item_column="what",
            timestamp_column="when",
            task_columns=("is_click:click", "is_buy:buy"),
            user_feature_columns=("age:numeric", "clubs:multi"),
            item_feature_columns=("kind", "tags:multi", "price:numeric:log"),
            context_feature_columns=("device", "when:hour_of_day:hour", "place:numeric:none"),
            activity_features=True,
            record_layout=layout,
            num_user_macro_nodes=3,
            num_item_macro_nodes=2,
            max_neighbors=4,
            num_shards=1,
        )
    )
    write_model(str(tmp_path / "mgoe"), "mgoe", data_dir)
    # `export` publishes nothing that differs from the model on these rows, in any signature.
    path = export(
        ExportOptions(
            model_dir=str(tmp_path / "mgoe"), export_base=str(tmp_path / "b"), data_dir=data_dir
        )
    )
    inputs = signatures_of(path)["rank_ids"].structured_input_signature[1]
    assert set(inputs) == {"user_id", "item_id", "device", "hour_of_day", "place"}
    assert set(signatures_of(path)["rank"].structured_input_signature[1]) > {
        *("age", "clubs", "kind", "tags", "price", "user_activity", "item_activity"),
        *inputs,
    }
    files = sorted(map(str, Path(data_dir).glob("examples/test-*.tfrecord.gz")))
    record = next(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())
    spec = read_spec(data_dir)
    if layout == "request":
        wanted = signatures_of(path)["rank"].structured_input_signature[1]
        wanted = {
            name: Input(of.dtype.as_datatype_enum, (*(size or -1 for size in of.shape),))
            for name, of in wanted.items()
        }
        packing = packing_beside(files[0])
        assert packing == Packing.of(spec, data_dir)
        rows = examples_of_request(record, packing)
        expected = ask(signatures_of(path)["examples"], {"examples": np.array(rows, object)})
        requests = request_inputs(record, wanted, packing)
        assert sorted(np.concatenate([index for index, _ in requests])) == list(range(len(rows)))
        for index, request in requests:
            found = ask(signatures_of(path)["rank"], request)
            for name in OUTPUTS:
                np.testing.assert_allclose(found[name][0], expected[name][index], atol=1e-5)
