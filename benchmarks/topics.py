"""Kafka: JSON of about 250 bytes in a topic of four partitions, one broker beside the workers, and Flink on the same topics."""

import tempfile
import time
from pathlib import Path

import jobs
from broker import Broker
from judge import same_rows
from weir import Weir

PARTITIONS = 4
# (name, sink columns, query, target of Weir in CPU-s per million)
TO_BLACKHOLE = [
    ("topic to blackhole", jobs.BID_COLUMNS, "SELECT * FROM bid", 0.6),
    ("topic to hopping count", jobs.HOP_COLUMNS, jobs.HOP, 0.9),
]
TO_TOPIC = "topic to hopping count to topic"


def bench(figures, weir, exact_bids, cpu_bids, with_flink):
    names = [name for name, *_ in TO_BLACKHOLE] + [TO_TOPIC]
    if not any(figures.wanted(name) for name in names):
        return
    with Broker() as broker, tempfile.TemporaryDirectory(prefix="weir-bench.") as folder:
        if any(figures.wanted(name) for name, *_ in TO_BLACKHOLE):
            load(broker, weir, "bids", cpu_bids, folder)
        if figures.wanted(TO_TOPIC):
            load(broker, weir, "many", exact_bids, folder, copy=Path(folder) / "many")
        # Each engine has the machine to itself but for the broker.
        with Weir(weir, 1, 2) as cluster:
            ours = bench_engine(figures, cluster, broker, cpu_bids, folder, targets=True)
        if with_flink:
            from flink import Flink

            with Flink() as cluster:
                theirs = bench_engine(figures, cluster, broker, cpu_bids, folder, targets=False)
            for name, cpu in ours.items():
                figures.add(f"{name}, Flink's CPU / Weir's", theirs[name] / cpu, None)


def load(broker, weir, name, bids, folder, copy=None):
    """Fills a topic with so many bids, in the order of their times, and with `copy` the same into Parquet for DuckDB."""
    # Nexmark's rounds of fifty events have 46 bids each.
    rounds = -(-bids // 46)
    start = time.monotonic()
    broker.create(name, PARTITIONS)
    source = jobs.events(rounds * 50, ", 'scan.parallelism' = '1'")
    insert = "INSERT INTO sink SELECT * FROM bid"
    with Weir(weir, 1, 1) as cluster:
        cluster.run(source + jobs.sink(jobs.BID_COLUMNS, jobs.topic(broker.bootstrap, name)) + insert, 1, limit=1200)
        if copy:
            cluster.run(source + jobs.sink(jobs.BID_COLUMNS, jobs.files(copy, "parquet")) + insert, 1, limit=1200)
    loaded = broker.count(name)
    if loaded != rounds * 46:
        raise RuntimeError(f"{loaded:,} bids in the topic {name}, {rounds * 46:,} wanted")
    print(f"loaded {loaded:,} bids into the topic `{name}` in {time.monotonic() - start:.0f} s", flush=True)


def bench_engine(figures, cluster, broker, cpu_bids, folder, targets):
    """CPU-seconds per million of each job."""
    costs = {}
    suffix = "" if targets else ", Flink"
    for name, columns, query, target in TO_BLACKHOLE:
        if not figures.wanted(name):
            continue
        sql = jobs.bids(jobs.topic(broker.bootstrap, "bids")) + jobs.sink(columns) + "INSERT INTO sink " + query
        before, brokers = time.monotonic(), broker.cpu_seconds()
        run = lambda: cluster.run(sql, 2)
        costs[name] = figures.measure(name + suffix, run, broker.count("bids"), target if targets else None)
        brokers = (broker.cpu_seconds() - brokers) / (figures.runs + 1) / cpu_bids * 1e6
        print(f"{'':44} {brokers:7.3f} CPU-s/M of the broker, {time.monotonic() - before:.0f} s in all", flush=True)
    if figures.wanted(TO_TOPIC):
        costs[TO_TOPIC] = to_topic(figures, cluster, broker, folder, suffix, targets)
    return costs


def to_topic(figures, cluster, broker, folder, suffix, targets):
    """CPU-seconds per million. Each run writes a topic of its own; the last one's rows are compared with DuckDB's."""
    written = []

    def run():
        name = f"counts-{cluster.name}-{len(written)}"
        broker.create(name, PARTITIONS)
        written.append(name)
        sql = (jobs.bids(jobs.topic(broker.bootstrap, "many"))
               + jobs.sink(jobs.HOP_COLUMNS, jobs.topic(broker.bootstrap, name)) + "INSERT INTO sink " + jobs.HOP)
        return cluster.run(sql, 2)

    cost = figures.measure(TO_TOPIC + suffix, run, broker.count("many"), 1_000_000 if targets else None, target_is_rate=True)
    lines = Path(folder) / "counts.json"
    broker.dump(written[-1], lines)
    verdict = same_rows(
        [f"CREATE VIEW bid AS FROM read_parquet('{folder}/many/*.parquet')"], jobs.HOP_IN_DUCKDB,
        f"FROM read_json('{lines}', format = 'newline_delimited')",
    )
    figures.check(f"rows of {TO_TOPIC}{suffix}", verdict.is_same, str(verdict))
    lines.unlink()
    for name in written:
        broker.delete(name)
    return cost
