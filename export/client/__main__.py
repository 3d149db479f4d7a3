"""Asks a model of TensorFlow Serving or of `export.serve`.

    python -m export.client --user_id=ID --item_ids=ID,ID,...
    python -m export.client --user_id=ID --data_dir=DIR
    python -m export.client --user_id=ID --item_ids=ID,ID,... --context=hour=13,device=ios
    python -m export.client --signature=classify --examples=FILE.tfrecord.gz

Ranks candidates of a user: by the signature rank_ids where the model has it, else by rank with
features that are joined from the graph of --data_dir. Or replays a TFRecord: rows by examples,
classify and regress, records of the request layout by rank. Needs grpcio, protobuf and NumPy only.
"""

from __future__ import annotations

import argparse
import functools
import os
import pathlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from export.client import context, known_ids, ranking
from export.client.client import Client, Signature
from export.client.records import read_records
from export.client.request_records import packing_beside, request_inputs
from export.client.snapshot import GraphSnapshot
from input_pipeline.commands import streams
from input_pipeline.commands.text_table import table

_RANKING = ("rank_ids", "rank", "serving_default")
_OF_EXAMPLES = ("examples", "classify", "regress")
_WORTH_TELLING_SECONDS = 1.0


def _rows_text(
    outputs: Mapping[str, NDArray[Any]], first: str, count: int, tasks: Sequence[str] = ()
) -> str:
    """The first rows of outputs [N], the column `first` first and `score` second, then `tasks`."""
    names = [*(task for task in tasks if task in outputs), *sorted(set(outputs) - {*tasks})]
    names = [name for name in names if name not in (first, "score")]
    names = ["score", *names] if "score" in outputs else names
    rows = [
        [known_ids.text(outputs[first][row]), *(f"{outputs[name][row]:.6f}" for name in names)]
        for row in range(min(count, len(outputs[first])))
    ]
    return table([first, *names], rows)


