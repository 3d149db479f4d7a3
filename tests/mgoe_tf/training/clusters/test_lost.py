"""What tells that processes are gone."""

import pytest
import tensorflow as tf

from input_pipeline.files.failures import FileError, doing
from mgoe_tf.training.clusters.lost import noticing_loss
from mgoe_tf.training.clusters.place import ClusterLost

GONE = tf.errors.UnavailableError(None, None, "failed to connect to all addresses\nmore")


def test_a_server_that_is_gone_ends_the_process_with_75(capsys) -> None:
    with pytest.raises(ClusterLost) as lost, noticing_loss("a parameter server"):
        raise GONE
    assert lost.value.code == 75
    assert capsys.readouterr().err == (
        "a parameter server was lost, and what it held: start all processes again with --resume, "
        "which goes on from the latest checkpoint (UnavailableError: failed to connect to all "
        "addresses)\n"
    )


def test_so_does_one_that_is_gone_while_a_checkpoint_is_written(capsys, tmp_path) -> None:
    with pytest.raises(ClusterLost), noticing_loss("a server"), doing("saving", str(tmp_path)):
        raise GONE
    assert "a server was lost" in capsys.readouterr().err


def test_a_full_disk_is_no_loss(tmp_path) -> None:
    full = tf.errors.ResourceExhaustedError(None, None, "No space left on device")
    with pytest.raises(FileError), noticing_loss("a server"), doing("saving", str(tmp_path)):
        raise full


def test_what_the_caller_did_wrong_is_told_as_such() -> None:
    with pytest.raises(ValueError, match="a bad row"), noticing_loss("a server"):
        raise ValueError("a bad row")
