//! An object's fields as columns: the keys of a line are matched to them by remembering the order that the last line had.

use std::sync::Arc;

use arrow::array::{ArrayRef, NullBufferBuilder, StructArray};
use arrow::datatypes::Fields;
use weir_api::error::Result;

use super::columns::Column;
use super::cursor::{Cursor, Parsed, Problem, unescape};

/// Keys whose order is remembered; later ones are looked up.
const REMEMBERED: usize = 256;

/// A key that stood at this position of an object.
struct Remembered {
    /// `"key":`, as it was written.
    token: Box<[u8]>,
    /// The member that it is, if one.
    member: Option<usize>,
    /// How often another key has stood here since.
    misses: u8,
}

/// After so many misses a position's new key is remembered: lines of changing shape don't allocate at each key.
const MISSES: u8 = 8;

struct Member {
    name: Box<[u8]>,
    column: Column,
    /// The object that set it last, by its number.
    set_by: u64,
}

/// The columns of a ROW, or of a whole line.
pub struct Object {
    fields: Fields,
    members: Vec<Member>,
    fail_on_missing: bool,
    nulls: NullBufferBuilder,
    rows: usize,
    /// Number of the current object.
    current: u64,
    /// What the keys of the last objects were, in order.
    order: Vec<Remembered>,
}

impl Object {
    /// Empty columns for these fields.
    pub fn new(fields: &Fields, fail_on_missing: bool, rows: usize) -> Result<Self> {
        let members = fields
            .iter()
            .map(|field| {
                let column = Column::new(field.data_type(), field.is_nullable(), fail_on_missing, rows)?;
                Ok(Member { name: field.name().as_bytes().into(), column, set_by: 0 })
            })
            .collect::<Result<_>>()?;
        let nulls = NullBufferBuilder::new(rows);
        Ok(Self {
            fields: fields.clone(),
            members,
            fail_on_missing,
            nulls,
            rows: 0,
            current: 0,
            order: Vec::new(),
        })
    }

    /// Adds the object at the cursor. After an error [`Self::truncate`] it.
    pub fn parse(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        self.current += 1;
        let mut set = 0;
        cursor.expect(b'{')?;
        if !cursor.take(b'}') {
            let mut position = 0;
            loop {
                let member = match self.order.get(position) {
                    Some(remembered) if cursor.take_token(&remembered.token) => remembered.member,
                    _ => self.look_up(position, cursor)?,
                };
                match member.and_then(|index| self.members.get_mut(index)) {
                    Some(member) => {
                        if member.set_by == self.current {
                            // The last of several equal keys counts.
                            member.column.truncate(self.rows);
                        } else {
                            set += 1;
                            member.set_by = self.current;
                        }
                        member.column.parse(cursor)?;
                    }
                    None => cursor.skip()?,
                }
                position += 1;
                if !cursor.take(b',') {
                    break cursor.expect(b'}')?;
                }
            }
        }
        if set < self.members.len() {
            self.fill(cursor.position())?;
        }
        self.nulls.append_non_null();
        self.rows += 1;
        Ok(())
    }

    /// Reads a key that isn't written as the remembered one at this position.
    #[cold]
    fn look_up(&mut self, position: usize, cursor: &mut Cursor<'_>) -> Parsed<Option<usize>> {
        let at = cursor.position();
        let quoted = cursor.quoted()?;
        let named = |key: &[u8]| self.members.iter().position(|member| *member.name == *key);
        let member = if quoted.escaped {
            let mut key = Vec::with_capacity(quoted.raw.len());
            unescape(quoted.raw, &mut key).map_err(|what| Problem { at, what: what.into() })?;
            named(&key)
        } else {
            named(quoted.raw)
        };
        cursor.expect(b':')?;
        let token = || [b"\"", quoted.raw, b"\":"].concat().into();
        if let Some(remembered) = self.order.get_mut(position) {
            remembered.misses += 1;
            if remembered.misses >= MISSES {
                *remembered = Remembered { token: token(), member, misses: 0 };
            }
        } else if position == self.order.len() && position < REMEMBERED {
            self.order.push(Remembered { token: token(), member, misses: 0 });
        }
        Ok(member)
    }

    /// Nulls for the fields that the object lacks.
    fn fill(&mut self, at: usize) -> Parsed<()> {
        for member in self.members.iter_mut().filter(|member| member.set_by != self.current) {
            if self.fail_on_missing || !member.column.is_nullable() {
                let name = String::from_utf8_lossy(&member.name);
                return Err(Problem { at, what: format!("the field \"{name}\" is missing").into() });
            }
            member.column.append_null();
        }
        Ok(())
    }

    /// Adds a null object.
    pub fn append_null(&mut self) {
        for member in &mut self.members {
            member.column.append_null();
        }
        self.nulls.append_null();
        self.rows += 1;
    }

    /// How many objects there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Cuts back to `rows` objects.
    pub fn truncate(&mut self, rows: usize) {
        for member in &mut self.members {
            member.column.truncate(rows);
        }
        self.nulls.truncate(rows);
        self.rows = self.rows.min(rows);
    }

    /// Takes the columns out.
    pub fn finish_columns(&mut self) -> Result<Vec<ArrayRef>> {
        self.rows = 0;
        self.nulls.finish();
        self.members.iter_mut().map(|member| member.column.finish()).collect()
    }

    /// Takes the objects out.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        let (rows, nulls) = (self.rows, self.nulls.finish());
        let columns = self.finish_columns()?;
        Ok(Arc::new(StructArray::try_new_with_length(self.fields.clone(), columns, nulls, rows)?))
    }
}
