import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from input_pipeline.feature import UNKNOWN_INT64, Feature, Transform
from input_pipeline.graph.node_table import DenseColumn
from input_pipeline.log.byte_strings import ByteStrings
from input_pipeline.log.raw_ids import dtype_of
from input_pipeline.records import example_encoder as examples
from input_pipeline.records import wire_format


def parse(entries, row):
    return tf.train.Features.FromString(entries[row].as_py()).feature


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**31, 2**63 - 1, -1, -(2**63)])
def test_varints(value):
    entry = wire_format.feature_entry("f", "int64", wire_format.varints(np.array([value])))
    assert parse(entry, 0)["f"].int64_list.value == [value]


def test_varint_of_300():
    # 300 = 0b10_0101100: the low seven bits first, with the flag that more follow.
    assert wire_format.varints(np.array([300, 1]))[0].as_py() == bytes([0b1010_1100, 0b10])


@pytest.mark.parametrize("kind", ["int64", "float", "bytes"])
def test_an_empty_list_is_present_and_of_its_kind(kind):
    entry = wire_format.feature_entry("f", kind, pa.array([b""], pa.large_binary()))
    assert parse(entry, 0)["f"].WhichOneof("kind") == f"{kind}_list"


def test_byte_lists_hold_empty_and_long_strings():
    ids = ByteStrings.of([b"", b"x" * 200, "ü".encode()])
    encoded = wire_format.encode_values(ids)
    entry = wire_format.feature_entry("a_long_name" * 12, "bytes", encoded)
    values = [parse(entry, row)["a_long_name" * 12].bytes_list.value[0] for row in range(3)]
    assert values == ids.tolist()


def test_lists_of_several_byte_strings():
    encoded = wire_format.encode_values(ByteStrings.of([b"a", b"bb"]))
    flat, offsets = wire_format.flat_bytes(encoded)
    lists = wire_format.strings(flat, offsets[np.array([0, 2, 2])])
    entry = wire_format.feature_entry("f", "bytes", lists)
    assert parse(entry, 0)["f"].bytes_list.value == [b"a", b"bb"]
    assert parse(entry, 1)["f"].WhichOneof("kind") == "bytes_list"


def price_feature(optional):
    missing = {"missing": "nan", "optional": True} if optional else {}
    return Feature("price", "item", "numeric", "float", transform=Transform("log"), **missing)


def test_a_missing_number_is_left_out():
    column = DenseColumn(np.array([1.5, np.nan, -0.0], np.float32), np.nan)
    payload = examples.column_payload(price_feature(True), column, {})
    assert [len(value.as_py()) for value in payload] == [4, 0, 4]
    entry = wire_format.feature_entry("price", "float", payload, optional=True)
    assert parse(entry, 0)["price"].float_list.value == [1.5]
    assert entry[1].as_py() == b""
    assert parse(entry, 2)["price"].float_list.value == [0.0]


def test_a_number_that_must_be_there_is_written_as_it_is():
    column = DenseColumn(np.array([np.nan], np.float32))
    payload = examples.column_payload(price_feature(False), column, {})
    entry = wire_format.feature_entry("price", "float", payload)
    assert np.isnan(parse(entry, 0)["price"].float_list.value[0])


@pytest.mark.parametrize(
    ("ids", "missing", "wanted"),
    [
        (np.array([7, 8]), UNKNOWN_INT64, [8, UNKNOWN_INT64, 7]),
        (ByteStrings.of([b"a", b"bc"]), "", [b"bc", b"", b"a"]),
    ],
)
def test_a_missing_id_reads_as_the_feature_says(ids, missing, wanted):
    dtype = dtype_of(ids)
    feature = Feature("tab", "context", "side", dtype, vocabulary="tab", missing=missing)
    column = DenseColumn(np.array([1, -1, 0], np.int32), -1)
    payload = examples.column_payload(feature, column, {"tab": wire_format.encode_values(ids)})
    entries = wire_format.feature_entry("tab", dtype, payload)
    found = [getattr(parse(entries, n)["tab"], f"{dtype}_list").value[0] for n in range(3)]
    assert found == wanted
