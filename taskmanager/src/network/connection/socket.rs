//! How data sockets are set up.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// A peer that has vanished without closing its connections is noticed after about this long.
const SILENCE: Duration = Duration::from_secs(4);

/// Small frames (credit, events) go at once; a peer that has vanished is noticed. Buffer sizes stay the system's, which adapts
/// them: what may be on its way is bounded by credit anyway.
pub(crate) fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let probe = Duration::from_secs(1);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(probe).with_interval(probe).with_retries(3))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SILENCE))?;
    #[cfg(not(target_os = "linux"))]
    let _ = SILENCE;
    Ok(())
}
