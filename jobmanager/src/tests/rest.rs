//! REST: shapes, statuses, limits.
#![expect(clippy::disallowed_methods, reason = "a test's deadlines")]

use serde_json::{Value, json};
use weir_proto::v1::{SubtaskMetrics, TaskState};

use super::fake::Fake;
use super::{Cluster, FAST_RESTARTS};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn first_error(body: &Value) -> &str {
    assert_eq!(keys(body), ["errors"]);
    body["errors"][0].as_str().unwrap()
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_with_the_right_status() {
    let cluster = Cluster::start(&[]).await;
    let rest = &cluster.rest;
    for (path, status, what) in [
        ("/nowhere", 404, "/nowhere"),
        ("/v1/nowhere", 404, "/v1/nowhere"),
        ("/jobs/00000000000000000000000000000000", 404, "WEIR-3007"),
        ("/jobs/xyz", 400, "xyz"),
        ("/jobs/00000000000000000000000000000000/vertices/1", 400, "VertexId"),
        ("/taskmanagers/nobody", 404, "nobody"),
        ("/jobs/00000000000000000000000000000000/exceptions?maxExceptions=x", 400, "maxExceptions"),
    ] {
        let (found, body) = rest.get(path).await;
        assert_eq!(found, status, "{path}");
        assert!(first_error(&body).contains(what), "{path}: {body}");
    }
    let (status, body) = rest.patch("/overview").await;
    assert_eq!(status, 405, "{body}");
    assert!(first_error(&body).contains("PATCH"));
}

#[tokio::test]
async fn submissions_that_cannot_be_are_refused_with_the_reason() {
    let cluster = Cluster::start(&[]).await;
    let rest = &cluster.rest;
    for (body, what) in [
        (json!({}), "either"),
        (json!({ "sql": "JOB 1 1", "yaml": "sql: JOB 1 1" }), "either"),
        (json!({ "sql": "JOB 1 1", "paralelism": 2 }), "paralelism"),
        (json!({ "sql": "nonsense" }), "WEIR-1001"),
        (json!({ "yaml": "sql: JOB 1 1\nnam: x\n" }), "line 2"),
        (json!({ "sql": "JOB 1 1", "config": { "rest.prot": "1" } }), "rest.port"),
        (json!({ "sql": "JOB p p", "parallelism": 0 }), "parallelism"),
        (json!({ "sql": "JOB 1 1", "name": "x".repeat(2_000) }), "name"),
        (json!({ "sql": "JOB 77 1" }), "bytes"),
    ] {
        let (status, answer) = rest.post("/v1/jobs", &body).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(first_error(&answer).contains(what), "{body}: {answer}");
    }
    let (status, answer) = rest.post("/jobs", &json!({ "sql": "JOB 99 1" })).await;
    assert_eq!(status, 404);
    assert!(first_error(&answer).contains("find the splits of 'source'"), "{answer}");
    let (status, answer) = rest.post("/jobs", &json!({ "sql": "JOB 13 1" })).await;
    assert_eq!(status, 500, "a bug in the planner is one submission's: {answer}");
    assert_eq!(rest.call("POST", "/jobs", Some("{".to_owned()), "application/json").await.0, 400);
    assert_eq!(rest.call("POST", "/jobs", Some("{}".to_owned()), "text/plain").await.0, 415);
    let answer = announce(cluster.handle.rest_address(), 9 << 20).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"errors\":"), "{answer}");
    let (_, jobs) = rest.get("/jobs").await;
    assert_eq!(jobs, json!({ "jobs": [] }));
}

/// Announces a body of so many bytes and sends none of it.
async fn announce(address: std::net::SocketAddr, bytes: usize) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /jobs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = socket.read_to_string(&mut answer);
    tokio::time::timeout(std::time::Duration::from_secs(10), read).await.expect("an answer at once").unwrap();
    answer
}

