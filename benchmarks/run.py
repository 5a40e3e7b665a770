"""Measures what docs/benchmarks.md reports: CPU-seconds of the worker processes per million events, events per second, memory.

    benchmarks/run.py --weir PATH [--only NAME,...] [--events N] [--bids N] [--exact-bids N] [--runs N] [--flink] [--json FILE]

Each figure comes from a real cluster of processes: one JobManager, TaskManagers with two slots in all. CPU is user + system time of
the TaskManagers between submission and end of the job, from /proc; a generator runs in the job and is part of it, a broker isn't. Each job
runs once to warm up, then `--runs` times; the median is reported. With `--flink`, the jobs on topics run on Flink as well.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import broker
import failover
import jobs
import judge
import snapshots
import topics
from figures import Figures
from processes import rss
from weir import Weir, line


def bench_nexmark(figures, weir, events):
    with Weir(weir, 1, 2) as cluster:
        for name, (columns, query, target) in jobs.GENERATED.items():
            if not figures.wanted(name):
                continue
            sql = jobs.events(events) + jobs.sink(columns) + "INSERT INTO sink " + query
            figures.measure(name, lambda: cluster.run(sql, 2), events, target)


def bench_json(figures, weir, events):
    if not figures.wanted("JSON files to blackhole"):
        return
    with Weir(weir, 1, 2) as cluster, tempfile.TemporaryDirectory() as folder:
        files = jobs.files(folder, "json")
        cluster.run(jobs.events(events) + jobs.sink(jobs.BID_COLUMNS, files) + "INSERT INTO sink SELECT * FROM bid", 2)
        rows = broker.lines(Path(folder).glob("*.json"))
        sql = (jobs.table("files", jobs.BID_COLUMNS, files) + jobs.sink(jobs.BID_COLUMNS)
               + "INSERT INTO sink SELECT * FROM files")
        figures.measure("JSON files to blackhole", lambda: cluster.run(sql, 2), rows, 0.5)


def bench_parquet(figures, weir, bids):
    """The same Parquet files through Weir and through DuckDB, which has all of its input at hand: at most three times its CPU."""
    names = {name: f"Parquet to {name}" for name in jobs.FROM_PARQUET}
    if not any(figures.wanted(name) for name in names.values()):
        return
    with Weir(weir, 1, 2) as cluster, tempfile.TemporaryDirectory() as folder:
        files = jobs.files(folder, "parquet")
        cluster.run(jobs.events(-(-bids // 46) * 50) + jobs.sink(jobs.BID_COLUMNS, files) + "INSERT INTO sink SELECT * FROM bid", 2)
        setup = [f"CREATE VIEW bid AS FROM read_parquet('{folder}/*.parquet')"]
        for query, name in names.items():
            if not figures.wanted(name):
                continue
            columns, select, _ = jobs.GENERATED[query]
            samples = judge.cost(setup, jobs.FROM_PARQUET[query], figures.runs)
            duckdb = statistics.median(cpu for cpu, _ in samples) / bids * 1e6
            print(f"{name + ', DuckDB':44} {duckdb:7.3f} CPU-s/M", flush=True)
            sql = jobs.bids(files) + jobs.sink(columns) + "INSERT INTO sink " + select
            ours = figures.measure(name, lambda: cluster.run(sql, 2), bids)
            figures.add(f"{name}, times DuckDB's CPU", ours / duckdb, 3)


def bench_shuffle(figures, weir, events):
    """All columns of every bid, hashed by bidder, between two processes with one slot each."""
    if not figures.wanted("shuffle of bids between processes"):
        return
    with Weir(weir, 2, 1) as cluster:
        # A window function without an aggregate isn't keyed; a sink with another parallelism rebalances whole rows.
        sql = (
            jobs.events(events, ", 'scan.parallelism' = '1'")
            + jobs.sink(jobs.BID_COLUMNS, "'connector' = 'blackhole', 'sink.parallelism' = '2'")
            + "INSERT INTO sink SELECT * FROM bid"
        )
        figures.measure("shuffle of bids between processes", lambda: cluster.run(sql, 2), events * 46 // 50, 3_000_000,
                        target_is_rate=True)


def bench_start(figures, weir):
    """`weir local` to its first REST answer; submission to the first row; idle memory; size of the binary."""
    if not figures.wanted("start"):
        return
    starts, first_rows, idle = [], [], []
    for _ in range(figures.runs):
        begin = time.monotonic()
        process = subprocess.Popen([weir, "local", "-Drest.port=0", "-Djobmanager.rpc.port=0", "-Dmetrics.reporter.prom.port=0"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            rest = line(process, "REST: ")
            urllib.request.urlopen(rest + "/overview", timeout=10).read()
            starts.append(time.monotonic() - begin)
            while json.load(urllib.request.urlopen(rest + "/overview"))["taskmanagers"] < 1:
                time.sleep(0.005)
            sql = ("CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000');"
                   "CREATE TABLE out (n BIGINT) WITH ('connector' = 'print');INSERT INTO out SELECT n FROM numbers")
            body = json.dumps({"sql": sql}).encode()
            time.sleep(1)
            idle.append(rss(process.pid))
            begin = time.monotonic()
            request = urllib.request.Request(rest + "/v1/jobs", body, {"Content-Type": "application/json"})
            urllib.request.urlopen(request, timeout=30).read()
            line(process, "+I[")
            first_rows.append(time.monotonic() - begin)
        finally:
            process.kill()
            process.wait()
    with Weir(weir, 1, 2) as cluster:
        time.sleep(1)
        idle.extend(rss(process.pid) for process in cluster.processes)
    figures.add("`weir local` answers REST (s)", statistics.median(starts), 0.5)
    figures.add("submission to first row (s)", statistics.median(first_rows), 0.3)
    figures.add("idle memory of a process (MB)", max(idle) / 2**20, 60)
    figures.add("stripped binary (MB)", os.path.getsize(weir) / 2**20, 120)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", required=True)
    parser.add_argument("--only", default="", help="names, or parts of names, of what is measured, with commas between them")
    parser.add_argument("--events", type=int, default=50_000_000, help="of each query on the generator")
    parser.add_argument("--bids", type=int, default=4_000_000, help="in the topic whose CPU is measured, and in Parquet")
    parser.add_argument("--exact-bids", type=int, default=10_000_000, help="in the topic whose answer is compared with DuckDB's")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--flink", action="store_true", help="run the jobs on topics on Flink too")
    parser.add_argument("--json", help="a file for the figures")
    arguments = parser.parse_args()
    figures = Figures(arguments.runs, [name for name in arguments.only.split(",") if name])
    bench_start(figures, arguments.weir)
    bench_nexmark(figures, arguments.weir, arguments.events)
    bench_shuffle(figures, arguments.weir, arguments.events)
    bench_json(figures, arguments.weir, arguments.events // 10)
    bench_parquet(figures, arguments.weir, arguments.bids)
    snapshots.bench(figures, arguments.weir, arguments.events)
    failover.bench(figures, arguments.weir)
    topics.bench(figures, arguments.weir, arguments.exact_bids, arguments.bids, arguments.flink)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures.all, indent=2) + "\n")
    missed = [figure["name"] for figure in figures.all if not figure["met"]]
    print(f"{len(figures.all) - len(missed)} of {len(figures.all)} as they should be" + (f"; not: {', '.join(missed)}" if missed else ""))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
