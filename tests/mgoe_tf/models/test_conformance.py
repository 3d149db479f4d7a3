"""What every registered model must do."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from mgoe_tf.models.base import RankingModel
from mgoe_tf.models.options import ModelOptions
from mgoe_tf.models.registry import MODELS, build_model
from mgoe_tf.training.loop import timed_step
from mgoe_tf.training.optimizers import LazyAdam
from mgoe_tf.training.options import TrainOptions
from mgoe_tf.training.step import TrainingStep
from mgoe_tf.training.trainer import make_strategy
from mgoe_tf.training.weighting import WEIGHTINGS, make_weighting
from tests.encoded_rows import (
    INPUTS,
    as_tensors,
    make_spec,
    random_features,
    random_labels,
    randomize,
)
from tests.mgoe_tf.policies import policy
from tests.model_assets import assets_of
from tests.model_options import BY_ROW, OPTIONS

SPEC = make_spec()
# What a model and a weighting of losses do to one another is tried in full on these; of others,
# the weighting that asks the model something.
_WEIGHED_IN_FULL = ("mgoe", "mmoe")


@pytest.fixture(params=sorted(MODELS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def make(name: str, seed: int = 0, options: ModelOptions | None = None) -> RankingModel:
    tf.keras.utils.set_random_seed(seed)
    return build_model(name, SPEC, options or OPTIONS[name], assets_of(name, SPEC))


def make_step(name: str, options: ModelOptions | None = None, **arguments) -> TrainingStep:
    model = make(name, options=options)
    return TrainingStep(model, LazyAdam(0.01, l1=1e-4, l2=1e-3), **arguments)


def batch(size: int, seed: int = 0):
    features = as_tensors(random_features(SPEC, size, seed))
    return features, as_tensors(random_labels(SPEC, size, seed))


def features_of(model: RankingModel, size: int, seed: int = 0) -> dict[str, tf.Tensor]:
    features, _ = batch(size, seed)
    return {feature: features[feature] for feature in model.zero_features()}


def signature(model: RankingModel) -> dict[str, tf.TensorSpec]:
    """Features of unknown batch size."""
    return {
        feature: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)
        for feature, tensor in features_of(model, 1).items()
    }


def assert_same(found, expected, **tolerance) -> None:
    assert set(found) == set(expected)
    for key in expected:
        np.testing.assert_allclose(found[key], expected[key], **tolerance, err_msg=key)


def assert_same_weights(found: RankingModel, expected: RankingModel, **tolerance) -> None:
    for one, other in zip(found.variables, expected.variables, strict=True):
        np.testing.assert_allclose(one, other, **tolerance, err_msg=other.name)


def test_every_model_has_its_test_numbers():
    assert {name: type(options) for name, options in OPTIONS.items()} == {
        name: model_class.options_class for name, model_class in MODELS.items()
    }


def test_options_of_another_class_are_refused(name):
    message = f"options: .* takes {type(OPTIONS[name]).__name__}, got ModelOptions"
    with pytest.raises(ValueError, match=message):
        build_model(name, SPEC, ModelOptions(), assets_of(name, SPEC))


def test_assets_that_it_does_not_need_are_refused(name):
    needed = MODELS[name].assets(SPEC)
    with pytest.raises(ValueError, match=r"assets: .* takes \[.*\], got \[.*'other.npy'"):
        build_model(name, SPEC, OPTIONS[name], {**dict.fromkeys(needed, ""), "other.npy": "x"})


def test_tables_and_lookups_tell_what_is_looked_up(name):
    model = make(name)
    for table, (vocabulary, dim) in model.tables.items():
        rows = SPEC.vocabulary(vocabulary).embedded + 1
        assert model.embeddings.tables[table].shape == (rows, dim)
    assert set(model.embeddings.tables) == set(model.tables)
    assert {lookup.table for lookup in model.lookups} <= set(model.tables)
    sums = model.sums(model.bags(features_of(model, 5)))
    assert {key: value.shape for key, value in sums.items()} == {
        lookup.name: (
            5 * lookup.lists(len(SPEC.tasks)),
            model.tables[lookup.table].dim,
        )
        for lookup in model.lookups
    }


def test_it_explains_row_by_row_or_says_that_it_does_not(name):
    model = make(name)
    inputs = model.embed(features_of(model, 5))
    if not model.explains:
        with pytest.raises(NotImplementedError, match=f"{type(model).__name__} explains nothing"):
            model.explain(inputs)
        return
    explained = model.explain(inputs)
    assert explained
    assert all(value.shape[0] == 5 for value in explained.values())


def test_logits_by_task_in_order(name):
    model = make(name)
    logits = model(features_of(model, 4))
    assert tuple(logits) == SPEC.task_names
    assert all(logit.shape == [4] and logit.dtype == tf.float32 for logit in logits.values())


@pytest.mark.parametrize("tasks", [("click",), ("a", "b", "c", "d", "e", "f", "g")], ids=len)
def test_any_number_of_tasks(name, tasks):
    spec = make_spec(tasks)
    model = build_model(name, spec, MODELS[name].options_class(), assets_of(name, spec))
    step = TrainingStep(model, LazyAdam(0.01))
    features = as_tensors(random_features(spec, 20))
    results = step((features, as_tensors(random_labels(spec, 20))))
    found = [*results.values(), *model.diagnostics(features).values()]
    assert {f"loss_{task}" for task in tasks} <= set(results)
    assert all(np.isfinite(value).all() for value in found)


def test_graph_of_unknown_batch_size_equals_eager(name):
    model = make(name)
    call = tf.function(lambda features: model(features), input_signature=[signature(model)])
    for size in (1, 5):
        features = features_of(model, size)
        assert_same(call(features), model(features), rtol=1e-5, atol=1e-6)
    assert call.experimental_get_tracing_count() == 1


def test_batch_of_one_equals_the_row_in_a_batch_of_1000(name):
    model = make(name)
    randomize(model, scale=0.3)
    features = features_of(model, 1000)
    whole = {task: tf.sigmoid(logit) for task, logit in model(features).items()}
    for row in (0, 1, 999):
        alone = model({key: value[row : row + 1] for key, value in features.items()})
        assert_same(
            {task: tf.sigmoid(logit)[0] for task, logit in alone.items()},
            {task: probability[row] for task, probability in whole.items()},
            rtol=0,
            atol=1e-6,
        )


def test_rows_of_one_user_may_share_its_features(name):
    model = make(name)
    randomize(model, scale=0.3)
    users, rows = features_of(model, 3), features_of(model, 8, seed=1)
    user_row = tf.constant([2, 0, 0, 1, 1, 1, 2, 0])
    owner_of = {feature: SPEC.feature(feature.split("/")[0]).owner for feature in rows}
    shared = {key: users[key] if owner_of[key] == "user" else rows[key] for key in rows}
    whole = {
        key: tf.gather(value, user_row) if owner_of[key] == "user" else value
        for key, value in shared.items()
    }
    assert_same(model({**shared, "user_row": user_row}), model(whole), rtol=1e-5, atol=1e-6)


def test_config_round_trips(name):
    model = make(name)
    again = type(model).from_config(json.loads(json.dumps(model.get_config())))
    assert again.get_config() == model.get_config()
    assert again.options == OPTIONS[name]
    layers = [layer for layer in model.submodules if isinstance(layer, tf.keras.layers.Layer)]
    assert len(layers) > 4
    for layer in layers:
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


def test_weights_round_trip(name):
    model, other = make(name), make(name, seed=1)
    features = features_of(model, 6)
    other.set_weights(model.get_weights())
    assert_same(other(features), model(features), rtol=0, atol=0)


def test_same_seed_same_weights(name):
    assert_same_weights(make(name), make(name), rtol=0, atol=0)


def test_gradients_reach_every_weight(name):
    model = make(name)
    # These stay as they begin: large weights, or masks that are closed, would let nothing through.
    begun = [(weight, weight.numpy()) for weight in model.unpenalized_weights]
    randomize(model, scale=0.5)
    for weight, value in begun:
        weight.assign(value)
    features, _ = batch(200)
    with tf.GradientTape() as tape:
        logits = model(features, training=True)
        total = tf.add_n([tf.reduce_sum(logit) for logit in logits.values()])
    idle = {weight.ref() for weight in model.idle_weights}
    assert idle <= {weight.ref() for weight in model.unpenalized_weights}
    for weight, gradient in zip(
        model.trainable_variables, tape.gradient(total, model.trainable_variables), strict=True
    ):
        if weight.ref() in idle:
            assert gradient is None or not tf.convert_to_tensor(gradient).numpy().any()
            continue
        assert gradient is not None, weight.name
        values = tf.convert_to_tensor(gradient).numpy()
        # Every matrix of a stack, be it an expert's, a task's or a macro node's.
        reached = np.abs(values).reshape(len(values), -1).sum(axis=1) > 0
        assert reached.all(), weight.name


def test_gradients_of_id_tables_are_sparse_and_distinct(name):
    model = make(name)
    features, _ = batch(50)
    with tf.GradientTape() as tape:
        logits = model(features, training=True)
        total = tf.add_n([tf.reduce_sum(logit) for logit in logits.values()])
    for gradient in tape.gradient(total, list(model.embeddings.tables.values())):
        assert isinstance(gradient, tf.IndexedSlices)
        assert len(np.unique(gradient.indices)) == len(gradient.indices)


def test_steps_learn(name):
    step = TrainingStep(make(name, options=BY_ROW[name]), LazyAdam(0.02))
    features, _ = batch(300)
    labels = {
        task: tf.cast(features["user_id"] + level > 5, tf.float32)
        for level, task in enumerate(SPEC.task_names)
    }
    take = tf.function(step)
    losses = [float(take((features, labels))["loss"])]
    for _ in range(40):
        step.task.forget()
        losses.append(float(take((features, labels))["loss"]))
    assert losses[-1] < 0.5 * losses[0]
    if step.model.non_trainable_weights:
        # Moving statistics lag behind weights that learn fast; here they catch up.
        catch_up = tf.function(lambda: step.model(features_of(step.model, 300), training=True))
        for _ in range(60):
            catch_up()
    step.task.forget()
    weights = [weight.numpy() for weight in step.model.variables]
    results = step.evaluate((features, labels))
    assert {"loss", "loss_click", "loss_buy"} <= set(results)
    assert float(results["loss"]) <= losses[-1]
    for old, weight in zip(weights, step.model.variables, strict=True):
        np.testing.assert_array_equal(old, weight)


def test_a_checkpoint_holds_everything_that_training_needs(name, tmp_path):
    step = make_step(name)
    for seed in range(2):
        step(batch(20, seed))
    saved = tf.train.Checkpoint(model=step.model, optimizer=step.optimizer)
    path = saved.save(str(tmp_path / "checkpoint"))

    other = make_step(name)
    restored = tf.train.Checkpoint(model=other.model, optimizer=other.optimizer)
    restored.restore(path).assert_existing_objects_matched()
    assert int(other.optimizer.iterations) == 2
    for one in (step, other):
        one(batch(20, seed=2))
    assert_same_weights(other.model, step.model, rtol=0, atol=0)


@pytest.mark.parametrize("policy_name", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(name, policy_name):
    features, labels = batch(40)
    # 2-hop edges far past float16's range must change neither finiteness nor much of the rest.
    features["user_2hop"] *= 1e6
    expected = make(name)(features)
    with policy(policy_name):
        model = make(name)
        optimizer = LazyAdam(0.01, l1=1e-4, l2=1e-3)
        if policy_name == "mixed_float16":
            optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
        step = TrainingStep(model, optimizer)
        logits = model(features)
        before = [weight.numpy() for weight in model.trainable_variables]
        for _ in range(3):
            results = step((features, labels))
    assert all(weight.dtype == tf.float32 for weight in model.trainable_variables)
    assert all(logit.dtype == tf.float32 for logit in logits.values())
    assert_same(logits, expected, rtol=0.1, atol=0.05)
    assert np.isfinite(float(results["loss"]))
    idle = {weight.ref() for weight in model.idle_weights}
    for old, weight in zip(before, model.trainable_variables, strict=True):
        assert np.array_equal(old, weight) == (weight.ref() in idle), weight.name


def test_xla_compiles_the_step_and_changes_nothing(name):
    plain, jit = (make_step(name, BY_ROW[name], jit_compile=jit) for jit in (False, True))
    step = tf.function(jit)
    for seed in range(2):
        expected = plain(batch(20, seed))
        assert_same(step(batch(20, seed)), expected, rtol=1e-4)
    assert_same_weights(jit.model, plain.model, rtol=1e-3, atol=2e-4)
    graph = step.get_concrete_function(batch(20)).graph
    compiled_calls = [
        operation
        for operation in graph.get_operations()
        if "_XlaMustCompile" in operation.node_def.attr
        and operation.node_def.attr["_XlaMustCompile"].b
    ]
    # Forward and backward.
    assert len(compiled_calls) >= 2


def distributed_steps(name: str, strategy: tf.distribute.Strategy, make_one=make_step):
    """The model after two steps in the scope of a strategy, and the losses."""
    with strategy.scope():
        step = make_one(name)
    # 21 rows are 11 on one replica and 10 on the other.
    dataset = tf.data.Dataset.from_tensor_slices(batch(42)).batch(21)
    take = timed_step(step, strategy)
    iterator = iter(strategy.experimental_distribute_dataset(dataset))
    losses = [take(iterator)[0] for _ in range(2)]
    return step, losses


def weighed(weighting: str, clip_norm: float | None, ema_decay: float):
    def make_one(name: str) -> TrainingStep:
        model = make(name, options=BY_ROW[name])
        return TrainingStep(
            model,
            LazyAdam(0.01, l2=1e-3, clip_norm=clip_norm, ema_decay=ema_decay),
            weighting=make_weighting(
                weighting,
                num_tasks=len(SPEC.task_names),
                tables=model.embeddings.variables,
                shared_weights=model.last_shared_weights,
            ),
        )

    return make_one


def skip_where_nothing_is_shared(name: str, weighting: str) -> None:
    """GradNorm needs a layer that the losses of all tasks reach, and refuses models without."""
    if weighting == "gradnorm" and not make(name).last_shared_weights:
        with pytest.raises(ValueError, match="shared_weights: must be those of the last shared"):
            make_weighting(weighting, num_tasks=3, tables=(), shared_weights=())
        pytest.skip(f"{name} has no layer that all tasks share")


def weighed_steps(settings, of_others):
    """Parameters (name, *setting): all settings of models weighed in full, some of the others."""
    return [
        (name, *setting)
        for name in sorted(MODELS)
        for setting in (settings if name in _WEIGHED_IN_FULL else of_others)
    ]


@pytest.mark.parametrize(
    ("name", "weighting", "clip_norm", "ema_decay"),
    weighed_steps(
        [
            ("fixed", 0.1, 0.5),
            ("fixed", None, 0.0),
            ("gradnorm", None, 0.0),
            ("uncertainty", None, 0.0),
            ("pcgrad", None, 0.0),
        ],
        of_others=[("fixed", 0.1, 0.5)],
    ),
)
def test_two_replicas_take_the_step_of_one_device(name, weighting, clip_norm, ema_decay):
    skip_where_nothing_is_shared(name, weighting)
    strategy = make_strategy(TrainOptions(distribution="mirrored"))
    assert strategy.num_replicas_in_sync == 2
    make_one = weighed(weighting, clip_norm, ema_decay)
    single, expected = distributed_steps(name, tf.distribute.get_strategy(), make_one)
    mirrored, found = distributed_steps(name, strategy, make_one)
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other, rtol=1e-4)
    assert_same_weights(mirrored.model, single.model, rtol=1e-3, atol=2e-4)
    np.testing.assert_allclose(
        mirrored.weighting.coefficients(), single.weighting.coefficients(), rtol=1e-4
    )
    with (
        mirrored.optimizer.averaged(mirrored.model.trainable_variables),
        single.optimizer.averaged(single.model.trainable_variables),
    ):
        assert_same_weights(mirrored.model, single.model, rtol=1e-3, atol=2e-4)


COMPILED = [
    ("fixed", "mixed_float16"),
    ("fixed", "xla"),
    ("gradnorm", "xla"),
    ("gradnorm", "mixed_float16"),
    ("pcgrad", "mixed_float16"),
    ("pcgrad", "xla"),
    ("uncertainty", "xla"),
    ("uncertainty", "mixed_float16"),
]


def test_every_weighting_is_tried():
    assert {weighting for weighting, _ in COMPILED} == set(WEIGHTINGS)


@pytest.mark.parametrize(
    ("name", "weighting", "setting"), weighed_steps(COMPILED, of_others=[("gradnorm", "xla")])
)
def test_every_weighting_learns_compiled_and_in_float16(name, weighting, setting):
    skip_where_nothing_is_shared(name, weighting)
    if setting == "xla":
        model, optimizer = make(name), LazyAdam(0.01)
    else:
        with policy("mixed_float16"):
            model = make(name)
        optimizer = tf.keras.mixed_precision.LossScaleOptimizer(LazyAdam(0.01))
    step = TrainingStep(
        model,
        optimizer,
        weighting=make_weighting(
            weighting,
            num_tasks=len(SPEC.task_names),
            tables=model.embeddings.variables,
            shared_weights=model.last_shared_weights,
        ),
        jit_compile=setting == "xla",
    )
    take, losses = tf.function(step), []
    for _ in range(12):
        step.task.forget()
        losses.append(float(take(batch(60))["loss"]))
    assert losses[-1] < losses[0]


def test_export_and_reload(name, tmp_path):
    step = make_step(name)
    step(batch(20))
    model = step.model
    module = tf.Module()
    module.weights = model.variables
    module.serve = tf.function(lambda features: model(features), input_signature=[signature(model)])
    tf.saved_model.save(module, str(tmp_path))
    reloaded = tf.saved_model.load(str(tmp_path))
    features = features_of(model, 9)
    assert_same(reloaded.serve(features), model(features), rtol=1e-5, atol=1e-6)


def test_zero_features_are_what_it_reads(name):
    model = make(name)
    features = model.zero_features(3)
    assert set(model.feature_names) <= set(features)
    expected = features_of(model, 3)
    for key, value in features.items():
        assert value.shape == expected[key].shape, key
        assert value.dtype == expected[key].dtype, key


def test_diagnostics_are_finite(name):
    model = make(name)
    found = model.diagnostics(features_of(model, 5))
    assert found
    assert all(np.isfinite(value).all() for value in found.values())


def test_what_the_data_do_not_have_costs_nothing(name):
    def operations(spec):
        model = build_model(name, spec, OPTIONS[name], assets_of(name, spec))
        inputs = {
            key: tf.TensorSpec([None, *value.shape[1:]], value.dtype)
            for key, value in model.zero_features().items()
        }
        call = tf.function(lambda features: model(features)).get_concrete_function(inputs)
        return [operation.name for operation in call.graph.get_operations()]

    more = {feature for _, lists, numbers in INPUTS.values() for feature in (*lists, *numbers)}
    more |= {feature.name for feature in SPEC.select("context")}
    plain = dataclasses.replace(
        SPEC, features=tuple(f for f in SPEC.features if f.name not in more)
    )
    kinds = ("numeric_inputs", "IsNan", "NotEqual")
    found = {kind: [o for o in operations(plain) if kind in o] for kind in kinds}
    assert found == {kind: [] for kind in kinds}
    found = operations(SPEC)
    assert all(any(kind in operation for operation in found) for kind in kinds)


def test_names_what_is_missing(name):
    model = make(name)
    features = features_of(model, 2)
    del features["item_id"]
    with pytest.raises(ValueError, match=r"features: must have \['item_id'\], got \["):
        model(features)


def test_unknown_models_are_refused():
    with pytest.raises(ValueError, match=r"model: must be one of .*mgoe, .*mmoe.*, got 'mmo'"):
        build_model("mmo", SPEC, OPTIONS)