#[tokio::test]
async fn yaml_and_fields_over_it() {
    let cluster = Cluster::start(&[]).await;
    let yaml = "name: from yaml\nparallelism: 2\nconfig:\n  pipeline.max-parallelism: 64\nsql: JOB p p\n";
    let (status, answer) = cluster.rest.post("/jobs", &json!({ "yaml": yaml })).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(answer["warnings"], json!(["planned by a test"]));
    let job = answer["jobid"].as_str().unwrap();
    assert!(job.len() == 32 && job.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let (_, details) = cluster.rest.get(&format!("/jobs/{job}")).await;
    assert_eq!((&details["name"], &details["vertices"][0]["parallelism"]), (&json!("from yaml"), &json!(2)));
    let (_, config) = cluster.rest.get(&format!("/jobs/{job}/config")).await;
    assert_eq!(config["execution-config"]["user-config"]["pipeline.max-parallelism"], "64");

    let body = json!({ "yaml": yaml, "name": "from field", "parallelism": 3, "config": { "pipeline.max-parallelism": 32 } });
    let (_, answer) = cluster.rest.post("/jobs", &body).await;
    let job = answer["jobid"].as_str().unwrap();
    let (_, details) = cluster.rest.get(&format!("/jobs/{job}")).await;
    assert_eq!((&details["name"], &details["vertices"][1]["parallelism"]), (&json!("from field"), &json!(3)));
    let (_, config) = cluster.rest.get(&format!("/jobs/{job}/config")).await;
    assert_eq!(config["execution-config"]["user-config"]["pipeline.max-parallelism"], "32");

    let body =
        json!({ "sql": "JOB 1 1", "config": { "rest.port": 1, "taskmanager.memory.task.heap.size": "1g" } });
    let (_, answer) = cluster.rest.post("/jobs", &body).await;
    assert!(answer["warnings"].to_string().contains("'rest.port' has no effect on a job"), "{answer}");
    assert!(answer["warnings"].to_string().contains("task.heap.size"), "{answer}");

    let (status, explained) = cluster.rest.post("/jobs/explain", &json!({ "sql": "JOB 1 1" })).await;
    assert_eq!(status, 200);
    assert!(explained["plan"].as_str().unwrap().contains("source"));
}

#[tokio::test]
async fn faces_can_be_closed() {
    let cluster = Cluster::start(&[("web.submit.enable", "false"), ("web.cancel.enable", "false")]).await;
    assert_eq!(cluster.rest.post("/jobs", &json!({ "sql": "JOB 1 1" })).await.0, 403);
    assert_eq!(cluster.rest.patch("/jobs/00000000000000000000000000000000").await.0, 403);
    let (_, config) = cluster.rest.get("/config").await;
    assert_eq!(config["features"]["web-submit"], false);
}

/// A cluster with a running job whose first source has reported.
async fn busy() -> (Cluster, Fake, String, String) {
    let cluster = Cluster::start(&[]).await;
    let mut manager = Fake::join(cluster.handle.rpc_address(), 2).await;
    let job = cluster.submit("JOB 2 1").await;
    let deploy = manager.deployment().await;
    manager.report_all(&deploy, TaskState::Initializing).await;
    manager.report_all(&deploy, TaskState::Running).await;
    let task = manager.tasks(&deploy).into_iter().find(|task| task.vertex == 0 && task.subtask == 1);
    let report = |records, busy, waiting| SubtaskMetrics {
        task: task.clone(),
        num_records_in: records,
        num_records_out: records,
        num_bytes_in: 10 * records,
        busy_millis: busy,
        back_pressured_millis: waiting,
        current_input_watermark: Some(1_234),
        num_late_records_dropped: 3,
        ..Default::default()
    };
    manager.measure(report(100, 1_000, 0)).await;
    manager.measure(report(300, 1_100, 900)).await;
    manager.beat().await;
    cluster.until(&job, "RUNNING").await;
    let start = std::time::Instant::now();
    loop {
        let (_, details) = cluster.rest.get(&format!("/jobs/{job}")).await;
        if details["vertices"][0]["metrics"]["read-records"] == 300 {
            let vertex = details["vertices"][0]["id"].as_str().unwrap().to_owned();
            return (cluster, manager, job, vertex);
        }
        assert!(start.elapsed().as_secs() < 20, "{details}");
    }
}

#[tokio::test]
async fn a_jobs_answers_have_flinks_fields() {
    let (cluster, _manager, job, vertex) = busy().await;
    let (_, overview) = cluster.rest.get("/jobs/overview").await;
    let entry = &overview["jobs"][0];
    for key in ["jid", "name", "start-time", "end-time", "duration", "state", "last-modification", "tasks"] {
        assert!(!entry[key].is_null(), "{key}: {entry}");
    }
    assert_eq!(
        (&entry["tasks"]["total"], &entry["tasks"]["running"], &entry["end-time"]),
        (&json!(3), &json!(3), &json!(-1))
    );

    let (_, details) = cluster.rest.get(&format!("/jobs/{job}")).await;
    assert_eq!(
        keys(&details),
        [
            "attempt",
            "duration",
            "end-time",
            "isStoppable",
            "jid",
            "job-type",
            "maxParallelism",
            "name",
            "now",
            "pending-operators",
            "plan",
            "start-time",
            "state",
            "status-counts",
            "timestamps",
            "vertices",
        ]
    );
    assert_eq!(keys(&details["timestamps"]).len(), 11);
    assert!(details["timestamps"]["RUNNING"].as_i64() >= details["timestamps"]["INITIALIZING"].as_i64());
    let first = &details["vertices"][0];
    assert_eq!(
        keys(first),
        [
            "duration",
            "end-time",
            "id",
            "maxParallelism",
            "metrics",
            "name",
            "parallelism",
            "slotSharingGroupId",
            "start-time",
            "status",
            "tasks",
        ]
    );
    assert_eq!(
        keys(&first["metrics"]),
        [
            "accumulated-backpressured-time",
            "accumulated-busy-time",
            "accumulated-idle-time",
            "read-bytes",
            "read-bytes-complete",
            "read-records",
            "read-records-complete",
            "write-bytes",
            "write-bytes-complete",
            "write-records",
            "write-records-complete",
        ]
    );
    assert_eq!(first["metrics"]["read-records-complete"], false, "one of its two tasks has said nothing");

    let (_, plan) = cluster.rest.get(&format!("/jobs/{job}/plan")).await;
    assert_eq!(plan["plan"], details["plan"]);
    let nodes = plan["plan"]["nodes"].as_array().unwrap();
    assert_eq!((nodes.len(), &nodes[0]["id"]), (2, &json!(vertex)));
    assert_eq!(
        nodes[1]["inputs"],
        json!([{ "num": 0, "id": vertex, "ship_strategy": "HASH", "exchange": "pipelined_bounded" }])
    );
    let (_, config) = cluster.rest.get(&format!("/jobs/{job}/config")).await;
    let strategy = config["execution-config"]["restart-strategy"].as_str().unwrap();
    assert!(strategy.starts_with("fixed-delay: 5"), "{strategy}");
    assert_eq!(FAST_RESTARTS.len(), config["execution-config"]["user-config"].as_object().unwrap().len());
    let (_, exceptions) = cluster.rest.get(&format!("/jobs/{job}/exceptions")).await;
    assert_eq!(
        (&exceptions["root-exception"], &exceptions["exceptionHistory"]["entries"]),
        (&Value::Null, &json!([]))
    );
}

#[tokio::test]
async fn a_vertexs_answers_have_flinks_fields() {
    let (cluster, manager, job, vertex) = busy().await;
    let of = |what: &str| format!("/v1/jobs/{job}/vertices/{vertex}{what}");
    let (_, details) = cluster.rest.get(&of("")).await;
    let subtask = &details["subtasks"][1];
    assert_eq!((&subtask["status"], &subtask["attempt"]), (&json!("RUNNING"), &json!(0)));
    assert_eq!(subtask["taskmanager-id"], manager.id);
    assert_eq!(subtask["endpoint"], format!("{}.example:4711", manager.id));
    assert_eq!(subtask["metrics"]["read-bytes"], 3_000);
    assert!(subtask["status-duration"]["INITIALIZING"].as_i64() >= Some(0), "{subtask}");

    let (_, pressure) = cluster.rest.get(&of("/backpressure")).await;
    assert_eq!((&pressure["status"], &pressure["backpressureLevel"]), (&json!("ok"), &json!("high")));
    assert_eq!(
        (&pressure["subtasks"][1]["ratio"], &pressure["subtasks"][1]["busyRatio"]),
        (&json!(0.9), &json!(0.1))
    );
    assert_eq!(pressure["subtasks"][0]["backpressure-level"], "ok");
    let (_, watermarks) = cluster.rest.get(&of("/watermarks")).await;
    assert_eq!(watermarks, json!([{ "id": "1.currentInputWatermark", "value": "1234" }]));
    let (_, times) = cluster.rest.get(&of("/subtasktimes")).await;
    assert!(times["subtasks"][0]["timestamps"]["RUNNING"].as_i64() > Some(0), "{times}");
    let (_, managers) = cluster.rest.get(&of("/taskmanagers")).await;
    assert_eq!(managers["taskmanagers"].as_array().unwrap().len(), 1);
    assert_eq!(managers["taskmanagers"][0]["status-counts"]["RUNNING"], 2);

    let (_, late) = cluster.rest.get(&of("/metrics?get=1.numLateRecordsDropped,0.numRecordsIn")).await;
    assert_eq!(late, json!([{ "id": "1.numLateRecordsDropped", "value": "3" }]));
    let (_, sum) = cluster.rest.get(&of("/subtasks/metrics?get=numRecordsIn&agg=sum&subtasks=0-5")).await;
    assert_eq!(sum, json!([{ "id": "numRecordsIn", "sum": 300.0 }]));
    let (status, body) = cluster.rest.get(&of("/subtasks/metrics?get=numRecordsIn&subtasks=x")).await;
    assert_eq!(status, 400, "{body}");
    let (_, names) = cluster.rest.get(&of("/metrics")).await;
    assert!(names.as_array().unwrap().contains(&json!({ "id": "1.busyTimeMsPerSecond" })), "{names}");
}

#[tokio::test]
async fn the_clusters_answers_have_flinks_fields() {
    let (cluster, manager, job, _) = busy().await;
    let (_, overview) = cluster.rest.get("/v1/overview").await;
    assert_eq!(
        keys(&overview),
        [
            "flink-commit",
            "flink-version",
            "jobs-cancelled",
            "jobs-failed",
            "jobs-finished",
            "jobs-running",
            "slots-available",
            "slots-total",
            "taskmanagers",
            "weir-version",
        ]
    );
    let (_, managers) = cluster.rest.get("/taskmanagers").await;
    let one = &managers["taskmanagers"][0];
    assert_eq!(
        (&one["slotsNumber"], &one["freeSlots"], &one["dataPort"]),
        (&json!(2), &json!(0), &json!(4_711))
    );
    assert_eq!(one["hardware"]["physicalMemory"], 8_u64 << 30);
    assert!(one["timeSinceLastHeartbeat"].as_i64() > Some(1_600_000_000_000));
    let (_, details) = cluster.rest.get(&format!("/taskmanagers/{}", manager.id)).await;
    assert_eq!(details["allocatedSlots"][1]["jobId"], json!(job));
    let (_, config) = cluster.rest.get("/jobmanager/config").await;
    assert!(
        config.as_array().unwrap().contains(&json!({ "key": "heartbeat.interval", "value": "1 s" })),
        "{config}"
    );
    let (_, metrics) = cluster.rest.get("/jobmanager/metrics?get=taskSlotsTotal,numRunningJobs").await;
    assert_eq!(
        metrics,
        json!([{ "id": "numRunningJobs", "value": "1" }, { "id": "taskSlotsTotal", "value": "2" }])
    );

    let (_, text) = cluster.rest.get("/metrics").await;
    let text = text.as_str().unwrap();
    for line in [
        "weir_jobmanager_numRegisteredTaskManagers 1".to_owned(),
        "weir_jobmanager_taskSlotsAvailable 0".to_owned(),
        format!("weir_jobmanager_job_numRestarts{{job_id=\"{job}\",job_name=\"test job\"}} 0"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} isn't in\n{text}");
    }
}

#[tokio::test]
async fn every_documented_path_is_served() {
    let (cluster, manager, job, vertex) = busy().await;
    let (status, document) = cluster.rest.get("/openapi.json").await;
    assert_eq!(status, 200);
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 23, "{}", paths.len());
    for (path, methods) in paths {
        // There is no checkpoint and no request: that is said by who serves the path.
        let is_of_none = path.contains("{checkpointid}") || path.contains("{triggerid}");
        let real = path.replace("{jobid}", &job).replace("{vertexid}", &vertex);
        let real = real.replace("{managerid}", &manager.id);
        let real = real.replace("{checkpointid}", "1").replace("{triggerid}", &"0".repeat(32));
        for method in methods.as_object().unwrap().keys() {
            for prefix in ["", "/v1"] {
                let method = method.to_uppercase();
                let path = format!("{prefix}{real}");
                let (status, body) = cluster.rest.call(&method, &path, None, "application/json").await;
                let served = match method.as_str() {
                    "GET" if is_of_none => status == 404 && !body.to_string().contains("there is nothing at"),
                    "POST" => status == 400,
                    _ => status == 200 || status == 202,
                };
                assert!(served, "{method} {path}: {status} {body}");
            }
        }
    }
}
