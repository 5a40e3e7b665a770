//! Tests that cross the modules, and what they share.

mod damage;
mod reachability;

/// Compares bytes with the file in `golden/`; with `WEIR_ACCEPT=1` writes it. A golden file is never renewed once released: the
/// bytes of every released version stay readable.
pub fn golden(name: &str, bytes: &[u8]) {
    let path = format!("golden/{name}");
    if std::env::var_os("WEIR_ACCEPT").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == bytes, "the bytes of {name} have changed");
}
