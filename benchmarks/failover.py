"""How long a job is silent after one of its processes was killed or stopped: seconds from the signal to the next row at the sink.

The job counts keys at 200,000 events a second, with some 500 MB of state, checkpoints each second, and prints every thousandth answer,
which goes to the TaskManager's own output: the first line of the one that takes over is the end of the silence.
"""

import signal
import statistics
import tempfile
import time
from pathlib import Path

import jobs
from processes import CACHE, Processes, free_ports, wait_until
from weir import Weir

# Some 55 bytes a key in memory, 22 in a snapshot.
KEYS = 10_000_000
RATE = 200_000


class S3(Processes):
    """versitygw on a folder of its own, with one bucket."""

    def __init__(self):
        super().__init__()
        (port,) = free_ports(1)
        (self.folder / "data" / "bench").mkdir(parents=True)
        self.spawn(CACHE / "bin/versitygw-1.8.0", "--access", "bench", "--secret", "benchbench", "--port", f"127.0.0.1:{port}",
                   "posix", self.folder / "data", name="s3")
        self.options = [f"s3.endpoint=http://127.0.0.1:{port}", "s3.path-style-access=true", "s3.access-key=bench",
                        "s3.secret-key=benchbench"]


def job():
    return (
        jobs.table("loaded", "k BIGINT, proc AS PROCTIME()",
                   f"'connector' = 'datagen', 'rows-per-second' = '1000000000', 'number-of-rows' = '{KEYS}', "
                   f"'fields.k.kind' = 'sequence', 'fields.k.start' = '0', 'fields.k.end' = '{KEYS - 1}'")
        + jobs.table("live", "k BIGINT, proc AS PROCTIME()",
                     f"'connector' = 'datagen', 'rows-per-second' = '{RATE}', 'fields.k.kind' = 'random', 'fields.k.min' = '0', "
                     f"'fields.k.max' = '{KEYS - 1}'")
        + jobs.sink("k BIGINT, n BIGINT", "'connector' = 'print'")
        + "INSERT INTO sink SELECT k, n FROM (SELECT k, COUNT(*) OVER (PARTITION BY k ORDER BY proc) AS n FROM "
        + "(SELECT k, proc FROM loaded UNION ALL SELECT k, proc FROM live)) WHERE MOD(k + n, 1000) = 0 AND n > 1"
    )


class Failover(Weir):
    """A TaskManager that works, and a spare one that joins later, so that it has no task before."""

    def printed(self, index):
        # The JobManager is process 0.
        path = self.folder / f"{index + 1}.log"
        return path.read_bytes().count(b"+I[") if path.exists() else 0

    def wait_for_state(self, name, megabytes):
        def large():
            history = self.get(f"/jobs/{name}/checkpoints")["history"]
            sizes = [one["state_size"] for one in history if one["status"] == "COMPLETED"]
            return len(sizes) >= 3 and max(sizes) >= megabytes * 1_000_000

        wait_until("the state is there", large, 180, 0.2)

    def silence(self, number):
        """Sends a signal to the one that works and waits for the first row of the other one."""
        assert self.printed(0) > 0 and self.printed(1) == 0, "the first one works, the other one doesn't"
        self.taskmanagers[0].send_signal(number)
        start = time.monotonic()
        while self.printed(1) == 0:
            if time.monotonic() - start > 60:
                raise RuntimeError(f"nothing within 60 s: {self.log('0')[-3000:]}")
            time.sleep(0.005)
        return time.monotonic() - start


def rounds(weir, count, options, number, megabytes):
    """Each round with a cluster of its own, so that all start alike."""
    silences = []
    for _ in range(count):
        with Failover(weir, 1, 2, options) as cluster:
            name = cluster.submit(job(), 2)
            cluster.wait_for_state(name, megabytes)
            cluster.add_taskmanagers(1)
            silences.append(cluster.silence(number))
            print(f"  silent for {silences[-1]:.2f} s", flush=True)
    return silences


def common(folder):
    return ["execution.checkpointing.interval=1 s", "state.memory.limit=8 gb",
            f"execution.checkpointing.local-backup.dirs={folder}/copies"]


def bench(figures, weir, count=20, megabytes=200):
    if figures.wanted("failover on the same host"):
        with tempfile.TemporaryDirectory() as folder:
            options = [*common(folder), f"execution.checkpointing.dir=file://{folder}/checkpoints"]
            silences = rounds(weir, count, options, signal.SIGKILL, megabytes)
        figures.add(f"failover on the same host, median of {count} (s)", statistics.median(silences), 1)
        figures.add(f"failover on the same host, worst of {count} (s)", max(silences), 2)
    if figures.wanted("failover, state from S3"):
        with tempfile.TemporaryDirectory() as folder, S3() as s3:
            options = [*common(folder), "execution.checkpointing.dir=s3://bench/checkpoints",
                       "execution.checkpointing.local-backup.enabled=false", *s3.options]
            silences = rounds(weir, max(count // 4, 1), options, signal.SIGKILL, megabytes)
        figures.add("failover, state from S3, worst (s)", max(silences), 5)
    if figures.wanted("failover of a stopped process"):
        with tempfile.TemporaryDirectory() as folder:
            options = [*common(folder), f"execution.checkpointing.dir=file://{folder}/checkpoints"]
            silences = rounds(weir, max(count // 4, 1), options, signal.SIGSTOP, megabytes)
        figures.add("failover of a stopped process, worst (s)", max(silences), 6)
