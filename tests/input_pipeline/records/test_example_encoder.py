import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from input_pipeline.records import example_encoder as examples


def parse(entries, row):
    return tf.train.Features.FromString(entries[row].as_py()).feature


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**31, 2**63 - 1, -1, -(2**63)])
def test_varints(value):
    entry = examples.feature_entry("f", "int64", examples.varints(np.array([value])))
    assert parse(entry, 0)["f"].int64_list.value == [value]


def test_varint_of_300():
    # 300 = 0b10_0101100: the low seven bits first, with the flag that more follow.
    assert examples.varints(np.array([300, 1]))[0].as_py() == bytes([0b1010_1100, 0b10])


@pytest.mark.parametrize("kind", ["int64", "float", "bytes"])
def test_an_empty_list_is_present_and_of_its_kind(kind):
    entry = examples.feature_entry("f", kind, pa.array([b""], pa.large_binary()))
    assert parse(entry, 0)["f"].WhichOneof("kind") == f"{kind}_list"


def test_byte_lists_hold_empty_and_long_strings():
    ids = np.array([b"", b"x" * 200, "ü".encode()], dtype=object)
    encoded = examples.encode_values(ids)
    entry = examples.feature_entry("a_long_name" * 12, "bytes", encoded)
    values = [parse(entry, row)["a_long_name" * 12].bytes_list.value[0] for row in range(3)]
    assert values == ids.tolist()


def test_lists_of_several_byte_strings():
    encoded = examples.encode_values(np.array([b"a", b"bb"], dtype=object))
    flat, offsets = examples.flat_bytes(encoded)
    lists = examples.strings(flat, offsets[np.array([0, 2, 2])])
    entry = examples.feature_entry("f", "bytes", lists)
    assert parse(entry, 0)["f"].bytes_list.value == [b"a", b"bb"]
    assert parse(entry, 1)["f"].WhichOneof("kind") == "bytes_list"
