//! weir-integration-tests
