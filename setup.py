"""Packaging of mgoe_tf. Versions and their reasons are in BUILD_NOTES.md."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "mgoe_tf/__init__.py").read_text()).group(1)

setup(
    name="mgoe_tf",
    version=VERSION,
    description="MGOE (Macro Graph of Experts): multi-task ranking, from logs to a server",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    # 3.13 has neither TensorFlow 2.17 nor tensorflow-io 0.37 wheels.
    python_requires=">=3.10,<3.13",
    packages=find_packages(include=["mgoe_tf*", "input_pipeline*", "export*"]),
    package_data={
        "mgoe_tf": ["configs/*.flags", "configs/*.json"],
        "export": ["deploy/templates/*/*.yaml"],
    },
    install_requires=[
        # tensorflow-io 0.37.1 loads on no later TensorFlow than 2.17.
        "tensorflow==2.17.1",
        "tf_keras==2.17.0",
        "tensorflow-recommenders==0.7.7",
        # TensorFlow 2.21 does not bring it any more.
        "tensorboard>=2.17",
        # TensorBoard 2.17 imports pkg_resources, which 82 and later have not.
        "setuptools<82",
        "tensorflow-io==0.37.1; sys_platform != 'win32'",
        "tensorflow-serving-api==2.17.1",
        # TensorFlow 2.17 is built for NumPy 1; the caps keep a resolver from moving past it.
        "numpy>=1.26,<2",
        "scipy>=1.11,<1.18",
        "threadpoolctl>=3.1",
        "matplotlib>=3.8,<3.12",
        # pyarrow 26 refuses NumPy 1.
        "pyarrow>=15,<26",
        "isal>=1.6",
        "tqdm>=4.66",
        "absl-py>=2",
        "grpcio>=1.60",
        # Later ones ask for protobuf 5, 6 and so on.
        "grpcio-health-checking>=1.60,<1.63",
        "grpcio-reflection>=1.60,<1.63",
        "protobuf>=4.25,<5",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]==2.17.1"],
        # 3.5 runs on Java 8 to 17, which clusters have; its functions on Arrow need pandas.
        "spark": ["pyspark>=3.5.3,<3.6", "pandas>=2.2,<3"],
        # Peers of `python -m tests.benchmarks`.
        "bench": [
            "torch==2.13.0",
            "torch-rechub==0.9.0",
            "deepctr==0.9.4",
            "scikit-learn>=1.4,<1.10",
        ],
        # `python -m export.features --format=redis`, and the client that reads from there
        "redis": ["redis>=5,<9"],
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3",
            "ruff==0.17.6",
            "mypy==2.4.1",
            "pre-commit>=3",
            "moto[server]>=5",
            "redis>=5,<9",
            "scikit-learn>=1.4,<1.10",
            # schema of the compose file; certificates of the server's tests
            "compose-spec>=0.2",
            "cryptography>=42",
            "pyyaml>=6",
            # Runs what `python -m tests.benchmarks.gpu --write_hlo=DIR` writes; later ones ask for
            # another ml_dtypes than TensorFlow 2.17 has.
            "jax>=0.4.30,<0.6",
        ],
    },
    entry_points={
        "console_scripts": [
            "mgoe-prepare = input_pipeline.prepare:main",
            "mgoe-refresh = input_pipeline.refresh:main",
            "mgoe-synthetic = input_pipeline.sources.synthetic.__main__:main",
            "mgoe-train = mgoe_tf.train:main",
            "mgoe-launch = mgoe_tf.launch:main",
            "mgoe-evaluate = mgoe_tf.evaluate:main",
            "mgoe-compare = mgoe_tf.compare:main",
            "mgoe-tune = mgoe_tf.tune:main",
            "mgoe-experiments = mgoe_tf.experiments:main",
            "mgoe-export = export.savedmodel:main",
            "mgoe-serve = export.serve:main",
            "mgoe-client = export.client.__main__:main",
            "mgoe-deploy = export.deploy.__main__:main",
            "mgoe-explain = export.explain:main",
            "mgoe-daily = export.daily.__main__:main",
            "mgoe-features = export.features:main",
        ]
    },
)
