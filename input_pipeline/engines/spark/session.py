"""The Spark session of a preparation."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys

from pyspark.sql import SparkSession

from input_pipeline.preparation_options import PreparationOptions

_JAVA_VERSIONS = (8, 11, 17)
_DEFAULT_MASTER = "local[*]"
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
# A program that spark-submit started has a master already.
_SUBMITTED = "PYSPARK_GATEWAY_PORT"


def start_session(preparation: PreparationOptions) -> SparkSession:
    """A new session, or that of spark-submit.

    Raises:
      ImportError: there is no Java, or none that Spark runs on.
      ValueError: `--spark_conf` is not written as key=value.
    """
    conf = spark_conf(preparation.spark_conf)
    submitted = _SUBMITTED in os.environ
    if not submitted:
        check_java()
        # The driver's own interpreter, with what is installed beside it.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("mgoe-prepare")
    master = preparation.spark_master or (None if submitted else _DEFAULT_MASTER)
    if master:
        builder = builder.master(master)
    settings = {
        "spark.sql.execution.arrow.maxRecordsPerBatch": "65536",
        # Columns of cells are compared as they are written.
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.showConsoleProgress": "false",
        **conf,
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    session: SparkSession = builder.getOrCreate()
    session.sparkContext.setLogLevel(conf.get("spark.log.level", "WARN"))
    # It tells of each connection that it closes.
    logging.getLogger("py4j").setLevel(logging.WARNING)
    return session


def spark_conf(texts: tuple[str, ...]) -> dict[str, str]:
    """The settings that `--spark_conf` names, each key=value."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ValueError(f"--spark_conf: expected key=value, got {text!r}")
        found[name] = value
    return found


def check_java() -> None:
    """Raises ImportError where there is no Java that Spark 3.5 runs on."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=os.path.join(home, "bin") if home else None)
    wanted = "--engine=spark: needs Java 17 (JAVA_HOME, or java on the PATH)"
    if java is None:
        raise ImportError(f"{wanted}, which was not found in {home or os.environ.get('PATH', '')}")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    version = _VERSION.search(told.stderr + told.stdout)
    if version is None or int(version[1]) not in _JAVA_VERSIONS:
        first = (told.stderr + told.stdout).partition("\n")[0]
        raise ImportError(f"{wanted}; Spark 3.5 runs on {_JAVA_VERSIONS}, got {first!r} of {java}")
