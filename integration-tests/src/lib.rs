//! Real processes, real files, and DuckDB as the judge. Everything is in `tests/integration`; read its `main.rs`.
