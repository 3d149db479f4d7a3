import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from mgoe_tf.layers.masked_experts import MaskedExperts
from tests.encoded_rows import randomize

UNITS = (5, 4)


def make(num_features: int = 6, seed: int = 0, **changes) -> MaskedExperts:
    """Three experts, masks around their middle, so that some are closed and some wide open."""
    tf.keras.utils.set_random_seed(seed)
    layer = MaskedExperts(**{"num_experts": 3, "units": UNITS, "deviation": 1e-9, **changes})
    layer.build([None, num_features])
    randomize(layer, seed)
    for mask in (*layer.neuron_masks, *layer.expert_masks):
        mask.assign(mask + 0.5)
    rng = np.random.default_rng(seed)
    for norm in layer.norms:
        norm.moving_mean.assign(rng.normal(size=norm.moving_mean.shape))
        norm.moving_variance.assign(rng.uniform(0.5, 2.0, norm.moving_variance.shape))
    return layer


def rows(count: int = 7, num_features: int = 6, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, num_features)).astype(np.float32)


def expected_outputs(
    layer: MaskedExperts, inputs, *, second: bool, training: str = ""
) -> np.ndarray:
    """[E, B, H] by the definition, expert by expert.

    Args:
      layer, inputs: of the layer.
      second: whether experts have masks of their own.
      training: `together` or `apart`: how batches are normalised; "": by moving statistics.
    """
    outputs = [inputs.astype(np.float64)] * layer.num_experts
    for number, norm in enumerate(layer.norms):
        kernel, kept = layer.kernels[number].numpy()[0], layer.kept[number].numpy()[0]
        products = []
        for expert, before in enumerate(outputs):
            own = layer.expert_masks[number].numpy()[expert]
            mask = kept * np.clip(own, 0, 1) if second else layer.neuron_masks[number].numpy()[0]
            products.append(before @ (np.clip(mask, 0, 1) * kernel))
        outputs = []
        for product in products:
            batch = np.concatenate(products) if training == "together" else product
            mean, variance = batch.mean(axis=0), batch.var(axis=0)
            if not training:
                mean, variance = norm.moving_mean.numpy()[0], norm.moving_variance.numpy()[0]
            normal = (product - mean) / np.sqrt(variance + norm.epsilon)
            outputs.append(np.maximum(normal * norm.gamma.numpy()[0] + norm.beta.numpy()[0], 0))
    return np.stack(outputs)


def test_hand_worked():
    layer = MaskedExperts(num_experts=2, units=[1], deviation=0.5)
    layer.build([None, 2])
    layer.kernels[0].assign([[[4.0], [10.0]]])
    layer.neuron_masks[0].assign([[[0.25], [-3.0]]])
    layer.norms[0].moving_variance.assign([[1.0 - layer.norms[0].epsilon]])
    inputs = tf.constant([[3.0, 7.0]])
    # 3 * 0.25 * 4, the second input closed; both experts alike
    np.testing.assert_allclose(layer(inputs), [[[3.0]], [[3.0]]], rtol=1e-6)
    layer.begin_expert_masks()
    np.testing.assert_allclose(layer.kernels[0], [[[1.0], [0.0]]])
    np.testing.assert_array_equal(layer.kept[0], [[[1.0], [0.0]]])
    layer.expert_masks[0].assign([[[0.5], [1.0]], [[2.0], [1.0]]])
    # 3 * 0.5 * 1 and 3 * 1 * 1
    np.testing.assert_allclose(layer(inputs), [[[1.5]], [[3.0]]], rtol=1e-6)


@pytest.mark.parametrize("second", [False, True], ids=["model mask", "expert masks"])
@pytest.mark.parametrize("training", ["", "together", "apart"])
def test_equals_its_definition(second, training):
    layer, inputs = make(normalize_by_expert=training == "apart"), rows()
    if second:
        layer.begin_expert_masks()
        assert 0 < np.mean([np.mean(kept.numpy()) for kept in layer.kept]) < 1
    expected = expected_outputs(layer, inputs, second=second, training=training)
    found = layer(tf.constant(inputs), training=bool(training))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert second == bool((np.abs(expected - expected[:1]) > 1e-2).any())


