//! State that isn't keyed: named lists of entries.
//!
//! Invariant: a state is given back only to the one of the same name, redistribution and encoding. What becomes of entries at
//! another parallelism is the task's to decide, before they come here.

use bytes::Bytes;
use weir_api::error::{Code, Error, Result};
use weir_api::state::{OperatorState, Redistribution};

/// An operator's states that aren't keyed.
#[derive(Clone, Debug, Default)]
pub struct OperatorStates {
    states: Vec<OperatorState>,
}

impl OperatorStates {
    /// Adds a state without entries.
    pub fn declare(
        &mut self,
        name: &str,
        redistribution: Redistribution,
        encoding_version: u32,
    ) -> Result<()> {
        if self.states.iter().any(|state| state.name == name) {
            return Err(Error::internal(format!("operator state '{name}' is declared twice")));
        }
        let entries = Vec::new();
        self.states.push(OperatorState { name: name.to_owned(), redistribution, encoding_version, entries });
        Ok(())
    }

    /// The entries of a state.
    #[must_use]
    pub fn entries(&self, name: &str) -> &[Bytes] {
        self.states.iter().find(|state| state.name == name).map_or(&[], |state| &state.entries)
    }

    /// Puts other entries in the place of a state's.
    pub fn set(&mut self, name: &str, entries: Vec<Bytes>) -> Result<()> {
        let state = self.states.iter_mut().find(|state| state.name == name);
        let state =
            state.ok_or_else(|| Error::internal(format!("operator state '{name}' isn't declared")))?;
        state.entries = entries;
        Ok(())
    }

    /// What a snapshot gets.
    #[must_use]
    pub fn snapshot(&self) -> Vec<OperatorState> {
        self.states.clone()
    }

    /// Takes a state of a snapshot back.
    pub fn restore(&mut self, state: OperatorState) -> Result<()> {
        let names: Vec<&str> = self.states.iter().map(|state| state.name.as_str()).collect();
        let unknown = format!(
            "the snapshot holds the operator state '{}', where there is {names:?}; restore with the query that made it, or without \
             this state",
            state.name
        );
        let own = self.states.iter_mut().find(|own| own.name == state.name);
        let own = own.ok_or_else(|| Error::new(Code::InvalidArgument, unknown))?;
        if own.redistribution != state.redistribution || own.encoding_version != state.encoding_version {
            let message = format!(
                "the operator state '{}' is of {:?}, version {}, in the snapshot; this version of the operator keeps {:?}, version {}",
                state.name,
                state.redistribution,
                state.encoding_version,
                own.redistribution,
                own.encoding_version
            );
            return Err(Error::new(Code::InvalidArgument, message));
        }
        own.entries.extend(state.entries);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_comes_back() {
        let mut states = OperatorStates::default();
        states.declare("offsets", Redistribution::List, 1).unwrap();
        states.set("offsets", vec![Bytes::from_static(b"a")]).unwrap();
        let mut other = OperatorStates::default();
        other.declare("offsets", Redistribution::List, 1).unwrap();
        for state in states.snapshot() {
            other.restore(state).unwrap();
        }
        assert_eq!(other.entries("offsets"), [Bytes::from_static(b"a")]);
        let newer = OperatorState { encoding_version: 2, ..states.snapshot().remove(0) };
        assert!(other.restore(newer).unwrap_err().message().contains("version 2"));
        let unknown = OperatorState { name: "rules".to_owned(), ..states.snapshot().remove(0) };
        assert!(other.restore(unknown).unwrap_err().message().contains("rules"));
    }
}
