//! A share of the processor for some processes: a control group, where this machine lets us make one.

use std::path::{Path, PathBuf};

/// Where the controller of CPU time is mounted, in the first and in the second version of control groups.
const FIRST: &str = "/sys/fs/cgroup/cpu";
const SECOND: &str = "/sys/fs/cgroup";
const PERIOD_MICROS: u64 = 20_000;

/// A control group; it ends with this.
pub struct Quota {
    folder: PathBuf,
}

impl Quota {
    /// A group whose processes together get so many per cent of a core; `None` where that can't be had.
    #[must_use]
    pub fn new(name: &str, percent: u32) -> Option<Self> {
        let quota = PERIOD_MICROS * u64::from(percent) / 100;
        let is_first = Path::new(FIRST).join("cpu.cfs_quota_us").exists();
        let folder = Path::new(if is_first { FIRST } else { SECOND }).join(format!("weir-{name}"));
        std::fs::create_dir(&folder).ok()?;
        let group = Self { folder };
        let settings = if is_first {
            vec![("cpu.cfs_period_us", PERIOD_MICROS.to_string()), ("cpu.cfs_quota_us", quota.to_string())]
        } else {
            vec![("cpu.max", format!("{quota} {PERIOD_MICROS}"))]
        };
        let write = |(file, value): &(&str, String)| std::fs::write(group.folder.join(file), value);
        settings.iter().all(|setting| write(setting).is_ok()).then_some(group)
    }

    /// The group's folder: a process joins by its id in `cgroup.procs`.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.clone()
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // The kernel lets go of it when the last process in it is gone, which takes a moment.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
