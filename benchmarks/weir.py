"""A cluster of Weir's processes: one JobManager and some TaskManagers, whose CPU is what is measured."""

import json
import time
import urllib.error
import urllib.request

from processes import Processes, cpu_seconds, rss


class Weir(Processes):
    """One JobManager and some TaskManagers with so many slots each."""

    name = "weir"

    def __init__(self, weir, taskmanagers, slots, options=()):
        super().__init__()
        self.weir, self.slots, self.taskmanagers = weir, slots, []
        self.defines = defines = [f"-D{option}" for option in options]
        self.jobmanager = self.spawn(weir, "jobmanager", "-Drest.port=0", "-Djobmanager.rpc.port=0", *defines, pipe=True)
        self.rest = line(self.jobmanager, "REST: ")
        self.rpc = line(self.jobmanager, "RPC: ").rsplit(":", 1)
        self.add_taskmanagers(taskmanagers)

    def add_taskmanagers(self, count):
        """Starts some more, and waits until the JobManager knows them."""
        host, port = self.rpc
        for _ in range(count):
            self.taskmanagers.append(self.spawn(
                self.weir, "taskmanager", f"-Djobmanager.rpc.address={host}", f"-Djobmanager.rpc.port={port}",
                f"-Dtaskmanager.numberOfTaskSlots={self.slots}", "-Dmetrics.reporter.prom.port=0", *self.defines,
            ))
        deadline = time.monotonic() + 30
        while self.get("/overview")["taskmanagers"] < len(self.taskmanagers):
            if time.monotonic() > deadline:
                raise RuntimeError("the cluster didn't come up")
            time.sleep(0.02)

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


def line(process, prefix):
    """The rest of the first line of a process' output that starts so."""
    for text in process.stdout:
        if text.startswith(prefix):
            return text[len(prefix):].strip()
    raise RuntimeError(f"the process ended without a line `{prefix}`")
