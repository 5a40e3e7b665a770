"""A cluster of Apache Flink's processes, as benchmarks/flink/install.sh has installed it, for the same SQL on the same topics.

One JobManager, two TaskManagers with one slot and 2.5 GB each, and an SQL gateway. It is tuned as its own Nexmark benchmark is:
RocksDB with incremental checkpoints every three minutes, mini-batches of two seconds, objects reused.
"""

import json
import time
import urllib.error
import urllib.request

from processes import CACHE, Processes, cpu_seconds, free_ports, rss, wait_until

HOME = CACHE / "flink-2.3.0"
SESSION = {
    "table.exec.mini-batch.enabled": "true",
    "table.exec.mini-batch.allow-latency": "2 s",
    "table.exec.mini-batch.size": "50000",
    "table.optimizer.distinct-agg.split.enabled": "true",
}
OPENED = [
    "java.base/java.lang", "java.base/java.lang.invoke", "java.base/java.net", "java.base/java.io", "java.base/java.nio",
    "java.base/sun.nio.ch", "java.base/java.math", "java.base/java.text", "java.base/java.time", "java.base/java.util",
    "java.base/java.util.concurrent", "java.base/java.util.concurrent.atomic", "java.base/java.util.concurrent.locks",
    "java.base/java.lang.reflect", "java.base/sun.security.action",
]


