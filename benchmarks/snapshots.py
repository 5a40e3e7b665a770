"""What snapshots cost: throughput beside checkpoints, bytes and time of a checkpoint of which little has changed, bytes a key."""

import statistics
import tempfile
import time

import jobs
from processes import rss, wait_until
from weir import Weir

KEYS = 10_000_000
# 3 of 50 events are auctions: 20 million of them.
AUCTION_EVENTS = 333_000_000
RUNNING_COUNT = "SELECT k, COUNT(*) OVER (PARTITION BY k ORDER BY proc) AS n FROM numbers"
# State of some gigabytes is what is measured.
ROOM = "state.memory.limit=8 gb"


def checkpoints(folder, interval="1 s"):
    return [f"execution.checkpointing.interval={interval}", f"execution.checkpointing.dir=file://{folder}/checkpoints",
            f"execution.checkpointing.local-backup.dirs={folder}/copies"]


def numbers(rows, keys, kind="random"):
    """Keys, as fast as they can be made."""
    range_ = f"'fields.k.kind' = 'random', 'fields.k.min' = '0', 'fields.k.max' = '{keys - 1}'"
    if kind == "sequence":
        range_ = f"'fields.k.kind' = 'sequence', 'fields.k.start' = '0', 'fields.k.end' = '{keys - 1}'"
    return jobs.table("numbers", "k BIGINT, proc AS PROCTIME()",
                      f"'connector' = 'datagen', 'rows-per-second' = '1000000000', 'number-of-rows' = '{rows}', {range_}")


def running_count(rows, keys, kind="random"):
    return numbers(rows, keys, kind) + jobs.sink("k BIGINT, n BIGINT") + "INSERT INTO sink " + RUNNING_COUNT


def count_by_auction(events):
    """Each bid is answered with how many its auction has had: Nexmark's auctions come and go, their counts stay."""
    source = jobs.events(events).replace("    WATERMARK FOR", "    proc AS PROCTIME(),\n    WATERMARK FOR", 1)
    return source + jobs.sink("auction BIGINT, n BIGINT") + (
        "INSERT INTO sink SELECT auction, COUNT(*) OVER (PARTITION BY auction ORDER BY proc) AS n "
        "FROM (SELECT bid.auction AS auction, proc FROM events WHERE event_type = 2)"
    )


def bench_running_count(figures, weir):
    """Each event is answered with its key's count so far; a key's cost is what memory grows by."""
    if not figures.wanted("keyed running count"):
        return
    rows = 4 * KEYS
    with Weir(weir, 1, 2, [ROOM]) as cluster:
        figures.measure("keyed running count, 10 M keys", lambda: cluster.run(running_count(rows, KEYS), 2), rows, 0.4)
    with Weir(weir, 1, 2, [ROOM]) as cluster:
        idle = rss(cluster.taskmanagers[0].pid)
        _, _, memory = cluster.run(running_count(KEYS, KEYS, "sequence"), 2)
        figures.add("keyed running count, bytes a key", (memory - idle) / KEYS, 100)


def bench_overhead(figures, weir, events):
    """The same jobs with a checkpoint a second and without, in turns; what is lost of the throughput."""
    queries = {
        "q5's count": (jobs.events(events) + jobs.sink(jobs.HOP_COLUMNS) + "INSERT INTO sink " + jobs.HOP, events),
        "keyed count, 1 GB": (running_count(6 * KEYS, 2 * KEYS), 6 * KEYS),
        "count by auction, 1 GB": (count_by_auction(AUCTION_EVENTS), AUCTION_EVENTS),
    }
    for name, (sql, rows) in queries.items():
        title = f"throughput lost to 1 s checkpoints, {name} (%)"
        if not figures.wanted(title):
            continue
        with tempfile.TemporaryDirectory() as folder, Weir(weir, 1, 2, [ROOM]) as plain, \
                Weir(weir, 1, 2, [ROOM, *checkpoints(folder)]) as checkpointed:
            lost = []
            for turn in range(figures.runs + 1):
                seconds = {cluster: cluster.run(sql, 2)[1] for cluster in (plain, checkpointed)}
                if turn:
                    lost.append(100 * (1 - seconds[plain] / seconds[checkpointed]))
            figures.add(title, statistics.median(lost), 5)
            print(f"  {rows / seconds[checkpointed] / 1e6:.1f} M events/s with, "
                  f"{rows / seconds[plain] / 1e6:.1f} without", flush=True)


def bench_increment(figures, weir):
    """1 GB of state of which 1 % changes between two checkpoints."""
    if not figures.wanted("checkpoint of 1 % of 1 GB"):
        return
    keys = 2 * KEYS
    changed = keys // 100
    sql = (
        numbers(keys, keys, "sequence").replace("numbers", "loaded")
        + jobs.table("changing", "k BIGINT, proc AS PROCTIME()",
                     f"'connector' = 'datagen', 'rows-per-second' = '{changed}', 'fields.k.kind' = 'random', "
                     f"'fields.k.min' = '0', 'fields.k.max' = '{changed - 1}'")
        + jobs.sink("k BIGINT, n BIGINT")
        + "INSERT INTO sink SELECT k, COUNT(*) OVER (PARTITION BY k ORDER BY proc) AS n FROM "
        + "(SELECT k, proc FROM loaded UNION ALL SELECT k, proc FROM changing)"
    )
    with tempfile.TemporaryDirectory() as folder, Weir(weir, 1, 2, [ROOM, *checkpoints(folder)]) as cluster:
        job = cluster.submit(sql, 2)

        def completed():
            history = cluster.get(f"/jobs/{job}/checkpoints")["history"]
            return [one for one in history if one["status"] == "COMPLETED"]

        def loaded():
            done = completed()
            return len(done) >= 10 and max(one["state_size"] for one in done) > 0 and all(
                one["checkpointed_size"] < one["state_size"] / 4 for one in done[:5])

        wait_until("checkpoints are small", loaded, 180, 0.5)
        time.sleep(10)
        done = completed()[:8]
        share = statistics.median(one["checkpointed_size"] / one["state_size"] for one in done)
        figures.add("checkpoint of 1 % of 1 GB, share of a full one's bytes (%)", 100 * share, 3)
        figures.add("checkpoint of 1 % of 1 GB (s)", statistics.median(one["end_to_end_duration"] for one in done) / 1000, 1)
        print(f"  state {done[0]['state_size'] / 2**20:.0f} MB", flush=True)
        freezes = [one["freeze_micros_max"] for one in completed() if "freeze_micros_max" in one]
        if freezes:
            figures.add("freeze, p99 over subtasks and checkpoints (ms)", sorted(freezes)[int(0.99 * (len(freezes) - 1))] / 1000, 1)


def bench(figures, weir, events):
    bench_running_count(figures, weir)
    bench_overhead(figures, weir, events)
    bench_increment(figures, weir)
