//! Puts a file on a local disk so that a power cut leaves either all of it or nothing.
//!
//! Decides the order of the steps: temporary file, its bytes, fsync, rename or link to the name, fsync of every folder on the
//! way that was made and of the one that holds the name. (`object_store`'s own local store leaves out every fsync.) Invariant: a
//! name is never there without its bytes, and when [`put`] has returned, both survive. A crash may leave a temporary file, which
//! ends in [`TEMPORARY`].

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use weir_api::fail_point::FailPoint;

/// Ends the names of files that aren't whole.
pub const TEMPORARY: &str = ".tmp";

/// What becomes of a file that has the name already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// It is replaced.
    Replace,
    /// It stays, and the put fails with `AlreadyExists`.
    Create,
}

/// The steps that a disk can be asked for; a test counts them and pulls the plug.
pub(super) trait Disk {
    /// Makes a folder; `false`: it is there.
    fn make_folder(&mut self, path: &Path) -> io::Result<bool>;
    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    fn sync_file(&mut self, path: &Path) -> io::Result<()>;
    fn sync_folder(&mut self, path: &Path) -> io::Result<()>;
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    /// A second name for a file; fails where the name is taken.
    fn link(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&mut self, path: &Path) -> io::Result<()>;
}

/// Writes `bytes` to `path` by way of a temporary file beside it, named for `writer`.
pub(super) fn put(
    disk: &mut impl Disk,
    path: &Path,
    writer: &str,
    bytes: &[u8],
    mode: Mode,
) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a file needs a folder and a name"));
    };
    make_folders(disk, folder)?;
    let temporary = folder.join(format!(".{}.{writer}{TEMPORARY}", name.to_string_lossy()));
    let written = write_durably(disk, &temporary, bytes).and_then(|()| match mode {
        Mode::Replace => disk.rename(&temporary, path),
        Mode::Create => disk.link(&temporary, path),
    });
    if mode == Mode::Create || written.is_err() {
        // Only tidiness: what stays is collected later.
        let _ = disk.remove(&temporary);
    }
    written?;
    disk.sync_folder(folder)
}

fn write_durably(disk: &mut impl Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    disk.write(path, bytes)?;
    disk.sync_file(path)
}

