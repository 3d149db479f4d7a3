"""Logs in the forms of public data sets, a few lines each, become data sets by flags alone."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
from absl import flags

from input_pipeline import prepare
from input_pipeline.commands.options import define_flags, from_flags
from input_pipeline.preparation_options import PreparationOptions
from input_pipeline.report import data_report
from input_pipeline.sources import read_events

_START = 1_569_888_000  # 2019-10-01, UTC
_LINES = 240


@dataclasses.dataclass(frozen=True)
class Line:
    """What a line is of: a user, an item, seconds, and one of ten things that it can tell."""

    user: int
    item: int
    time: int
    told: int

    @property
    def moment(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.time, datetime.timezone.utc)


def _lines() -> list[Line]:
    random = np.random.default_rng(0)
    return [
        Line(int(random.integers(12)), int(random.integers(30)), _START + 7200 * n, n * 7 % 10)
        for n in range(_LINES)
    ]


def _retail_rocket(line: Line) -> str:
    event = "view" if line.told < 7 else "addtocart" if line.told < 9 else "transaction"
    number = "31" if event == "transaction" else ""
    return f"{line.time}123,{line.user},{event},{line.item},{number}"


def _ecommerce(line: Line) -> str:
    names = ["view"] * 6 + ["cart"] * 2 + ["remove_from_cart", "purchase"]
    time = line.moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    kind = 2_053_013_555_631_882_655 + line.item % 4
    brand = "" if line.item % 3 else "shiseido"
    return (
        f"{time},{names[line.told]},{line.item},{kind},,{brand},35.79,{line.user},72d7-{line.user}"
    )


def _steam_200k(line: Line) -> str:
    return f'{line.user},"Game, {line.item}",{"purchase" if line.told < 6 else "play"},1.0,0'


FORMS: dict[str, tuple[str, str, Callable[[Line], str], tuple[str, ...], tuple[int, ...], dict]] = {
    # File, header, a line, flags, how many tenths of the lines show each task, and the spec.
    "RetailRocket": (
        "events.csv",
        "timestamp,visitorid,event,itemid,transactionid",
        _retail_rocket,
        (
            "--user_column=visitorid", "--item_column=itemid", "--timestamp_column=timestamp",
            "--timestamp_unit=ms", "--event_column=event",
            "--task_columns=view:click,addtocart:cart,transaction:buy",
        ),
        (7, 2, 1),
        {"tasks": ("click", "cart", "buy"), "rows": "pairs", "events": _LINES},
    ),
    "eCommerce": (
        "2019-Oct.csv",
        "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session",
        _ecommerce,
        (
            "--item_column=product_id", "--timestamp_column=event_time",
            "--event_column=event_type", "--task_columns=view:click,cart,purchase:buy",
            "--item_feature_columns=category_id,brand,price:numeric:log",
        ),
        (6, 2, 1),
        {"tasks": ("click", "cart", "buy"), "rows": "pairs", "events": _LINES * 9 // 10,
         "lines_of_unknown_events": _LINES // 10},
    ),
    "Amazon": (
        "ratings_Beauty.csv",
        "",
        lambda line: f"A{line.user},B{line.item:09},{line.told // 2 + 1}.0,{line.time}",
        (
            "--columns=user,item,rating,timestamp", "--user_column=user", "--item_column=item",
            "--timestamp_column=timestamp", "--task_columns=rating>=4:like,rating>=5:love",
        ),
        (4, 2),
        {"tasks": ("like", "love"), "rows": "exposures", "events": _LINES},
    ),
    "Amazon, bought at all": (
        "ratings_Beauty.csv",
        "",
        lambda line: f"A{line.user},B{line.item:09},{line.told // 2 + 1}.0,{line.time}",
        (
            "--columns=user,item,rating,timestamp", "--user_column=user", "--item_column=item",
            "--timestamp_column=timestamp", "--implicit_task=buy", "--task_columns=rating>=4:like",
        ),
        (10, 4),
        {"tasks": ("buy", "like"), "rows": "pairs", "events": _LINES},
    ),
    "Steam": (
        "steam_reviews.csv",
        "username,product_id,date,hours",
        lambda line: f"user {line.user},{line.item},{line.moment:%Y-%m-%d},{line.told}.5",
        (
            "--user_column=username", "--item_column=product_id", "--timestamp_column=date",
            "--implicit_task=play",
        ),
        (10,),
        {"tasks": ("play",), "rows": "pairs", "events": _LINES},
    ),
    "Steam 200k": (
        "steam-200k.csv",
        "",
        _steam_200k,
        (
            "--columns=user,game,behavior,hours,zero", "--user_column=user", "--item_column=game",
            "--event_column=behavior", "--task_columns=purchase:buy,play",
        ),
        (6, 4),
        {"tasks": ("buy", "play"), "rows": "pairs", "events": _LINES, "split": "order"},
    ),
    "RecBole": (
        "ml-100k.inter",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float",
        lambda line: f"{line.user}\t{line.item}\t{line.told // 2 + 1}\t{line.time}.0",
        ("--timestamp_column=timestamp", "--task_columns=rating>=4:like,rating>=5:love"),
        (4, 2),
        {"tasks": ("like", "love"), "rows": "exposures", "events": _LINES},
    ),
    "Last.fm 1K": (
        "userid-timestamp-artid-artname-traid-traname.tsv",
        "",
        lambda line: (
            f"user_{line.user:06}\t{line.moment:%Y-%m-%dT%H:%M:%SZ}\t\tArtist {line.item}\t\t"
            f'Live at "{line.told}'
        ),
        (
            "--delimiter=tab", "--noquoted_cells",
            "--columns=user,time,artist_id,artist,track_id,track", "--user_column=user",
            "--item_column=artist", "--timestamp_column=time", "--implicit_task=listen",
        ),
        (10,),
        {"tasks": ("listen",), "rows": "pairs", "events": _LINES},
    ),
    "Diginetica": (
        "train-item-views.csv",
        "sessionId;userId;itemId;timeframe;eventdate",
        lambda line: f"{line.user};NA;{line.item};{line.told * 1000};{line.moment:%Y-%m-%d}",
        (
            "--user_column=sessionId", "--item_column=itemId", "--timestamp_column=eventdate",
            "--implicit_task=view",
        ),
        (10,),
        {"tasks": ("view",), "rows": "pairs", "events": _LINES},
    ),
}  # fmt: skip


def _options(tmp_path: pathlib.Path, file: str, given: tuple[str, ...]) -> PreparationOptions:
    flag_values = flags.FlagValues()
    define_flags(PreparationOptions, flag_values)
    flag_values(
        [
            "prepare", "--source=csv", f"--input={tmp_path / file}", "--num_shards=1",
            f"--data_dir={tmp_path / 'data'}", *given,
        ]
    )  # fmt: skip
    return from_flags(PreparationOptions, flag_values)


@pytest.mark.parametrize("form", FORMS)
def test_a_form_by_flags_alone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(data_report, "render", lambda *_: "")
    file, header, write, given, tenths_shown, wanted = FORMS[form]
    lines = [*([header] if header else []), *map(write, _lines())]
    (tmp_path / file).write_text("\n".join(lines) + "\n")
    options = _options(tmp_path, file, given)
    spec = prepare.prepare(options)
    found = {
        "tasks": spec.task_names,
        "rows": spec.rows,
        "split": spec.split,
        "events": spec.counts["events"],
        "malformed_lines": spec.counts["malformed_lines"],
        "lines_of_unknown_events": spec.counts["lines_of_unknown_events"],
        "null_cells": spec.counts["null_cells"],
        "times_outside_the_calendar": spec.counts["times_outside_the_calendar"],
    }
    assert found == {**dict.fromkeys(found, 0), "split": "time", **wanted}
    assert (spec.counts["users"], spec.counts["items"]) == (12, 30)
    assert all(spec.counts["rows"].values())
    log = read_events(options)
    shown = [int((log.behaviors >> bit & 1).sum()) for bit in range(len(log.tasks))]
    assert shown == [_LINES * tenths // 10 for tenths in tenths_shown]
