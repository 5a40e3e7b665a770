//! weir-operators