class Flink(Processes):
    """The running cluster; `run` measures as that of Weir does."""

    name = "flink"

    def __init__(self, taskmanagers=2):
        super().__init__()
        rest, rpc, gateway, blob = free_ports(4)
        self.rest, self.gateway = f"http://127.0.0.1:{rest}", f"http://127.0.0.1:{gateway}"
        self.configure(rest, rpc, gateway, blob)
        self.java("jobmanager", "512m", "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint")
        self.wait_for(self.rest + "/overview")
        self.taskmanagers = [
            # What Flink's scripts work out from 2.5 GB: heap, and off the heap RocksDB's and the network's memory.
            self.java(f"taskmanager-{index}", "928m", "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
                      "-XX:MaxDirectMemorySize=512m", f"-Dlog.file={self.folder}/tm{index}.log")
            for index in range(taskmanagers)
        ]
        self.java("gateway", "256m", "org.apache.flink.table.gateway.SqlGateway")
        self.wait_for(self.gateway + "/v1/info")
        self.wait_for(self.rest + "/overview", lambda overview: overview["taskmanagers"] >= taskmanagers)
        self.session = post(self.gateway + "/v1/sessions", {"properties": SESSION})["sessionHandle"]

    def configure(self, rest, rpc, gateway, blob):
        lines = {
            "rest.port": rest, "rest.address": "127.0.0.1", "rest.bind-address": "127.0.0.1",
            "jobmanager.rpc.address": "127.0.0.1", "jobmanager.rpc.port": rpc, "jobmanager.bind-host": "127.0.0.1",
            "blob.server.port": blob, "taskmanager.host": "127.0.0.1", "taskmanager.bind-host": "127.0.0.1",
            "sql-gateway.endpoint.rest.address": "127.0.0.1", "sql-gateway.endpoint.rest.port": gateway,
            "taskmanager.numberOfTaskSlots": 1, "parallelism.default": 2, "pipeline.object-reuse": "true",
            "state.backend.type": "rocksdb", "execution.checkpointing.incremental": "true",
            "execution.checkpointing.interval": "180 s", "execution.checkpointing.dir": f"file://{self.folder}/checkpoints",
            "io.tmp.dirs": self.folder / "tmp",
            # Without its scripts, a TaskManager wants every part of its memory named.
            "taskmanager.cpu.cores": "1.0", "taskmanager.memory.task.heap.size": "800m",
            "taskmanager.memory.task.off-heap.size": "0m", "taskmanager.memory.managed.size": "800m",
            "taskmanager.memory.network.min": "256m", "taskmanager.memory.network.max": "256m",
            "taskmanager.memory.framework.heap.size": "128m", "taskmanager.memory.framework.off-heap.size": "128m",
            "taskmanager.memory.jvm-metaspace.size": "192m", "taskmanager.memory.jvm-overhead.min": "256m",
            "taskmanager.memory.jvm-overhead.max": "256m",
        }
        (self.folder / "conf").mkdir()
        text = "".join(f"{key}: {value}\n" for key, value in lines.items())
        (self.folder / "conf/config.yaml").write_text(text)
        (self.folder / "tmp").mkdir()
        (self.folder / "conf/log4j.properties").write_text(
            "rootLogger.level=WARN\nrootLogger.appenderRef.c.ref=C\nappender.c.type=Console\nappender.c.name=C\n"
            "appender.c.layout.type=PatternLayout\nappender.c.layout.pattern=%d %p %c - %m%n%throwable\n")

    def java(self, name, heap, main, *options):
        jars = ":".join(str(jar) for jar in sorted((HOME / "lib").glob("*.jar")))
        opened = [f"--add-opens={package}=ALL-UNNAMED" for package in OPENED]
        arguments = [] if "gateway" in name else ["--configDir", self.folder / "conf"]
        return self.spawn(
            "java", f"-Xmx{heap}", f"-Xms{heap}", *options, *opened, "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
            f"-Dlog4j.configurationFile={self.folder}/conf/log4j.properties", "-cp", jars, main, *arguments, name=name,
            environment={"FLINK_CONF_DIR": str(self.folder / "conf"), "FLINK_LIB_DIR": str(HOME / "lib")},
        )

    def wait_for(self, url, is_good=lambda answer: True):
        def answers():
            for process in self.processes:
                if process.poll() is not None:
                    logs = "\n".join(path.read_text(errors="replace")[-3000:] for path in self.folder.glob("*.log"))
                    raise RuntimeError(f"a process of Flink has ended:\n{logs}")
            try:
                return is_good(get(url))
            except OSError:
                return False

        wait_until(f"{url} answers as it should", answers, limit=90, pause=0.2)

    def run(self, sql, parallelism, limit=1200):
        """Runs a job to its end: (CPU-seconds of the workers, seconds, largest memory of one worker in bytes)."""
        *declarations, insert = [statement for statement in sql.split(";\n") if statement.strip()]
        for statement in declarations:
            self.execute(statement)
        before, start = self.cpu_seconds(), time.monotonic()
        job = self.execute(insert.rstrip().rstrip(";"))
        memory = 0
        while True:
            state = get(f"{self.rest}/jobs/{job}")["state"]
            memory = max(memory, *(rss(process.pid) for process in self.taskmanagers))
            if state == "FINISHED":
                break
            if state in ("FAILED", "CANCELED") or time.monotonic() - start > limit:
                raise RuntimeError(f"{state}: {get(f'{self.rest}/jobs/{job}/exceptions')}")
            time.sleep(0.02)
        figures = self.cpu_seconds() - before, time.monotonic() - start, memory
        for kind, name in created(declarations):
            self.execute(f"DROP {kind} {name}")
        return figures

    def execute(self, statement):
        """Runs one statement; answers the first field of its first row, which for an INSERT is the job's id."""
        session = f"{self.gateway}/v1/sessions/{self.session}"
        operation = post(f"{session}/statements", {"statement": statement})["operationHandle"]
        status = None
        while status not in ("FINISHED", "ERROR"):
            status = get(f"{session}/operations/{operation}/status")["status"]
            time.sleep(0.01)
        answer = get(f"{session}/operations/{operation}/result/0?rowFormat=JSON")
        deadline = time.monotonic() + 60
        while answer.get("resultType") == "NOT_READY" and time.monotonic() < deadline:
            time.sleep(0.01)
            answer = get(f"{session}/operations/{operation}/result/0?rowFormat=JSON")
        rows = answer["results"]["data"]
        return answer.get("jobID") or (rows[0]["fields"][0] if rows else None)

    def cpu_seconds(self):
        return sum(cpu_seconds(process.pid) for process in self.taskmanagers)


def created(statements):
    """(kind, name) of what the statements create, the last first."""
    for statement in reversed(statements):
        words = statement.split()
        if words[0] == "CREATE":
            yield words[1], words[2]


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{url}: {error.read().decode()}") from error


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{url}: {error.read().decode()}") from error
