"""A Kafka broker beside the measured processes, and what the benchmarks do with its topics."""

import subprocess
from pathlib import Path

from processes import CACHE, Processes, cpu_seconds, free_ports, wait_until

HOME = CACHE / "kafka-4.1.0"
# The arguments of the installation make the start cheap; here the throughput counts.
FAST = ["-XX:TieredStopAtLevel=4", "-Xmx1g", "-Xms1g", "-XX:+UseParallelGC", "-XX:-UseSerialGC"]
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/log
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=2097152
"""


class Broker(Processes):
    """One broker on a free port."""

    def __init__(self):
        super().__init__()
        port, controller = free_ports(2)
        self.bootstrap = f"127.0.0.1:{port}"
        log = self.folder / "log"
        log.mkdir()
        for file in (HOME / "formatted").iterdir():
            (log / file.name).write_bytes(file.read_bytes())
        properties = self.folder / "server.properties"
        properties.write_text(PROPERTIES.format(port=port, controller=controller, folder=self.folder))
        self.process = self.spawn("java", f"@{HOME}/java.args", *FAST, "kafka.Kafka", properties, name="broker")

        def is_started():
            if self.process.poll() is not None:
                raise RuntimeError(f"the broker has ended:\n{self.log('broker')}")
            return "Kafka Server started" in self.log("broker")

        wait_until("the broker serves", is_started)

    def tool(self, name, *arguments, **options):
        command = ["java", f"@{HOME}/java.args", "-XX:TieredStopAtLevel=4", "-Xmx512m", f"org.apache.kafka.tools.{name}",
                   "--bootstrap-server", self.bootstrap, *map(str, arguments)]
        result = subprocess.run(command, stderr=subprocess.PIPE, check=False, **options)
        if result.returncode:
            raise RuntimeError(f"{name}: {result.stderr.decode(errors='replace')}")
        return result

    def create(self, topic, partitions):
        self.tool("TopicCommand", "--create", "--topic", topic, "--partitions", partitions, stdout=subprocess.DEVNULL)

    def delete(self, topic):
        self.tool("TopicCommand", "--delete", "--topic", topic, stdout=subprocess.DEVNULL)

    def count(self, topic):
        """How many records stand in the topic."""
        text = self.tool("GetOffsetShell", "--topic", topic, stdout=subprocess.PIPE).stdout.decode()
        return sum(int(line.rsplit(":", 1)[1]) for line in text.split())

    def load(self, topic, files):
        """Writes every line of the files, in their order, as a record."""
        cat = subprocess.Popen(["cat", *map(str, files)], stdout=subprocess.PIPE)
        self.tool(
            "ConsoleProducer", "--topic", topic, "--timeout", "20", "--batch-size", "262144",
            "--max-memory-bytes", "134217728", "--request-required-acks", "1", stdin=cat.stdout,
            stdout=subprocess.DEVNULL,
        )
        cat.wait()

    def dump(self, topic, path):
        """Writes the value of every record as a line; answers how many there are."""
        count = self.count(topic)
        with open(path, "wb") as output:
            self.tool("consumer.ConsoleConsumer", "--topic", topic, "--from-beginning", "--max-messages", count, "--timeout-ms", 30000,
                      stdout=output)
        return count

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)


def lines(files):
    """How many lines the files have."""
    def chunks(file):
        with open(file, "rb") as reader:
            while chunk := reader.read(1 << 20):
                yield chunk

    return sum(chunk.count(b"\n") for file in map(Path, files) for chunk in chunks(file))
