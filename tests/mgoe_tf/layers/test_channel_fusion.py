import numpy as np
import tensorflow as tf

from mgoe_tf.layers.channel_fusion import ChannelFusion
from tests.encoded_rows import randomize


def test_by_hand():
    fusion = ChannelFusion()
    channels = tf.constant([[[0.5]], [[-1.0]]])
    fusion(channels)
    fusion.kernel.assign([[2.0]])
    fusion.bias.assign([1.0])
    fusion.score_kernel.assign([[3.0]])
    # tanh(2 * 0.5 + 1) = tanh 2 and tanh(-1), times 3
    scores = 3 * np.tanh([2.0, -1.0])
    shares = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(fusion.shares(channels)[:, 0], shares, rtol=1e-5)
    np.testing.assert_allclose(fusion(channels), [[shares @ [0.5, -1.0]]], rtol=1e-5)


def test_shares_sum_to_1_and_one_channel_is_all():
    fusion = ChannelFusion()
    channels = tf.random.stateless_normal([3, 5, 4], seed=[0, 0])
    fusion(channels)
    randomize(fusion)
    np.testing.assert_allclose(
        tf.reduce_sum(fusion.shares(channels), axis=0), np.ones(5), rtol=1e-6
    )
    np.testing.assert_array_equal(fusion.shares(channels[:1]), np.ones((1, 5)))
    np.testing.assert_array_equal(fusion(channels[:1]), channels[0])