def _parser() -> argparse.ArgumentParser:
    # argparse, not absl, which is no dependency of a client
    parser = argparse.ArgumentParser(
        prog="python -m export.client",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    path = os.path.expanduser
    add("--target", default="localhost:8500", help="host:port of gRPC (default: %(default)s)")
    add("--model_name", default="mgoe", help="the model's name (default: %(default)s)")
    add("--version", type=int, help="of the model; default: the newest")
    add(
        "--signature",
        choices=(*_RANKING, *_OF_EXAMPLES),
        help="what to ask; default: rank_ids where the model has it, else rank",
    )
    add("--user_id", help="raw id of the user")
    add("--item_ids", help="raw ids of the candidates, separated by commas")
    add("--candidates", type=path, help="file with a raw item id on each line")
    add(
        "--popular",
        type=int,
        default=100,
        help="without candidates: this many popular items of --data_dir (default: %(default)s)",
    )
    add(
        "--context",
        default="",
        help="features of the request itself, name=value,name=value,...; | between several values "
        "of one; what is left out is missing",
    )
    add(
        "--data_dir",
        type=path,
        help="data set whose graph is joined, or whose popular items are ranked",
    )
    add("--snapshot", default="latest", help="graph of the data set (default: %(default)s)")
    add(
        "--examples",
        type=path,
        help="TFRecord file of rows, for examples, classify and regress; or of the request layout, "
        "for --signature=rank",
    )
    add("--top", type=int, default=10, help="how many are printed (default: %(default)s)")
    add(
        "--timeout_seconds",
        type=float,
        default=5.0,
        help="for a call, waiting for a server that is not up yet included (default: %(default)s)",
    )
    add("--root_certificates", type=path, help="PEM file of who signs servers; calls over TLS")
    add("--private_key", type=path, help="PEM file, for mutual TLS")
    add("--certificate", type=path, help="PEM file of the key's certificate, for mutual TLS")
    return parser


def _credentials(options: argparse.Namespace) -> grpc.ChannelCredentials | None:
    paths = (options.root_certificates, options.private_key, options.certificate)
    if not any(paths):
        return None
    if bool(options.private_key) != bool(options.certificate):
        raise ValueError("--private_key and --certificate: must be given together, got one of them")
    return grpc.ssl_channel_credentials(
        *(pathlib.Path(path).read_bytes() if path else None for path in paths)
    )


def _chosen(options: argparse.Namespace, signatures: Mapping[str, Signature]) -> str:
    default = "rank_ids" if "rank_ids" in signatures else "rank"
    if options.examples and not options.signature:
        default = "examples"
    name = options.signature or default
    if name not in signatures:
        raise ValueError(f"--signature: the model has {sorted(signatures)}, got {name!r}")
    replayed = name in _OF_EXAMPLES or (name == "rank" and options.examples)
    needed = "examples" if replayed else "user_id"
    if getattr(options, needed) is None:
        raise ValueError(f"--{needed}: must be given for signature {name}, got none")
    return name


def _candidates(
    options: argparse.Namespace, signature: Signature, snapshot: GraphSnapshot | None
) -> NDArray[Any]:
    wanted = signature.inputs["item_id"]
    if options.item_ids is not None:
        return ranking.parse_ids(options.item_ids.split(","), wanted, lambda _: "--item_ids")
    if options.candidates is None:
        if snapshot is None:
            raise ValueError("--item_ids: must be given without --data_dir, got none")
        return snapshot.popular_items(options.popular)
    return ranking.read_candidates(options.candidates, wanted)


def _model_ids(client: Client, signatures: Mapping[str, Signature]) -> known_ids.ModelIds | None:
    """What the model tells of ids; None where its export has no graph."""
    if known_ids.SIGNATURE not in signatures:
        return None
    return known_ids.ModelIds(
        lambda inputs: client.predict(inputs, known_ids.SIGNATURE),
        signatures[known_ids.SIGNATURE].inputs,
    )


def _rank(
    client: Client, options: argparse.Namespace, name: str, signatures: Mapping[str, Signature]
) -> str:
    signature = signatures[name]
    snapshot = None
    if options.data_dir is not None:
        snapshot = GraphSnapshot(options.data_dir, options.snapshot)
    item_ids = _candidates(options, signature, snapshot)
    user_id = ranking.parse_ids(
        [options.user_id], signature.inputs["user_id"], lambda _: "--user_id"
    )
    texts = options.context.split(",") if options.context else []
    ask: ranking.Ask
    if name == "rank_ids":
        of_context = context.context_inputs(signature.inputs)
        given = context.parse_context(texts, of_context)
        whole = context.filled_context(given, of_context)
        ask = functools.partial(ranking.by_ids, context=whole)
    else:
        if snapshot is None:
            raise ValueError(f"--data_dir: must be given for signature {name}, got none")
        names = {feature.name for feature in snapshot.spec.select("context")}
        of_context = {n: wanted for n, wanted in signature.inputs.items() if n in names}
        given = context.parse_context(texts, of_context)
        ask = ranking.ByFeatures(snapshot, name, signature.inputs, given)
    absent = sorted(set(of_context) - set(given))
    if absent:
        print(f"{', '.join(absent)} of --context read as missing", file=sys.stderr)
    ranked = ranking.rank(client, ask, user_id, item_ids)
    model = _model_ids(client, signatures)
    knows: known_ids.Knows
    tasks: Sequence[str]
    if model is not None and name == "rank_ids":
        knows, tasks = model.knows, model.tasks()
    elif snapshot is not None:
        knows, tasks = known_ids.known_to_graph(snapshot), snapshot.spec.task_names
    else:  # an export of a version before this one
        print("the model does not tell which ids it knows", file=sys.stderr)
        return _rows_text(ranked, "item_id", options.top)
    for owner, ids in (("user", user_id), ("item", item_ids)):
        if told := known_ids.of_unknown(knows, owner, ids):
            print(told, file=sys.stderr)
    return _rows_text(ranked, "item_id", options.top, tasks)


def _replay(client: Client, options: argparse.Namespace, name: str, tasks: Sequence[str]) -> str:
    """Answers to the first rows of a TFRecord, in their order."""
    examples = read_records(options.examples, options.top)
    if not examples:
        raise ValueError(f"--examples: {options.examples} is empty")
    if name == "classify":
        classes = client.classify(examples)
        outputs = {task: np.array([row[task] for row in classes]) for task in classes[0]}
        tasks = tuple(classes[0])
    elif name == "regress":
        outputs = {"score": client.regress(examples)}
    else:
        outputs = client.predict({"examples": np.array(examples, object)}, name)
    return _rows_text({"row": np.arange(len(examples)), **outputs}, "row", options.top, tasks)


def _replay_requests(
    client: Client, options: argparse.Namespace, signature: Signature, tasks: Sequence[str]
) -> str:
    """Answers to the candidates of the first records, in their order: record.candidate."""
    answers: list[dict[str, NDArray[Any]]] = []
    packing = packing_beside(options.examples)
    for number, record in enumerate(read_records(options.examples, options.top)):
        found = []
        for candidates, inputs in request_inputs(record, signature.inputs, packing):
            outputs = client.predict(inputs, "rank")
            answer = {name: output[0] for name, output in outputs.items()}
            found.append({"candidate": candidates, **answer})
        merged = _joined(found)
        order = np.argsort(merged.pop("candidate"))
        row = np.array([f"{number}.{candidate}" for candidate in range(len(order))])
        answers.append({"row": row, **{name: value[order] for name, value in merged.items()}})
    if not answers:
        raise ValueError(f"--examples: {options.examples} is empty")
    return _rows_text(_joined(answers), "row", options.top, tasks)


def _joined(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Answers one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; `arguments` are those of the command line where none are given.

    Raises:
      SystemExit: with a message, for a caller's mistake or a call that failed.
    """
    options = _parser().parse_args(arguments)
    streams.open_streams()
    try:
        for flag in ("top", "popular"):
            if getattr(options, flag) < 1:
                raise ValueError(f"--{flag}: must be at least 1, got {getattr(options, flag)}")
        with Client(
            options.target,
            options.model_name,
            options.timeout_seconds,
            options.version,
            _credentials(options),
        ) as client:
            signatures = client.signatures()
            if client.waited_seconds >= _WORTH_TELLING_SECONDS:
                waited = f"waited {client.waited_seconds:.1f} s for {options.target}"
                print(waited, file=sys.stderr)
            name = _chosen(options, signatures)
            if name in _OF_EXAMPLES or (name == "rank" and options.examples):
                model = _model_ids(client, signatures)
                tasks = () if model is None else model.tasks()
                if name in _OF_EXAMPLES:
                    print(_replay(client, options, name, tasks))
                else:
                    print(_replay_requests(client, options, signatures[name], tasks))
            else:
                print(_rank(client, options, name, signatures))
        streams.flush_streams()
    except (ValueError, OSError) as error:
        if os.environ.get("MGOE_DEBUG"):
            traceback.print_exc()
        sys.exit(f"export.client: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
