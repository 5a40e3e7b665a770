//! weir-taskmanager
