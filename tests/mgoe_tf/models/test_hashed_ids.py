"""Every model with hashed ids against itself with a vocabulary whose rows are sums of two."""

import numpy as np
import pytest
import tensorflow as tf

from input_pipeline.log import id_hashes
from input_pipeline.log.byte_strings import ByteStrings
from mgoe_tf.layers.hashed_rows import codes_of_ids
from mgoe_tf.models.registry import MODELS, build_model
from tests.encoded_rows import as_tensors, make_spec, random_features
from tests.model_assets import assets_of, raw_ids
from tests.model_options import OPTIONS

ROWS = 7  # fewer than ids, so that they share rows
SPEC = make_spec()
HASHED = SPEC.with_hashed_ids(ROWS)
IDS = ("user_id", "item_id")


def hashed_pairs(column):
    """Both rows of what the vocabulary's table has in each of its rows, [V + 1, 2]."""
    rows = id_hashes.hashed_rows(raw_ids(SPEC, column), ROWS)
    return np.concatenate([np.zeros((1, 2), np.int32), rows])


def features_of(hashed):
    """The same rows for both models; neighbours have no side features."""
    features = random_features(SPEC, 6, seed=1)
    for feature in SPEC.input_features:
        if feature.vocabulary in IDS and hashed:
            codes = np.append(np.int64(0), codes_of_ids(raw_ids(SPEC, feature.vocabulary), ROWS))
            features[feature.name] = codes[features[feature.name]]
    sides = {name: np.zeros_like(value) for name, value in features.items() if "/" in name}
    return as_tensors(features | sides)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_an_id_is_the_sum_of_two_rows(name):
    models = {}
    for spec in (HASHED, SPEC):
        tf.keras.utils.set_random_seed(0)
        models[spec.hash_rows] = build_model(name, spec, OPTIONS[name], assets_of(name, spec))
    hashed, plain = models[ROWS], models[0]
    for one, other in zip(hashed.variables, plain.variables, strict=True):
        if one.shape == other.shape:
            one.assign(other)
    tables, random = {}, np.random.default_rng(2)
    for table, (column, dim) in plain.tables.items():
        if column in IDS:
            tables[table] = random.normal(size=(ROWS + 1, dim)).astype(np.float32)
            hashed.embeddings.tables[table].assign(tables[table])
            plain.embeddings.tables[table].assign(tables[table][hashed_pairs(column)].sum(axis=1))
    for training in (False, True):
        _assert_same(models, tables, training)


def _assert_same(models, tables, training):
    plain, answers, gradients = models[0], {}, {}
    for rows, model in models.items():
        with tf.GradientTape() as tape:
            sums = model.sums(model.bags(features_of(bool(rows))), training=training)
            logits = model.network(model.network_inputs(features_of(bool(rows)), sums))
            loss = tf.add_n([tf.reduce_sum(values) for values in logits.values()])
        answers[rows] = logits
        found = tape.gradient(loss, {t: model.embeddings.tables[t] for t in tables})
        gradients[rows] = {t: tf.convert_to_tensor(value).numpy() for t, value in found.items()}
    for task, values in answers[0].items():
        np.testing.assert_allclose(answers[ROWS][task], values, rtol=1e-4, atol=1e-5)
    for table, gradient in gradients[0].items():
        expected = np.zeros_like(tables[table])
        np.add.at(expected, hashed_pairs(plain.tables[table].vocabulary), gradient[:, np.newaxis])
        np.testing.assert_allclose(gradients[ROWS][table], expected, rtol=1e-3, atol=1e-4)


def test_raw_ids_are_of_both_types():
    assert isinstance(raw_ids(SPEC, "item_id"), ByteStrings)
    assert raw_ids(SPEC, "user_id").dtype == np.int64
