//! The entries of each map or list: rows of one key, linked.
//!
//! Invariant: a row is in the chain of its key exactly while it is live. Not part of snapshots: chains are linked anew as rows
//! are read.

use weir_api::state::backend::ABSENT;

use super::index::Index;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    keys: Index,
    heads: Vec<Head>,
    free: Vec<u32>,
    links: Vec<Link>,
}

/// A key's chain.
#[derive(Clone, Copy, Debug)]
struct Head {
    first: u32,
    last: u32,
    /// Of a list: behind all positions that it has.
    next_position: i64,
}

/// A row's place in its chain.
#[derive(Clone, Copy, Debug)]
struct Link {
    head: u32,
    before: u32,
    next: u32,
}

const EMPTY: Head = Head { first: ABSENT, last: ABSENT, next_position: 0 };
const UNLINKED: Link = Link { head: ABSENT, before: ABSENT, next: ABSENT };

impl Chains {
    /// Makes room for rows `0..rows`.
    pub(crate) fn resize(&mut self, rows: usize) {
        self.links.resize(rows.max(self.links.len()), UNLINKED);
    }

    pub(crate) fn find(&self, key: &[u8]) -> Option<u32> {
        self.keys.find(self.keys.hash(key), key)
    }

    /// The chain of a key, made if there is none.
    pub(crate) fn intern(&mut self, key: &[u8]) -> u32 {
        let hash = self.keys.hash(key);
        if let Some(head) = self.keys.find(hash, key) {
            return head;
        }
        let head = self.free.pop().unwrap_or_else(|| {
            self.heads.push(EMPTY);
            self.heads.len() as u32 - 1
        });
        self.keys.resize(self.heads.len());
        self.heads[head as usize] = EMPTY;
        self.keys.insert(hash, key, head);
        head
    }

    /// The next position of a list.
    pub(crate) fn take_position(&mut self, head: u32) -> i64 {
        let next = &mut self.heads[head as usize].next_position;
        *next += 1;
        *next - 1
    }

    /// A row is a list's element at this position.
    pub(crate) fn note(&mut self, row: u32, position: i64) {
        let head = self.links[row as usize].head;
        let next = &mut self.heads[head as usize].next_position;
        *next = (position + 1).max(*next);
    }

    /// Puts a row at the end of a chain.
    pub(crate) fn link(&mut self, head: u32, row: u32) {
        let chain = &mut self.heads[head as usize];
        let before = std::mem::replace(&mut chain.last, row);
        if before == ABSENT {
            chain.first = row;
        } else {
            self.links[before as usize].next = row;
        }
        self.links[row as usize] = Link { head, before, next: ABSENT };
    }

    /// Takes a row out of its chain, which is forgotten with its last row.
    pub(crate) fn unlink(&mut self, row: u32) {
        let Link { head, before, next } = std::mem::replace(&mut self.links[row as usize], UNLINKED);
        if head == ABSENT {
            return;
        }
        match before {
            ABSENT => self.heads[head as usize].first = next,
            before => self.links[before as usize].next = next,
        }
        match next {
            ABSENT => self.heads[head as usize].last = before,
            next => self.links[next as usize].before = before,
        }
        if self.heads[head as usize].first == ABSENT {
            self.keys.remove(head);
            self.free.push(head);
        }
    }

    /// The rows of a chain.
    pub(crate) fn rows(&self, head: u32) -> impl Iterator<Item = u32> + '_ {
        let next = |row: &u32| Some(self.links[*row as usize].next).filter(|row| *row != ABSENT);
        std::iter::successors(Some(self.heads[head as usize].first).filter(|row| *row != ABSENT), next)
    }

    /// Gives memory back, some at a time.
    pub(crate) fn tidy(&mut self) {
        self.keys.tidy();
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.keys.size_bytes()
            + self.heads.capacity() * size_of::<Head>()
            + self.links.capacity() * size_of::<Link>()
    }
}
