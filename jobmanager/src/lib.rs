//! weir-jobmanager
