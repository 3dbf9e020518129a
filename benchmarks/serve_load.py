"""How a server is asked: over HTTP on loopback, with the facts of a contract, at an even rate; and what it costs it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
import pandas as pd

from pipelines.storage.contract_store import Contract

RATE = 50  # requests a second
CLIENTS = 16  # connections; as many requests can be under way
TICK = pd.Timedelta(microseconds=1)
Tree = dict[str, Any]


class Client(local):
    """One connection a thread, made anew where the server has closed it: it does so after five idle seconds."""

    def __init__(self, address: str) -> None:
        self.connection = http.client.HTTPConnection(address, timeout=60)

    def get(self, path: str) -> bytes:
        return self._asked("GET", path, None)

    def post(self, path: str, body: bytes) -> bytes:
        return self._asked("POST", path, body)

    def _asked(self, method: str, path: str, body: bytes | None) -> bytes:
        for left in (1, 0):
            try:
                self.connection.request(method, path, body, {"Content-Type": "application/json"})
                answer = self.connection.getresponse()
                told = answer.read()
            except (http.client.HTTPException, OSError):
                self.connection.close()
                if not left:
                    raise
            else:
                if answer.status != 200:
                    raise ValueError(f"{path}: {answer.status} {told[:200]!r}")
                return told
        raise AssertionError


# Facts


def moments(contract: Contract, n: int, seed: int) -> pd.DataFrame:
    """Draw leads, each just after one of its events or its creation."""
    events = contract.events.select("lead_id", "known_at").to_pyarrow().to_pandas()
    born = contract.leads[["lead_id", "created_at"]].rename(columns={"created_at": "known_at"})
    both = pd.concat([events, born]).drop_duplicates(["lead_id", "known_at"])
    drawn = both.sample(min(n, len(both)), random_state=seed).reset_index(drop=True)
    return drawn.assign(snapshot_at=(drawn["known_at"] + TICK).astype("datetime64[us]"))[["lead_id", "snapshot_at"]]


def bodies(contract: Contract, rows: pd.DataFrame, names: list[str]) -> list[bytes]:
    """Return the requests: each lead with every event, known or not."""
    leads = contract.leads.set_index("lead_id")
    of_lead = contract.events.filter(contract.events.lead_id.isin(rows["lead_id"].unique().tolist()))
    columns = ["lead_id", "event_at", "known_at", "event_type", "direction", "channel", "value"]
    events = {
        lead: [_event(one) for one in found.to_dict("records")]
        for lead, found in of_lead.select(*columns).to_pyarrow().to_pandas().groupby("lead_id")
    }
    edits = {
        lead: [
            {"valid_from": zoned(one["valid_from"]), "attributes": _cells(one, [n for n in names if n in one])}
            for one in found.to_dict("records")
        ]
        for lead, found in contract.history.groupby("lead_id")
    }
    facts = {
        lead: {"lead_id": lead, "created_at": zoned(one["created_at"]), "attributes": _cells(one, names)}
        for lead, one in leads.loc[rows["lead_id"].unique()].iterrows()
    }
    return [
        json.dumps({"lead": facts[lead], "events": events.get(lead, []), "attribute_history": edits.get(lead, []),
                    "as_of": zoned(at)}).encode()
        for lead, at in rows.itertuples(index=False)
    ]  # fmt: skip


def zoned(at: Any) -> str:
    return f"{pd.Timestamp(at).isoformat(timespec='microseconds')}Z"


def _cells(row: Any, names: list[str]) -> Tree:
    cells = {name: row[name] for name in names}
    return {name: None if pd.isna(cell) else cell if isinstance(cell, str) else float(cell)
            for name, cell in cells.items()}  # fmt: skip


def _event(row: Any) -> Tree:
    told = {name: row[name] for name in ("event_type", "direction", "channel")}
    value = None if pd.isna(row["value"]) else float(row["value"])
    return told | {"event_at": zoned(row["event_at"]), "known_at": zoned(row["known_at"]), "value": value}


# What a process does


def at_rate(process: int, post: Callable[[bytes], bytes], asked: Sequence[bytes]) -> Tree:
    """Send requests at an even rate, late or not; time is from when each was due to the end of its answer."""
    before, begin = processor(process), time.perf_counter() + 0.5

    def one(number: int) -> float:
        due = begin + number / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        post(asked[number])
        return time.perf_counter() - due

    with ThreadPoolExecutor(CLIENTS) as pool:
        seconds = list(pool.map(one, range(len(asked))))
    p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1000
    return {"n": len(asked), "p50": p50, "p99": p99, "longest": max(seconds) * 1000,
            "cpu_ms": (processor(process) - before) / len(asked) * 1000, "busy": os.getloadavg()[0]}  # fmt: skip


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def family(process: int) -> list[int]:
    """Return a process and those below it."""
    children = [
        int(one) for file in Path(f"/proc/{process}/task").glob("*/children") for one in file.read_text().split()
    ]
    return [process, *(one for child in children for one in family(child))]


def processor(process: int) -> float:
    """Return the processor seconds of a process and those below it."""
    fields = [Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split() for one in family(process)]
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")


def resident(process: int) -> float:
    """Return the memory of a process and those below it, in MB."""
    pages = [int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in family(process)]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6
