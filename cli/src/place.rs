//! Places of snapshots as users name them.
//!
//! Invariant: what is sent to a JobManager names one place whatever folder its processes were started in.

use std::path::Path;

/// The place, absolute: a plain path is taken from the folder that the command runs in.
pub fn absolute(place: &str) -> String {
    if place.trim().is_empty() || place.contains(':') {
        return place.to_owned();
    }
    // A folder that is gone leaves the path as it was written.
    let path = std::path::absolute(Path::new(place));
    path.map_or_else(|_| place.to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_made_absolute() {
        for place in ["", "s3://bucket/x", "file:/x", "file:///x", "/x/y"] {
            assert_eq!(absolute(place), place);
        }
        let here = std::env::current_dir().unwrap_or_default();
        assert_eq!(absolute("saved/one"), here.join("saved/one").display().to_string());
    }
}
