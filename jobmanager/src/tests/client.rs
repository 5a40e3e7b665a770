//! An HTTP client for tests.

use serde_json::Value;

#[derive(Clone)]
pub(super) struct Rest {
    pub(super) base: String,
}

impl Rest {
    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, None, "application/json").await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.call("POST", path, Some(body.to_string()), "application/json").await
    }

    pub(super) async fn patch(&self, path: &str) -> (u16, Value) {
        self.call("PATCH", path, None, "application/json").await
    }

    /// Answers status and JSON; what isn't JSON comes as text.
    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<String>,
        kind: &str,
    ) -> (u16, Value) {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("content-type", kind)
            .body(body.unwrap_or_default())
            .unwrap();
        tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
            let mut response = agent.run(request).unwrap();
            let text = response.body_mut().with_config().limit(64 << 20).read_to_string().unwrap();
            (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
        })
        .await
        .unwrap()
    }
}
