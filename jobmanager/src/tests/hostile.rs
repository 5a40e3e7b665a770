//! TaskManagers that break the protocol end their own session and nothing else.

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use tokio::io::AsyncWriteExt as _;
use weir_proto::v1::task_manager_message::Body;
use weir_proto::v1::{
    MetricsReport, SubtaskId, SubtaskMetrics, TaskManagerHeartbeat, TaskState, TaskStateChanged,
};

use super::Cluster;
use super::fake::{Fake, registration};

/// A cluster with a well-behaved TaskManager that runs a job.
async fn peaceful() -> (Cluster, Fake, String) {
    let cluster = Cluster::start(&[("heartbeat.timeout", "50 s")]).await;
    let mut good = Fake::join(cluster.handle.rpc_address(), 1).await;
    let job = cluster.submit("JOB 1 1").await;
    let deploy = good.deployment().await;
    good.report_all(&deploy, TaskState::Running).await;
    cluster.until(&job, "RUNNING").await;
    (cluster, good, job)
}

#[tokio::test]
async fn who_may_not_join_is_told_why() {
    let cluster = Cluster::start(&[]).await;
    let address = cluster.handle.rpc_address();
    for (change, what) in [
        (
            (|register| register.version = "0.0.0".to_owned()) as fn(&mut weir_proto::v1::Register),
            "WEIR-3008",
        ),
        (|register| register.slots = 0, "slots"),
        (|register| register.slots = 1_000_000, "slots"),
        (|register| register.task_manager_id = String::new(), "TaskManagerId"),
        (|register| register.data_address = String::new(), "data address"),
        (|register| register.host = "x".repeat(100_000), "1024"),
    ] {
        let mut register = registration(&super::unique("bad"), 1);
        change(&mut register);
        let reason = Fake::join_as(address, register).await.err().expect("refused");
        assert!(reason.contains(what), "{reason}");
    }
    let (_, overview) = cluster.rest.get("/overview").await;
    assert_eq!(overview["taskmanagers"], 0);
}

#[tokio::test]
async fn malformed_messages_end_their_session_only() {
    let (cluster, good, job) = peaceful().await;
    let task = |bytes: usize| Some(SubtaskId { job_id: vec![1; bytes], attempt: 1, vertex: 0, subtask: 0 });
    let state =
        |task, state| Body::TaskState(TaskStateChanged { task, state, failure: None, snapshot: None });
    let bad = [
        Body::Register(registration("again", 1)),
        state(None, 5),
        state(task(15), 5),
        state(task(16), 0),
        state(task(16), 77),
        Body::Metrics(MetricsReport { subtasks: vec![SubtaskMetrics::default()], process: None }),
    ];
    for body in bad {
        let mut hostile = Fake::join(cluster.handle.rpc_address(), 1).await;
        hostile.say(body).await;
        while hostile.next().await.is_some() {}
    }
    good.beat().await;
    cluster.until(&job, "RUNNING").await;
}

#[tokio::test]
async fn what_is_about_others_or_nothing_changes_nothing() {
    let (cluster, good, job) = peaceful().await;
    let id: weir_api::id::JobId = job.parse().unwrap();
    let mut hostile = Fake::join(cluster.handle.rpc_address(), 1).await;
    let mut random = StdRng::seed_from_u64(1);
    for n in 0..10_000_u32 {
        let any = |random: &mut StdRng| {
            if random.random_bool(0.5) { random.random_range(0..3) } else { random.next_u32() }
        };
        let job_id = if random.random_bool(0.7) { id.as_bytes().to_vec() } else { vec![random.random(); 16] };
        let task = SubtaskId {
            job_id,
            attempt: any(&mut random),
            vertex: any(&mut random),
            subtask: any(&mut random),
        };
        let body = if n % 2 == 0 {
            let state = random.random_range(1..10);
            Body::TaskState(TaskStateChanged { task: Some(task), state, failure: None, snapshot: None })
        } else {
            let metrics = SubtaskMetrics { task: Some(task), num_records_in: u64::MAX, ..Default::default() };
            Body::Metrics(MetricsReport { subtasks: vec![metrics; 3], process: None })
        };
        hostile.say(body).await;
    }
    // Under another leader's epoch even its own job's tasks are none of its business.
    good.say_as(good.epoch + 1, Body::Heartbeat(TaskManagerHeartbeat { sequence: 1 })).await;
    hostile.beat().await;
    let (_, details) = cluster.rest.get(&format!("/jobs/{job}")).await;
    assert_eq!(details["state"], "RUNNING");
    assert_eq!(details["vertices"][0]["metrics"]["read-records"], 0);
    let (_, overview) = cluster.rest.get("/overview").await;
    assert_eq!(overview["taskmanagers"], 2);
    drop(hostile.command().await);
}

#[tokio::test]
async fn noise_on_the_ports_is_survived() {
    let (cluster, good, job) = peaceful().await;
    let mut random = StdRng::seed_from_u64(2);
    for n in 0..400 {
        let address = if n % 2 == 0 { cluster.handle.rpc_address() } else { cluster.handle.rest_address() };
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut noise = vec![0_u8; random.random_range(1..2_000)];
        random.fill_bytes(&mut noise);
        if n % 3 == 0 {
            noise.splice(0..0, *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        }
        let _ = socket.write_all(&noise).await;
    }
    good.beat().await;
    cluster.until(&job, "RUNNING").await;
}

#[tokio::test]
async fn garbage_instead_of_protobuf_ends_its_session() {
    let (cluster, good, job) = peaceful().await;
    let mut random = StdRng::seed_from_u64(3);
    let channel =
        tonic::transport::Channel::from_shared(format!("http://{}", cluster.handle.rpc_address())).unwrap();
    let channel = channel.connect().await.unwrap();
    for n in 0..10_000 {
        let mut garbage = vec![0_u8; random.random_range(1..300)];
        random.fill_bytes(&mut garbage);
        if n == 0 {
            garbage = vec![0; 17 << 20];
        }
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await.unwrap();
        let path = tonic::codegen::http::uri::PathAndQuery::from_static("/weir.v1.JobManager/Session");
        let request = tonic::Request::new(tokio_stream::once(garbage));
        let answer = grpc.streaming(request, path, raw::Raw).await;
        if let Ok(response) = answer {
            let mut stream = response.into_inner();
            while let Ok(Some(_)) = stream.message().await {}
        }
    }
    good.beat().await;
    cluster.until(&job, "RUNNING").await;
}

/// gRPC with bytes that nobody has checked.
mod raw {
    use tonic::Status;
    use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
    use tonic::codegen::Bytes;

    pub(super) struct Raw;

    impl Codec for Raw {
        type Encode = Vec<u8>;
        type Decode = Bytes;
        type Encoder = Raw;
        type Decoder = Raw;

        fn encoder(&mut self) -> Raw {
            Raw
        }

        fn decoder(&mut self) -> Raw {
            Raw
        }
    }

    impl Encoder for Raw {
        type Item = Vec<u8>;
        type Error = Status;

        fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
            prost::bytes::BufMut::put_slice(buffer, &item);
            Ok(())
        }
    }

    impl Decoder for Raw {
        type Item = Bytes;
        type Error = Status;

        fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
            let length = prost::bytes::Buf::remaining(buffer);
            Ok(Some(prost::bytes::Buf::copy_to_bytes(buffer, length)))
        }
    }
}
