"""Measures what docs/benchmarks.md reports: CPU-seconds of the worker processes per million events, events per second, memory.

    benchmarks/run.py --weir PATH [--only NAME,...] [--events N] [--runs N] [--json FILE]

Each figure comes from a real cluster of processes: one JobManager, TaskManagers with two slots in all. CPU is user + system time of
the TaskManagers between submission and end of the job, from /proc; the generator runs in the job and is part of it. Each job runs
once to warm up, then `--runs` times; the median is reported.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
EVENTS_TABLE = """CREATE TABLE events (
    event_type INT,
    person ROW<id BIGINT, name VARCHAR, emailAddress VARCHAR, creditCard VARCHAR, city VARCHAR, state VARCHAR,
               `dateTime` TIMESTAMP(3), extra VARCHAR>,
    auction ROW<id BIGINT, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT,
                `dateTime` TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra VARCHAR>,
    bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR,
            `dateTime` TIMESTAMP(3), extra VARCHAR>,
    `dateTime` AS CASE WHEN event_type = 0 THEN person.`dateTime` WHEN event_type = 1 THEN auction.`dateTime`
                       ELSE bid.`dateTime` END,
    WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH (OPTIONS);
CREATE VIEW bid AS
SELECT bid.auction, bid.bidder, bid.price, bid.channel, bid.url, `dateTime`, bid.extra
FROM events WHERE event_type = 2;
"""
BID_COLUMNS = "auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, `dateTime` TIMESTAMP(3), extra VARCHAR"

# name: (sink columns, query, target in CPU-s per million events)
QUERIES = {
    "q0": (
        "auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), extra VARCHAR",
        "SELECT auction, bidder, price, `dateTime`, extra FROM bid",
        0.10,
    ),
    "q1": (
        "auction BIGINT, bidder BIGINT, price DECIMAL(23, 3), `dateTime` TIMESTAMP(3), extra VARCHAR",
        "SELECT auction, bidder, 0.908 * price AS price, `dateTime`, extra FROM bid",
        0.10,
    ),
    "q2": ("auction BIGINT, price BIGINT", "SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0", 0.10),
    "q5 hopping count": (
        "auction BIGINT, num BIGINT, starttime TIMESTAMP(3), endtime TIMESTAMP(3)",
        """SELECT auction, COUNT(*) AS num, window_start AS starttime, window_end AS endtime
           FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
           GROUP BY auction, window_start, window_end""",
        0.30,
    ),
    "q7 windowed maximum": (
        "maxprice BIGINT, endtime TIMESTAMP(3)",
        """SELECT MAX(price) AS maxprice, window_end AS endtime
           FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND)) GROUP BY window_start, window_end""",
        0.15,
    ),
    "tumbling count by auction": (
        "auction BIGINT, window_end TIMESTAMP(3), num BIGINT",
        """SELECT auction, window_end, COUNT(*) AS num
           FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
           GROUP BY auction, window_start, window_end""",
        0.15,
    ),
}


class Cluster:
    """One JobManager and some TaskManagers; two slots in all unless told otherwise."""

    def __init__(self, weir, taskmanagers, slots, options=()):
        self.weir = weir
        self.folder = Path(tempfile.mkdtemp(prefix="weir-bench."))
        self.processes = []
        defines = [f"-D{option}" for option in options]
        self.started = time.monotonic()
        self.jobmanager = self.spawn("jobmanager", "-Drest.port=0", "-Djobmanager.rpc.port=0", *defines)
        self.rest = self.line(self.jobmanager, "REST: ")
        host, port = self.line(self.jobmanager, "RPC: ").rsplit(":", 1)
        self.taskmanagers = [
            self.spawn(
                "taskmanager", f"-Djobmanager.rpc.address={host}", f"-Djobmanager.rpc.port={port}",
                f"-Dtaskmanager.numberOfTaskSlots={slots}", "-Dmetrics.reporter.prom.port=0", *defines,
            )
            for _ in range(taskmanagers)
        ]
        deadline = time.monotonic() + 30
        while self.get("/overview")["taskmanagers"] < taskmanagers:
            if time.monotonic() > deadline:
                raise RuntimeError("the cluster didn't come up")
            time.sleep(0.02)

    def spawn(self, *arguments):
        log = open(self.folder / f"{len(self.processes)}.log", "w")
        process = subprocess.Popen([self.weir, *arguments], stdout=subprocess.PIPE, stderr=log, text=True)
        self.processes.append(process)
        return process

    @staticmethod
    def line(process, prefix):
        for line in process.stdout:
            if line.startswith(prefix):
                return line[len(prefix):].strip()
        raise RuntimeError(f"the process ended without a line `{prefix}`")

    def get(self, path):
        with urllib.request.urlopen(self.rest + path, timeout=30) as answer:
            return json.load(answer)

    def submit(self, sql, parallelism):
        body = json.dumps({"sql": sql, "parallelism": parallelism}).encode()
        request = urllib.request.Request(self.rest + "/v1/jobs", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["jobid"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error

    def run(self, sql, parallelism, limit=600):
        """Runs a job to its end: (CPU-seconds of the workers, seconds, largest memory of one worker in bytes)."""
        before, start = self.cpu_seconds(), time.monotonic()
        job = self.submit(sql, parallelism)
        memory = 0
        while True:
            state = self.get(f"/jobs/{job}")["state"]
            memory = max(memory, *(rss(process.pid) for process in self.taskmanagers))
            if state == "FINISHED":
                break
            if state in ("FAILED", "CANCELED") or time.monotonic() - start > limit:
                raise RuntimeError(f"{state}: {self.get(f'/jobs/{job}/exceptions')}")
            time.sleep(0.02)
        return self.cpu_seconds() - before, time.monotonic() - start, memory

    def cpu_seconds(self):
        return sum(cpu_seconds(process.pid) for process in self.taskmanagers)

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def sink(columns, options="'connector' = 'blackhole'"):
    return f"CREATE TABLE sink ({columns}) WITH ({options});\n"


def measure(results, name, run, events, target=None, unit="CPU-s/M", target_is_rate=False):
    """Runs `run()` -> (cpu, seconds, memory) after one warm-up, and keeps the medians."""
    run()
    samples = [run() for _ in range(results["runs"])]
    cpu = statistics.median(sample[0] for sample in samples) / events * 1e6
    rate = statistics.median(events / sample[1] for sample in samples)
    memory = max(sample[2] for sample in samples)
    figure = rate if target_is_rate else cpu
    good = target is None or (figure >= target if target_is_rate else figure <= target)
    results["figures"].append(
        {"name": name, "cpu_s_per_million": cpu, "events_per_s": rate, "rss_mb": memory / 2**20, "target": target,
         "target_is_rate": target_is_rate, "met": good}
    )
    wanted = "" if target is None else f"  target {'>=' if target_is_rate else '<='} {target:,}  {'met' if good else 'MISSED'}"
    print(f"{name:38} {cpu:7.3f} CPU-s/M {rate / 1e6:8.2f} M events/s {memory / 2**20:6.0f} MB{wanted}", flush=True)


def bench_nexmark(results, weir, events):
    with Cluster(weir, 1, 2) as cluster:
        for name, (columns, query, target) in QUERIES.items():
            if not wanted(results, name):
                continue
            table = EVENTS_TABLE.replace("OPTIONS", f"'connector' = 'nexmark', 'events.num' = '{events}'")
            sql = table + sink(columns) + "INSERT INTO sink " + query
            measure(results, name, lambda: cluster.run(sql, 2), events, target)


def bench_json(results, weir, events):
    if not wanted(results, "JSON files to blackhole"):
        return
    with Cluster(weir, 1, 2) as cluster, tempfile.TemporaryDirectory() as folder:
        table = EVENTS_TABLE.replace("OPTIONS", f"'connector' = 'nexmark', 'events.num' = '{events}'")
        files = f"'connector' = 'filesystem', 'path' = '{folder}', 'format' = 'json'"
        cluster.run(table + sink(BID_COLUMNS, files) + "INSERT INTO sink SELECT * FROM bid", 2)
        rows = sum(chunk.count(b"\n") for file in Path(folder).glob("*.json") for chunk in chunks(file))
        sql = f"CREATE TABLE files ({BID_COLUMNS}) WITH ({files});\n" + sink(BID_COLUMNS) + "INSERT INTO sink SELECT * FROM files"
        measure(results, "JSON files to blackhole", lambda: cluster.run(sql, 2), rows, 0.5)


def chunks(file):
    with open(file, "rb") as reader:
        while chunk := reader.read(1 << 20):
            yield chunk


def bench_shuffle(results, weir, events):
    """All columns of every bid, hashed by bidder, between two processes with one slot each."""
    if not wanted(results, "shuffle of bids between processes"):
        return
    with Cluster(weir, 2, 1) as cluster:
        table = EVENTS_TABLE.replace("OPTIONS", f"'connector' = 'nexmark', 'events.num' = '{events}'")
        # A window function without an aggregate isn't keyed; a sink with another parallelism rebalances whole rows.
        sql = (
            table.replace("'connector' = 'nexmark'", "'connector' = 'nexmark', 'scan.parallelism' = '1'")
            + sink(BID_COLUMNS, "'connector' = 'blackhole', 'sink.parallelism' = '2'")
            + "INSERT INTO sink SELECT * FROM bid"
        )
        measure(results, "shuffle of bids between processes", lambda: cluster.run(sql, 2), events * 46 // 50, 3_000_000,
                target_is_rate=True)


def bench_start(results, weir):
    """`weir local` to its first REST answer; submission to the first row; idle memory; size of the binary."""
    if not wanted(results, "start"):
        return
    starts, first_rows, idle = [], [], []
    for _ in range(results["runs"]):
        begin = time.monotonic()
        process = subprocess.Popen([weir, "local", "-Drest.port=0", "-Djobmanager.rpc.port=0", "-Dmetrics.reporter.prom.port=0"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            rest = Cluster.line(process, "REST: ")
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
            Cluster.line(process, "+I[")
            first_rows.append(time.monotonic() - begin)
        finally:
            process.kill()
            process.wait()
    with Cluster(weir, 1, 2) as cluster:
        time.sleep(1)
        idle.extend(rss(process.pid) for process in cluster.processes)
    figures = [
        ("`weir local` answers REST (s)", statistics.median(starts), 0.5),
        ("submission to first row (s)", statistics.median(first_rows), 0.3),
        ("idle memory of a process (MB)", max(idle) / 2**20, 60),
        ("stripped binary (MB)", os.path.getsize(weir) / 2**20, 120),
    ]
    for name, value, target in figures:
        results["figures"].append({"name": name, "value": value, "target": target, "met": value <= target})
        print(f"{name:38} {value:7.3f}  target <= {target}  {'met' if value <= target else 'MISSED'}", flush=True)


def wanted(results, name):
    return not results["only"] or any(part in name for part in results["only"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--events", type=int, default=50_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    results = {"figures": [], "runs": arguments.runs, "only": [name for name in arguments.only.split(",") if name]}
    bench_start(results, arguments.weir)
    bench_nexmark(results, arguments.weir, arguments.events)
    bench_shuffle(results, arguments.weir, arguments.events)
    bench_json(results, arguments.weir, arguments.events // 10)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results["figures"], indent=2) + "\n")
    missed = [figure["name"] for figure in results["figures"] if not figure["met"]]
    print(f"{len(results['figures']) - len(missed)} of {len(results['figures'])} targets met" + (f"; missed: {', '.join(missed)}" if missed else ""))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
