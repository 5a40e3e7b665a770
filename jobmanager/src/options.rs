//! What a JobManager is started with.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use weir_api::config::{Configuration, options};
use weir_api::error::{Code, Error, Result};

use crate::control::Settings;
use crate::control::job::Limits;
use crate::control::schedule::Spread;

/// How long cancelled tasks may take before the job goes on without their slots.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long deployed tasks may take to answer.
const DEPLOY_TIMEOUT: Duration = Duration::from_secs(60);

/// What a JobManager is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address that both listeners bind.
    pub bind: IpAddr,
    /// The port of the gRPC service; 0: any free one.
    pub rpc_port: u16,
    /// The port of the REST service; 0: any free one.
    pub rest_port: u16,
    /// Where jobs are kept; `None`: in memory.
    pub metadata: Option<PathBuf>,
    /// Whether a listener may bind other than loopback, though there is no login and no TLS.
    pub insecure: bool,
    /// Everything else, and the defaults of jobs.
    pub configuration: Configuration,
    /// Where random numbers begin; `None`: anywhere.
    pub seed: Option<u64>,
}

impl Options {
    /// Options from a configuration.
    pub fn from_configuration(configuration: Configuration, insecure: bool) -> Result<Self> {
        let bind = configuration.get(&options::REST_BIND_ADDRESS);
        let bind = match bind.as_str() {
            "localhost" => IpAddr::from([127, 0, 0, 1]),
            text => text.parse().map_err(|_| {
                Error::new(
                    Code::InvalidConfiguration,
                    format!("'{text}' is not an IP address that rest.bind-address could be; 127.0.0.1 and 0.0.0.0 are"),
                )
            })?,
        };
        let metadata = configuration.get(&options::METADATA_DIR);
        Ok(Self {
            bind,
            rpc_port: configuration.get(&options::RPC_PORT),
            rest_port: configuration.get(&options::REST_PORT),
            metadata: (!metadata.is_empty()).then(|| metadata.into()),
            insecure,
            configuration,
            seed: None,
        })
    }

    /// Refuses what would let anybody on the network run jobs, and times that can't be.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.bind.is_loopback() && !self.insecure {
            return Err(Error::new(
                Code::InvalidConfiguration,
                format!(
                    "binding {} would let everybody who reaches it run jobs, as there is no login; bind 127.0.0.1, or start with \
                     --insecure inside a network that you trust",
                    self.bind
                ),
            ));
        }
        let interval = self.configuration.get(&options::HEARTBEAT_INTERVAL);
        let timeout = self.configuration.get(&options::HEARTBEAT_TIMEOUT);
        if interval.is_zero() || timeout <= interval {
            return Err(Error::new(
                Code::InvalidConfiguration,
                format!(
                    "heartbeat.timeout ({} ms) must be longer than heartbeat.interval ({} ms), and that longer than 0",
                    timeout.as_millis(),
                    interval.as_millis()
                ),
            ));
        }
        Ok(())
    }

    pub(crate) fn settings(&self) -> Settings {
        let configuration = self.configuration.clone();
        Settings {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            heartbeat_interval: configuration.get(&options::HEARTBEAT_INTERVAL),
            heartbeat_timeout: configuration.get(&options::HEARTBEAT_TIMEOUT),
            spread: Spread::Even,
            limits: Limits {
                slot_timeout: configuration.get(&options::SLOT_REQUEST_TIMEOUT),
                cancel_timeout: CANCEL_TIMEOUT,
                deploy_timeout: DEPLOY_TIMEOUT,
                exceptions: configuration.get(&options::EXCEPTION_HISTORY) as usize,
            },
            ended_jobs: configuration.get(&options::JOB_STORE_CAPACITY) as usize,
            seed: self.seed.unwrap_or_else(rand::random),
            configuration,
        }
    }
}
