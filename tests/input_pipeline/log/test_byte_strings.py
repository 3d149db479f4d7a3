import numpy as np
import pytest

from input_pipeline.log import byte_strings
from input_pipeline.log.byte_strings import ByteStrings, same_strings


def random_strings(alphabet: bytes, seed: int, longest: int = 40, count: int = 2000) -> list[bytes]:
    """Distinct strings, most of them short, a tenth as long as they may be."""
    random = np.random.default_rng(seed)
    found = set()
    for _ in range(count):
        length = random.integers(0, longest if random.random() < 0.1 else 6)
        found.add(bytes(random.choice(list(alphabet), length).tolist()))
    return list(found)


def test_hand_worked():
    strings = ByteStrings.of([b"one", b"", b"three"])
    assert strings.flat.tobytes() == b"onethree"
    assert strings.offsets.tolist() == [0, 3, 3, 8]
    assert strings.lengths.tolist() == [3, 0, 5]
    assert [strings[0], strings[-1], strings[np.int64(1)]] == [b"one", b"three", b""]
    assert strings.lines().tobytes() == b"one\n\nthree\n"
    assert strings.with_any(b"tn").tolist() == [0, 2]
    with pytest.raises(IndexError):
        strings[3]


@pytest.mark.parametrize("block", [3, 1 << 18])
@pytest.mark.parametrize("alphabet", [b"ab", b"0123456789", b"\0a", bytes(range(256))])
def test_everything_is_as_of_a_list(monkeypatch, alphabet, block):
    monkeypatch.setattr(byte_strings, "_BLOCK", block)
    values = random_strings(alphabet, 0, count=300 if block == 3 else 2000)
    strings, random = ByteStrings.of(values), np.random.default_rng(1)
    assert strings.tolist() == list(strings) == values
    index = random.integers(-len(values), len(values), 500)
    assert strings[index].tolist() == [values[n] for n in index]
    mask = random.random(len(values)) < 0.5
    assert strings[mask].tolist() == [v for v, kept in zip(values, mask, strict=True) if kept]
    for part in (slice(2, 9), slice(9, 2), slice(None), slice(-3, None), slice(None, None, -2)):
        assert strings[part].tolist() == values[part]
    assert [values[n] for n in strings.distinct()[0]] == sorted(values)
    assert ByteStrings.of_lines(strings.lines().tobytes()).tolist() == (
        values
        if b"\n"[0] not in alphabet
        else b"".join(v + b"\n" for v in values).split(b"\n")[:-1]
    )


def test_order_of_strings_that_share_long_beginnings():
    beginnings = [b"http://example.com/a/very/long/way/" * 3, b"http://example.com/", b""]
    values = [start + end for start in beginnings for end in random_strings(b"xyz/", 2)]
    values = list(dict.fromkeys(values))
    assert [values[n] for n in ByteStrings.of(values).distinct()[0]] == sorted(values)


def test_what_all_begin_with_does_not_change_the_order():
    digits = np.random.default_rng(0).integers(0, 10**6, 3000).tolist()
    for values in ([b"user_%d" % n for n in digits], [b"user_"] * 3, [b"us", b"user_", b"us"]):
        first, which = ByteStrings.of(values).distinct()
        assert [values[n] for n in first] == sorted(set(values))
        assert [sorted(set(values))[n] for n in which] == values


@pytest.mark.parametrize("alphabet", [b"ab", b"\0a", b"0123456789"])
def test_repeated_strings_are_one(alphabet):
    values = random_strings(alphabet, 5, count=300)
    random = np.random.default_rng(6)
    repeated = [values[n] for n in random.integers(0, len(values), 1000)]
    first, which = ByteStrings.of(repeated).distinct()
    ascending = sorted(set(repeated))
    assert [repeated[n] for n in first] == ascending
    assert [ascending[n] for n in which] == repeated


def test_distinct_ones_of_hardly_any():
    for values, distinct, which in (
        ([b"x"], [b"x"], [0]),
        ([], [], []),
        ([b"", b""], [b""], [0, 0]),
        ([b"b", b"", b"b", b"\0"], [b"", b"\0", b"b"], [2, 0, 2, 1]),
    ):
        strings = ByteStrings.of(values)
        first, found = strings.distinct()
        assert strings[first].tolist() == distinct
        assert found.tolist() == which
    assert ByteStrings.of([]).tolist() == ByteStrings.of_lines(b"").tolist() == []


def test_equal_strings_have_equal_hashes_and_others_do_not():
    values = random_strings(bytes(range(256)), 3)
    hashes = ByteStrings.of(values).hashes()
    assert len(set(hashes.tolist())) == len(values)
    order = np.random.default_rng(4).permutation(len(values))
    assert (ByteStrings.of([values[n] for n in order]).hashes() == hashes[order]).all()
    # As many bytes again of zeros, or of what follows in the same block, make another string.
    values = [b"", b"\0", b"\0" * 8, b"\0" * 9, b"a", b"a\0", b"ab", b"abcdefgh", b"abcdefghi"]
    assert len(set(ByteStrings.of(values).hashes().tolist())) == len(values)


def test_hash_worked_out_in_whole_numbers():
    def by_hand(text: bytes) -> int:
        found = len(text)
        for start in range(0, len(text), 8):
            word = int.from_bytes(text[start : start + 8].rjust(8, b"\0"), "little")
            mixed = (found ^ word) * 0x9E3779B97F4A7C15 % 2**64
            found = mixed ^ mixed >> 32
        return found

    values = [b"a", b"user_1", b"12345678", b"1234567890123456", b"user_12345678901234567"]
    assert ByteStrings.of(values).hashes().tolist() == [by_hand(value) for value in values]


def test_long_strings_and_those_at_the_end_are_taken_alike(monkeypatch):
    monkeypatch.setattr(byte_strings, "_BLOCK", 3)
    values = [b"x" * 100, b"", b"ab", b"c" * 64, b"defg", b"", b"h"]
    order = np.random.default_rng(0).integers(0, len(values), 50)
    strings = ByteStrings.of(values)
    assert strings[order].tolist() == [values[n] for n in order]
    assert strings[np.array([1, 5])].tolist() == [b"", b""]
    assert strings[np.ones(7, bool)] is strings


def test_same_strings():
    left = ByteStrings.of([b"", b"ab", b"ab", b"a", b"", b"abc"])
    right = ByteStrings.of([b"", b"ab", b"ac", b"ab", b"x", b"abc"])
    assert same_strings(left, right).tolist() == [True, True, False, False, False, True]
