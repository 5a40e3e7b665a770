//! How the buckets of S3 are reached: endpoint, credentials, limits. The one place that builds a client.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::limit::LimitStore;
use object_store::multipart::MultipartStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::config::{Configuration, options};
use crate::error::{Code, Error, Result};

/// Requests to one bucket that a process has at once.
const MAX_REQUESTS: usize = 64;
/// For a connection to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a request with its body: a part of 1 GiB at 10 MB a second.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(110);
/// Failures that may pass (5xx, a broken connection) are tried again for so long.
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);
const MAX_RETRIES: usize = 8;

/// What the configuration says of S3. Holds the secret: it has no text form.
pub(super) struct Settings {
    endpoint: Option<String>,
    region: Option<String>,
    path_style: bool,
    access_key: Option<String>,
    secret_key: Option<String>,
}

impl Settings {
    pub(super) fn of(configuration: &Configuration) -> Self {
        let text = |option| configuration.get_set::<String>(option).filter(|text| !text.is_empty());
        Self {
            endpoint: text(&options::S3_ENDPOINT),
            region: text(&options::S3_REGION),
            path_style: configuration.get(&options::S3_PATH_STYLE),
            access_key: text(&options::S3_ACCESS_KEY),
            secret_key: text(&options::S3_SECRET_KEY),
        }
    }

    /// The clients of a bucket: for its objects, and for uploads.
    pub(super) fn bucket(&self, name: &str) -> Result<(Arc<dyn ObjectStore>, Arc<dyn MultipartStore>)> {
        let client = self.client(name).map_err(|error| {
            Error::new(
                Code::InvalidConfiguration,
                format!("reach the bucket '{name}' with the s3.* keys of this process's configuration"),
            )
            .with_source(error)
        })?;
        // Both share the client, and with it its connections and credentials.
        Ok((Arc::new(LimitStore::new(client.clone(), MAX_REQUESTS)), Arc::new(client)))
    }

    fn client(&self, name: &str) -> object_store::Result<AmazonS3> {
        let retry =
            RetryConfig { max_retries: MAX_RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
        let options =
            ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout(REQUEST_TIMEOUT);
        let mut builder =
            AmazonS3Builder::from_env().with_bucket_name(name).with_retry(retry).with_client_options(options);
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_allow_http(endpoint.starts_with("http://"));
            builder = match endpoint.split_once("://") {
                // With the bucket in the host, the client takes the endpoint for the bucket's own.
                Some((scheme, host)) if !self.path_style => builder
                    .with_virtual_hosted_style_request(true)
                    .with_endpoint(format!("{scheme}://{name}.{}", host.trim_end_matches('/'))),
                _ => builder.with_endpoint(endpoint.trim_end_matches('/')),
            };
        } else {
            builder = builder.with_virtual_hosted_style_request(!self.path_style);
        }
        if let (Some(access_key), Some(secret_key)) = (&self.access_key, &self.secret_key) {
            builder = builder.with_access_key_id(access_key).with_secret_access_key(secret_key);
        }
        builder.build()
    }
}
