//! Keys: their frozen encoding, their hash, their key group.
