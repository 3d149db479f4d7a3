"""What a preparation on Spark needs, and how it says so."""

import os

import pytest

pytest.importorskip("pyspark", reason="the extra `spark` is not installed")

from input_pipeline.engines.spark.session import check_java, spark_conf
from input_pipeline.preparation_options import PreparationOptions


def java(folder, told):
    """A program that tells the version that Java would."""
    os.makedirs(folder / "bin")
    path = folder / "bin" / "java"
    path.write_text(f"#!/bin/sh\necho '{told}' >&2\n")
    path.chmod(0o755)
    return str(folder)


def test_without_java_it_is_said_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImportError, match=rf"needs Java 17 .*was not found in {tmp_path}"):
        check_java()


@pytest.mark.parametrize(
    ("told", "is_fit"),
    [
        ('openjdk version "17.0.15" 2025-04-15', True),
        ('java version "1.8.0_402"', True),
        ('openjdk version "21.0.2" 2024-01-16', False),
        ("no such thing", False),
    ],
)
def test_versions_of_java(monkeypatch, tmp_path, told, is_fit):
    monkeypatch.setenv("JAVA_HOME", java(tmp_path / "home", told))
    if is_fit:
        check_java()
        return
    with pytest.raises(ImportError, match=r"runs on \(8, 11, 17\), got '" + told[:8]):
        check_java()


def test_settings_are_written_as_key_and_value():
    assert spark_conf(("a.b=c=d", "e=")) == {"a.b": "c=d", "e": ""}
    for text in ("a", "=b"):
        with pytest.raises(ValueError, match=f"--spark_conf: expected key=value, got '{text}'"):
            spark_conf((text,))


def test_flags_of_spark_are_for_spark():
    for flag, value in (("spark_master", "yarn"), ("partition_filter", "dt > 1")):
        with pytest.raises(ValueError, match=f"--{flag}: is for --engine=spark, got '{value}'"):
            PreparationOptions(**{flag: value})
