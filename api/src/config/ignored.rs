//! Flink's keys that have no meaning here, each with the reason that its warning gives.

/// Key prefixes (a trailing `*` matches any rest) and why they do nothing.
pub(super) const PREFIXES: &[(&str, &str)] = &[
    ("env.java.*", "there is no JVM"),
    ("jobmanager.memory.*", "there is no JVM heap to size; the JobManager takes what it needs"),
    ("taskmanager.memory.flink.size", "there is no JVM heap to size"),
    ("taskmanager.memory.framework.*", "there is no JVM heap to size"),
    ("taskmanager.memory.jvm-*", "there is no JVM"),
    ("taskmanager.memory.task.*", "there is no JVM heap to size"),
    ("taskmanager.memory.network.fraction", "network memory is a fixed pool: taskmanager.memory.network.max"),
    ("taskmanager.memory.network.min", "network memory is a fixed pool: taskmanager.memory.network.max"),
    ("taskmanager.memory.managed.*", "state lives in ordinary memory; its limit is state.memory.limit"),
    (
        "taskmanager.memory.process.size",
        "memory is bounded by taskmanager.memory.network.max and state.memory.limit",
    ),
    ("classloader.*", "there are no class loaders"),
    ("akka.*", "the control plane is gRPC"),
    ("pekko.*", "the control plane is gRPC"),
    ("blob.*", "there are no jars to distribute"),
    ("pipeline.object-reuse", "records are columns; nothing is copied between chained operators"),
    ("pipeline.auto-watermark-interval", "watermarks follow each batch"),
    ("pipeline.jars", "Weir doesn't run jars"),
    ("table.exec.mini-batch.*", "records always travel in batches"),
    ("table.optimizer.agg-phase-strategy", "two phases wherever they are possible"),
    ("table.optimizer.distinct-agg.split.enabled", "distinct aggregates run in one phase"),
    ("execution.checkpointing.storage", "checkpoints go to execution.checkpointing.dir"),
    ("state.checkpoint-storage", "checkpoints go to execution.checkpointing.dir"),
    ("execution.checkpointing.unaligned*", "barriers are aligned in this version"),
    ("execution.checkpointing.aligned-checkpoint-timeout", "barriers are aligned in this version"),
    ("execution.checkpointing.file-merging.*", "a table's rows are in few files already"),
    ("execution.checkpointing.interval-during-backlog", "the interval is the same at all times"),
    ("execution.checkpointing.cleaner.*", "files are removed in the background"),
    ("state.backend.changelog.*", "checkpoints write what has changed"),
    ("state.backend.rocksdb.*", "state is kept in memory in this version"),
    ("sql-client.*", "there is no interactive SQL client in this version"),
];

/// Why `key` does nothing; `None` if it isn't one of these.
pub(super) fn reason(key: &str) -> Option<&'static str> {
    PREFIXES
        .iter()
        .find(|(pattern, _)| match pattern.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => key == *pattern,
        })
        .map(|(_, reason)| *reason)
}
