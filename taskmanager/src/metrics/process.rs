//! The process's and the machine's figures, from `/proc`; where there is none, they are zero.

use std::fs;

use weir_proto::v1::ProcessMetrics;

/// Clock ticks per second in `/proc/self/stat`: part of Linux's ABI towards programs, whatever the kernel's own tick is.
const TICKS_PER_SECOND: u64 = 100;

/// Memory, processor time and threads of this process; the network's figures are left out.
pub(crate) fn process_metrics() -> ProcessMetrics {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    ProcessMetrics {
        resident_bytes: field(&status, "VmRSS:").unwrap_or(0) * 1024,
        cpu_millis: cpu_millis(&stat).unwrap_or(0),
        threads: field(&status, "Threads:").unwrap_or(0) as u32,
        ..ProcessMetrics::default()
    }
}

/// The machine's memory.
pub(crate) fn physical_memory_bytes() -> u64 {
    field(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal:").unwrap_or(0) * 1024
}

/// How many cores the process may use; at least one.
pub(crate) fn cpu_cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
}

/// The machine's name, as people know it.
pub(crate) fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// The first number behind a name at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// User and system time, the 14th and 15th field; the second one is in parentheses and may hold anything.
fn cpu_millis(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * 1000 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_the_kernels_texts() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 75 0 0 20 0 3 0 100 200 300";
        assert_eq!(cpu_millis(stat), Some(3250));
        assert_eq!(cpu_millis(""), None);
        assert_eq!(field("Name:\tx\nVmRSS:\t  120 kB\nThreads:\t7\n", "VmRSS:"), Some(120));
        assert_eq!(field("VmRSS:\n", "VmRSS:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory_and_threads() {
        let metrics = process_metrics();
        assert!(metrics.resident_bytes > 1 << 20 && metrics.threads >= 1, "{metrics:?}");
        assert!(physical_memory_bytes() > metrics.resident_bytes);
        assert!(!host_name().is_empty());
    }
}