/// Makes a folder and those above it; a folder counts once the one above has been told to the disk.
fn make_folders(disk: &mut impl Disk, folder: &Path) -> io::Result<()> {
    match disk.make_folder(folder) {
        Ok(false) => Ok(()),
        Ok(true) => folder.parent().map_or(Ok(()), |above| disk.sync_folder(above)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match folder.parent() {
            Some(above) => {
                make_folders(disk, above)?;
                make_folders(disk, folder)
            }
            None => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// The operating system's.
pub(super) struct Real;

impl Disk for Real {
    fn make_folder(&mut self, path: &Path) -> io::Result<bool> {
        match fs::create_dir(path) {
            Ok(()) => Ok(true),
            Err(_) if path.is_dir() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        File::create(path)?.write_all(bytes)
    }

    fn sync_file(&mut self, path: &Path) -> io::Result<()> {
        FailPoint::BeforeSync.pass().map_err(io::Error::other)?;
        File::open(path)?.sync_all()
    }

    fn sync_folder(&mut self, path: &Path) -> io::Result<()> {
        // The parent of a relative name is the empty path.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        File::open(path)?.sync_all()
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        FailPoint::BeforeRename.pass().map_err(io::Error::other)?;
        fs::rename(from, to)
    }

    fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        FailPoint::BeforeRename.pass().map_err(io::Error::other)?;
        fs::hard_link(from, to)
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// Every file below `folder` with its size and time of change, temporary ones included. What vanishes meanwhile is passed over.
pub(super) fn list(folder: &Path) -> io::Result<Vec<(PathBuf, fs::Metadata)>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => files.push((entry.path(), metadata)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A disk that keeps what was told to it apart from what it was told to keep, and that fails after some steps.
    #[derive(Default)]
    struct Faulty {
        steps_left: usize,
        /// A file's bytes, and how many of them are kept.
        files: Vec<(Vec<u8>, usize)>,
        now: BTreeMap<PathBuf, Option<usize>>,
        kept: BTreeMap<PathBuf, Option<usize>>,
    }

    impl Faulty {
        fn step(&mut self) -> io::Result<()> {
            self.steps_left = self.steps_left.checked_sub(1).ok_or_else(|| io::Error::other("power cut"))?;
            Ok(())
        }

        /// What is found after the power cut. Renames and links that the disk wasn't told to keep may survive too.
        fn after_crash(&self, lucky: bool) -> BTreeMap<PathBuf, Vec<u8>> {
            let names = if lucky { &self.now } else { &self.kept };
            let bytes = |at: usize| self.files[at].0[..self.files[at].1].to_vec();
            let reachable = |path: &Path| {
                path.ancestors().skip(1).all(|a| a == Path::new("/") || self.kept.contains_key(a))
            };
            names
                .iter()
                .filter(|(path, _)| lucky || reachable(path))
                .filter_map(|(path, file)| file.map(|at| (path.clone(), bytes(at))))
                .collect()
        }
    }

    impl Disk for Faulty {
        fn make_folder(&mut self, path: &Path) -> io::Result<bool> {
            self.step()?;
            let above = path.parent().unwrap();
            if above != Path::new("/") && !self.now.contains_key(above) {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(self.now.insert(path.to_owned(), None).is_none())
        }

        fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            self.step()?;
            self.files.push((bytes.to_vec(), 0));
            self.now.insert(path.to_owned(), Some(self.files.len() - 1));
            Ok(())
        }

        fn sync_file(&mut self, path: &Path) -> io::Result<()> {
            self.step()?;
            let at = self.now[path].unwrap();
            self.files[at].1 = self.files[at].0.len();
            Ok(())
        }

        fn sync_folder(&mut self, path: &Path) -> io::Result<()> {
            self.step()?;
            let inside = |name: &PathBuf| name.parent() == Some(path);
            self.kept.retain(|name, _| !inside(name));
            let entries = self.now.iter().filter(|(name, _)| inside(name));
            self.kept.extend(entries.map(|(name, file)| (name.clone(), *file)));
            Ok(())
        }

        fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
            self.step()?;
            let file = self.now.remove(from).unwrap();
            self.now.insert(to.to_owned(), file);
            Ok(())
        }

        fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
            self.step()?;
            if self.now.contains_key(to) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            self.now.insert(to.to_owned(), self.now[from]);
            Ok(())
        }

        fn remove(&mut self, path: &Path) -> io::Result<()> {
            self.step()?;
            self.now.remove(path);
            Ok(())
        }
    }

    #[test]
    fn a_power_cut_after_any_step_leaves_all_or_nothing() {
        let path = Path::new("/base/job/chk-1/_metadata");
        for mode in [Mode::Replace, Mode::Create] {
            let mut finished = false;
            for steps_left in 0..40 {
                let mut disk = Faulty { steps_left, ..Faulty::default() };
                let put = put(&mut disk, path, "w", b"content", mode);
                for lucky in [false, true] {
                    match disk.after_crash(lucky).get(path) {
                        Some(bytes) => assert_eq!(bytes, b"content", "{mode:?}, cut after {steps_left}"),
                        None => assert!(put.is_err(), "{mode:?}: done, and gone after {steps_left}"),
                    }
                }
                finished |= put.is_ok();
            }
            assert!(finished);
        }
    }

    #[test]
    fn an_old_file_stays_whole_until_the_new_one_is() {
        let path = Path::new("/d/f");
        for steps_left in 0..10 {
            let mut disk = Faulty { steps_left: 100, ..Faulty::default() };
            put(&mut disk, path, "w", b"old", Mode::Create).unwrap();
            disk.steps_left = steps_left;
            let refused = put(&mut disk, path, "v", b"other", Mode::Create).unwrap_err();
            assert!(steps_left < 6 || refused.kind() == io::ErrorKind::AlreadyExists);
            assert_eq!(disk.after_crash(false)[path], b"old");
            disk.steps_left = steps_left;
            let put = put(&mut disk, path, "v", b"new", Mode::Replace);
            let found = &disk.after_crash(false)[path];
            assert!(found == b"new" || (put.is_err() && found == b"old"), "{steps_left}: {found:?}");
        }
    }
}
