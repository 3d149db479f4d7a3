"""What the paper reports (https://arxiv.org/abs/2506.10520, Tables 2 and 3), by source of the log.

Its rows were filtered and divided in a way that it does not tell in full, so that these numbers and
those of other rows are no contest: they say how far apart the models were there.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """AUC of a task.

    Attributes:
      mmoe, mgoe: of these models.
      rival: of the best rival.
      rival_name: which that was.
      mgoe_logloss: of MGOE.
    """

    mmoe: float
    rival: float
    rival_name: str
    mgoe: float
    mgoe_logloss: float


# By `--source` and task, under the names that the readers of these sources give.
MODELS: dict[str, dict[str, Published]] = {
    "taobao": {
        "click": Published(0.5580, 0.5891, "MacGNN", 0.6158, 0.3609),
        "fav": Published(0.5672, 0.6481, "MoME", 0.8016, 0.1301),
        "cart": Published(0.5459, 0.5837, "MacGNN", 0.6652, 0.2351),
        "buy": Published(0.5560, 0.6927, "MacGNN", 0.7098, 0.0907),
    },
    "tenrec_qb_video": {
        "click": Published(0.7891, 0.8415, "MacGNN", 0.8474, 0.4047),
        "like": Published(0.6468, 0.7665, "MMoCEG", 0.8533, 0.0300),
        "share": Published(0.5125, 0.6403, "STEM", 0.6925, 0.0078),
        "follow": Published(0.6128, 0.6915, "MMoCEG", 0.7424, 0.0069),
    },
    "tenrec_qk_article": {
        "read": Published(0.7089, 0.7911, "MacGNN", 0.8006, 0.0879),
        "like": Published(0.7969, 0.8701, "MacGNN", 0.9327, 0.0519),
        "favor": Published(0.8222, 0.8891, "MacGNN", 0.9294, 0.0256),
        "follow": Published(0.7329, 0.8075, "MacGNN", 0.8174, 0.0070),
    },
}
# Average AUC and logloss of the ablations, by source and the name of the setting; "": all of it.
ABLATIONS: dict[str, dict[str, tuple[float, float]]] = {
    "taobao": {
        "": (0.6981, 0.2042),
        "no_preference": (0.6912, 0.2054),
        "no_adjustment": (0.6854, 0.2059),
        "no_cascade": (0.6907, 0.2054),
    },
    "tenrec_qb_video": {
        "": (0.7839, 0.1123),
        "no_preference": (0.7806, 0.1130),
        "no_adjustment": (0.7659, 0.1211),
        "no_cascade": (0.7716, 0.1164),
    },
}
# Users, items and events of its Taobao after filtering, to tell samples from it.
SIZES = {
    "taobao": "28,910 users, 65,087 items, 1,579,670 events",
    "tenrec_qb_video": "28,803 users, 15,540 items",
    "tenrec_qk_article": "52,052 users, 30,273 items",
}
