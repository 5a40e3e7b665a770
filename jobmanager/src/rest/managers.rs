//! `/taskmanagers` and `/taskmanagers/:id`.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use weir_api::error::{Code, Error};
use weir_api::id::TaskManagerId;

use super::App;
use super::error::Answer;
use crate::control::Core;
use crate::control::managers::Manager;

/// All TaskManagers.
#[derive(Serialize, ToSchema)]
pub(super) struct Managers {
    taskmanagers: Vec<Summary>,
}

/// A TaskManager.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Summary {
    id: String,
    /// Its data plane's address.
    path: String,
    data_port: u16,
    jmx_port: i32,
    /// The moment of its last sign of life, in Unix milliseconds.
    time_since_last_heartbeat: i64,
    slots_number: u32,
    free_slots: u32,
    #[schema(value_type = Object)]
    total_resource: Value,
    #[schema(value_type = Object)]
    free_resource: Value,
    hardware: Hardware,
    #[schema(value_type = Object)]
    memory_configuration: Value,
    host: String,
    version: String,
    /// Where it serves its own metrics; empty: nowhere.
    metrics_address: String,
}

/// What a TaskManager runs on; memory in bytes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Hardware {
    cpu_cores: u32,
    physical_memory: u64,
    free_memory: u64,
    managed_memory: u64,
}

impl Summary {
    fn of(core: &Core, manager: &Manager) -> Self {
        let info = &manager.info;
        let free = core.slots().free_of(&info.id);
        let mebibytes = |bytes: u64| bytes >> 20;
        let resource = |slots: u32| {
            let network = info.network_memory_bytes * u64::from(slots) / u64::from(info.slots.max(1));
            json!({
                "cpuCores": f64::from(slots),
                "taskHeapMemory": 0,
                "taskOffHeapMemory": 0,
                "managedMemory": 0,
                "networkMemory": mebibytes(network),
                "extendedResources": {},
            })
        };
        let resident = manager.process.as_ref().map_or(0, |process| process.resident_bytes);
        Self {
            id: info.id.to_string(),
            path: info.data_address.clone(),
            data_port: info.data_address.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0),
            jmx_port: -1,
            time_since_last_heartbeat: manager.last_heartbeat_unix_millis,
            slots_number: info.slots,
            free_slots: free,
            total_resource: resource(info.slots),
            free_resource: resource(free),
            hardware: Hardware {
                cpu_cores: info.cpu_cores,
                physical_memory: info.physical_memory_bytes,
                free_memory: info.physical_memory_bytes.saturating_sub(resident),
                managed_memory: 0,
            },
            memory_configuration: json!({
                "networkMemory": info.network_memory_bytes,
                "totalProcessMemory": resident,
            }),
            host: info.host.clone(),
            version: info.version.clone(),
            metrics_address: info.metrics_address.clone(),
        }
    }
}

/// All TaskManagers.
#[utoipa::path(get, path = "/taskmanagers", tag = "task managers", responses((status = 200, body = Managers)))]
pub(super) async fn list(State(app): State<App>) -> Answer<Managers> {
    let managers = app
        .client
        .ask(|core, _| core.managers().iter().map(|(_, manager)| Summary::of(core, manager)).collect());
    Ok(Json(Managers { taskmanagers: managers.await? }))
}

/// A TaskManager in full.
#[derive(Serialize, ToSchema)]
pub(super) struct Details {
    #[serde(flatten)]
    summary: Summary,
    #[serde(rename = "allocatedSlots")]
    slots: Vec<Slot>,
    #[schema(value_type = Object)]
    metrics: Value,
}

/// A slot in use.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Slot {
    index: u32,
    job_id: String,
    #[schema(value_type = Object)]
    resource: Value,
}

/// A TaskManager in full.
#[utoipa::path(get, path = "/taskmanagers/{managerid}", tag = "task managers",
    params(("managerid" = String, Path)),
    responses((status = 200, body = Details), (status = 404, body = super::error::Errors)))]
pub(super) async fn details(State(app): State<App>, Path(id): Path<String>) -> Answer<Details> {
    let id = TaskManagerId::new(id)?;
    let details = app.client.ask(move |core, _| Details::of(core, &id));
    Ok(Json(details.await??))
}

/// The TaskManager of this id.
pub(super) fn find<'a>(core: &'a Core, id: &TaskManagerId) -> weir_api::Result<&'a Manager> {
    core.managers()
        .get(id)
        .ok_or_else(|| Error::new(Code::NotFound, format!("no TaskManager {id} is registered")))
}

impl Details {
    fn of(core: &Core, id: &TaskManagerId) -> weir_api::Result<Self> {
        let manager = find(core, id)?;
        let slot = |(index, job): (weir_api::id::SlotIndex, weir_api::id::JobId)| Slot {
            index: index.0,
            job_id: job.to_string(),
            resource: json!({ "cpuCores": 1.0 }),
        };
        let process = manager.process.unwrap_or_default();
        Ok(Self {
            summary: Summary::of(core, manager),
            slots: core.slots().used_of(id).map(slot).collect(),
            metrics: json!({
                "residentBytes": process.resident_bytes,
                "cpuMillis": process.cpu_millis,
                "threads": process.threads,
                "nettyShuffleMemorySegmentsTotal": process.network_segments_total,
                "nettyShuffleMemorySegmentsAvailable": process.network_segments_available,
                "nettyShuffleMemorySegmentsUsed":
                    process.network_segments_total.saturating_sub(process.network_segments_available),
                "garbageCollectors": [],
            }),
        })
    }
}