def test_statistics_of_all_experts_move_once_or_by_each_in_turn():
    inputs = tf.constant(rows())
    together, apart = make(), make(normalize_by_expert=True)
    for layer in (together, apart):
        layer.begin_expert_masks()
    mean = together.norms[0].moving_mean.numpy()
    masks = together.expert_masks[0].numpy().clip(0, 1) * together.kept[0].numpy()
    products = inputs.numpy() @ (masks * together.kernels[0].numpy())
    for layer in (together, apart):
        layer(inputs, training=True)
    np.testing.assert_allclose(
        together.norms[0].moving_mean, 0.9 * mean + 0.1 * products.mean(axis=(0, 1)), rtol=1e-4
    )
    for product in products:
        mean = 0.9 * mean + 0.1 * product.mean(axis=0)
    np.testing.assert_allclose(apart.norms[0].moving_mean, mean, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("binary", [False, True])
def test_folding_changes_nothing_while_expert_masks_are_open(binary):
    layer, inputs = make(binarize_at_eval=binary), tf.constant(rows())
    for mask in layer.expert_masks:
        mask.assign(tf.ones_like(mask))
    before = layer(inputs).numpy()
    assert np.abs(before).max() > 0.1
    layer.begin_expert_masks()
    np.testing.assert_allclose(layer(inputs), before, rtol=1e-5, atol=1e-6)


def test_equal_masks_make_equal_experts():
    layer, inputs = make(), tf.constant(rows())
    layer.begin_expert_masks()
    for mask in layer.expert_masks:
        mask.assign(tf.repeat(mask[1:2], 3, axis=0))
    outputs = layer(inputs).numpy()
    for other in outputs[1:]:
        np.testing.assert_allclose(other, outputs[0], rtol=1e-6)


def test_open_masks_leave_the_network_itself():
    layer, inputs = make(model_mask=False), rows()
    for mask in layer.expert_masks:
        mask.assign(tf.ones_like(mask))
    hidden = inputs.astype(np.float64)
    for kernel, norm in zip(layer.kernels, layer.norms, strict=True):
        hidden = hidden @ kernel.numpy()[0] - norm.moving_mean.numpy()[0]
        hidden /= np.sqrt(norm.moving_variance.numpy()[0] + norm.epsilon)
        hidden = np.maximum(hidden * norm.gamma.numpy()[0] + norm.beta.numpy()[0], 0)
    np.testing.assert_allclose(layer(tf.constant(inputs)), [hidden] * 3, rtol=1e-4, atol=1e-5)


def test_binary_masks_are_those_of_a_half_and_more():
    layer, inputs = make(binarize_at_eval=True), tf.constant(rows())
    found = layer(inputs).numpy()
    other = make()
    for mask in other.neuron_masks:
        mask.assign(tf.cast(mask >= 0.5, tf.float32))
    np.testing.assert_allclose(found, other(inputs), rtol=1e-5, atol=1e-6)
    # training is as without
    np.testing.assert_allclose(
        layer(inputs, training=True), make()(inputs, training=True), rtol=1e-5, atol=1e-6
    )


def gradients(layer: MaskedExperts, inputs) -> dict[str, np.ndarray]:
    """By name, of the sum of the outputs and both penalties; in a graph, as in training."""
    weights = layer.trainable_variables

    @tf.function
    def compute():
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(layer(inputs, training=True) ** 2) + tf.add_n(
                layer.expected_open()
            )
        return tape.gradient(total, weights)

    pairs = zip(weights, compute(), strict=True)
    return {weight.name.split(":")[0].split("/")[-1]: g.numpy() for weight, g in pairs}


def test_each_phase_moves_its_own_masks_alone():
    layer, inputs = make(deviation=0.5), tf.constant(rows())
    first = gradients(layer, inputs)
    layer.begin_expert_masks()
    second = gradients(layer, inputs)
    for number in range(2):
        neurons, experts = f"neuron_mask_{number}", f"expert_masks_{number}"
        assert first[neurons].any()
        assert not first[experts].any()
        assert not second[neurons].any()
        assert second[experts].any(axis=(1, 2)).all()
        # closed rows stay closed
        closed = layer.kept[number].numpy()[0, :, 0] == 0
        assert 0 < closed.sum() < len(closed)
        for name in (f"kernel_{number}", experts):
            assert not second[name][:, closed].any()
            assert second[name][:, ~closed].any()


def test_noise_is_of_training_and_has_its_deviation():
    layer = MaskedExperts(num_experts=400, units=[1], deviation=0.2, model_mask=False)
    layer.build([None, 1])
    layer.norms[0].gamma.assign([[1.0]])
    masks = np.concatenate([layer._drawn_masks()[0].numpy().ravel() for _ in range(10)])
    np.testing.assert_allclose([masks.mean(), masks.std()], [0.5, 0.2], atol=0.02)
    np.testing.assert_array_equal(layer._masks(0), np.full([400, 1, 1], 0.5))


def test_its_state_is_in_checkpoints(tmp_path):
    layer, inputs = make(deviation=0.5), tf.constant(rows())
    layer(inputs, training=True)
    layer.begin_expert_masks()
    path = tf.train.Checkpoint(layer=layer).save(str(tmp_path / "checkpoint"))
    other = make(deviation=0.5, seed=1)
    assert not bool(other.in_second_phase())
    tf.train.Checkpoint(layer=other).restore(path).assert_existing_objects_matched()
    assert bool(other.in_second_phase())
    for _ in range(2):
        np.testing.assert_array_equal(other(inputs, training=True), layer(inputs, training=True))
    np.testing.assert_array_equal(other(inputs), layer(inputs))


def test_a_graph_follows_the_phase_without_being_traced_again():
    layer, inputs = make(), tf.constant(rows())
    call = tf.function(lambda x: layer(x))
    np.testing.assert_allclose(call(inputs), layer(inputs), rtol=1e-5, atol=1e-6)
    layer.begin_expert_masks()
    np.testing.assert_allclose(call(inputs), layer(inputs), rtol=1e-5, atol=1e-6)
    assert call.experimental_get_tracing_count() == 1


def test_expected_share_of_open_masks():
    layer = make(deviation=0.5)
    neurons, experts = layer.expected_open()
    expected = sum(stats.norm.cdf(mask.numpy() / 0.5).mean() for mask in layer.neuron_masks)
    np.testing.assert_allclose(neurons, expected, rtol=1e-5)
    assert float(experts) == 0
    layer.begin_expert_masks()
    neurons, experts = layer.expected_open()
    assert float(neurons) == 0
    expected = sum(
        stats.norm.cdf(mask.numpy()[:, kept.numpy()[0, :, 0] > 0] / 0.5).mean(axis=(1, 2)).sum()
        for mask, kept in zip(layer.expert_masks, layer.kept, strict=True)
    )
    np.testing.assert_allclose(experts, expected, rtol=1e-5)


def test_sparsity_by_hand():
    layer = MaskedExperts(num_experts=2, units=[2], deviation=0.5)
    layer.build([None, 4])
    layer.neuron_masks[0].assign([[[0.5], [-0.1], [2.0], [0.1]]])
    found = {name: float(value) for name, value in layer.sparsity().items()}
    assert found == {
        "closed_neurons/layer_0": 0.25,
        "closed_weights/layer_0": 0.25,
        "openness/layer_0": pytest.approx((0.5 + 0 + 1 + 0.1) / 4),
    }
    layer.begin_expert_masks()
    # the third neuron is closed by one expert alone, an entry of the first by the other
    masks = np.full([2, 4, 2], 0.5, np.float32)
    masks[0, 2], masks[1, 0, 1] = -1.0, 0.0
    layer.expert_masks[0].assign(masks)
    found = {name: float(value) for name, value in layer.sparsity().items()}
    assert found["closed_neurons/layer_0"] == 0.25
    assert found["closed_weights/layer_0"] == (4 + 2 + 1) / 16
    assert found["openness/layer_0"] == pytest.approx(0.5 * 9 / 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_experts": 0}, "num_experts: must be at least 1, got 0"),
        ({"units": []}, r"units: must be one or more widths of at least 1, got \[\]"),
        ({"deviation": 0.0}, r"deviation: must be above 0, got 0\.0"),
        ({"dropout": 1.0}, r"dropout: must be in \[0, 1\), got 1\.0"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        MaskedExperts(**{"num_experts": 3, "units": UNITS, "deviation": 0.5, **arguments})


def wave(*shape: int, start: int = 0) -> np.ndarray:
    return np.sin(start + np.arange(np.prod(shape))).reshape(shape).astype(np.float32)


def authors_layer(**arguments) -> MaskedExperts:
    """With the kernels that the numbers below were made with."""
    layer = MaskedExperts(num_experts=3, units=UNITS, deviation=1e-9, **arguments)
    layer.build([None, 6])
    for number, kernel in enumerate(layer.kernels):
        kernel.assign(wave(*kernel.shape, start=10 * (number + 1)))
    return layer


def test_model_mask_equals_the_authors_code():
    """The numbers are what `MoME.output` of github.com/Xjh0327/MoME (models.py) returned.

    Run once on PyTorch in training, which alone runs in the first phase, without dropout and noise,
    on these inputs, kernels and masks; its penalty with lambda_1 = 0.5 and sigma 0.5.
    """
    layer = authors_layer()
    masks = [[0.5, 1.2, -0.1, 0.3, 0.9, 0.7], [0.4, 0.6, -0.2, 1.1, 0.8]]
    for variable, values in zip(layer.neuron_masks, masks, strict=True):
        variable.assign(np.reshape(values, variable.shape))
    outputs = layer(tf.constant(wave(7, 6, start=3)), training=True)
    for expert in tf.unstack(outputs):
        np.testing.assert_allclose(
            expert[0], [1.042450189590454, 1.9409598112106323, 1.548274278640747, 0.0], atol=1e-5
        )
        np.testing.assert_allclose(
            expert[6], [0.0, 0.04637937247753143, 0.9501335620880127, 1.357873558998108], atol=1e-5
        )
    layer.deviation = 0.5
    np.testing.assert_allclose(0.5 * layer.expected_open()[0], 0.8001406788825989, atol=1e-5)


def test_expert_masks_equal_the_authors_code():
    """The numbers are the mixtures of `MoME.forward` of github.com/Xjh0327/MoME.

    Run once as above with M = 0, noise of 0 by expert, towers that are the identity, three experts
    and two tasks; its penalty with lambda_2 = 0.25 and sigma 0.5.
    """
    layer = authors_layer(model_mask=False, normalize_by_expert=True)
    for number, variable in enumerate(layer.expert_masks):
        shape = variable.shape[1:]
        starts = (100 * (number + 1) + expert for expert in range(3))
        variable.assign(np.stack([0.5 + 0.8 * wave(*shape, start=start) for start in starts]))
    x = wave(7, 6, start=3)
    outputs = layer(tf.constant(x), training=True)
    expected = [
        [
            [0.746315062046051, 0.5284329652786255, 1.4923632144927979, 0.8928459286689758],
            [1.5086995363235474, 1.5468730926513672, 0.7767117023468018, 1.3562533855438232],
        ],
        [
            [0.805692732334137, 0.4200003147125244, 1.4070879220962524, 0.725080132484436],
            [1.4393391609191895, 1.6077624559402466, 0.7118130326271057, 1.4128220081329346],
        ],
    ]
    for task in range(2):
        gates = tf.nn.softmax(x @ wave(6, 3, start=200 + task) + wave(3, start=300 + task))
        mixed = tf.einsum("be,ebh->bh", gates, outputs)
        np.testing.assert_allclose(tf.gather(mixed, [0, 6]), expected[task], atol=2e-5)
    layer.deviation = 0.5
    np.testing.assert_allclose(0.25 * layer.expected_open()[1], 1.0962385535240173, atol=1e-5)
