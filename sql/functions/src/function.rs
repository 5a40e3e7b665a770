//! One shape for every function of our own: a table row that says what it takes, returns and computes.
//!
//! Decides how arguments are coerced, how NULLs go through, and what a call with wrong arguments is told. Invariant: a function
//! is its [`Definition`]; two with the same name are the same function. Knows no particular function.

use std::hash::{Hash, Hasher};

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue, plan_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

use crate::arguments::Arguments;
use crate::parameter::{Kind, coerce_common};
use crate::type_name::type_names;

/// How NULL arguments go through a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Nulls {
    /// NULL exactly when an argument is NULL.
    Strict,
    /// NULL when an argument is NULL, and in other cases too.
    StrictOrMissing,
    /// The function sees NULL arguments and may return NULL.
    Own,
    /// NULL only when all arguments are.
    AsAll,
    /// May be NULL when one of the arguments from this index on may be.
    AsFrom(usize),
    /// The function sees NULL arguments and never returns NULL.
    Never,
}

/// What is known of a call when it is planned.
pub(crate) struct Call<'a> {
    /// The types of the arguments, coerced.
    pub types: Vec<DataType>,
    /// The arguments that are literals.
    pub literals: &'a [Option<&'a ScalarValue>],
}

impl Call<'_> {
    /// The type of an argument; `Null` when there is none at that index.
    pub fn type_of(&self, index: usize) -> DataType {
        self.types.get(index).cloned().unwrap_or(DataType::Null)
    }

    /// The literal at `index`, if it is one and isn't NULL.
    pub fn literal(&self, index: usize) -> Option<&ScalarValue> {
        self.literals.get(index).copied().flatten().filter(|value| !value.is_null())
    }

    /// The integer literal at `index`.
    pub fn literal_long(&self, index: usize) -> Option<i64> {
        match self.literal(index)?.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(number)) => number,
            _ => None,
        }
    }

    /// The text of the literal at `index`.
    pub fn literal_text(&self, index: usize) -> Option<&str> {
        self.literal(index).and_then(|value| value.try_as_str().flatten())
    }
}

/// Works out the type of a call's result; refuses literals that can't work.
pub(crate) type Returns = fn(&Call<'_>) -> Result<DataType>;
/// Computes a column: [`Arguments::rows`] long.
pub(crate) type Evaluate = fn(&Arguments<'_>) -> Result<ArrayRef>;

/// A function of our own.
pub(crate) struct Definition {
    name: &'static str,
    aliases: &'static [&'static str],
    usage: &'static str,
    description: &'static str,
    required: &'static [Kind],
    optional: &'static [Kind],
    rest: Option<Kind>,
    returns: Returns,
    nulls: Nulls,
    volatility: Volatility,
    evaluate: Evaluate,
}

impl Definition {
    /// A strict, immutable function with a fixed number of arguments.
    pub const fn new(
        name: &'static str,
        usage: &'static str,
        description: &'static str,
        required: &'static [Kind],
        returns: Returns,
        evaluate: Evaluate,
    ) -> Self {
        Self {
            name,
            aliases: &[],
            usage,
            description,
            required,
            optional: &[],
            rest: None,
            returns,
            nulls: Nulls::Strict,
            volatility: Volatility::Immutable,
            evaluate,
        }
    }

    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub const fn optional(mut self, optional: &'static [Kind]) -> Self {
        self.optional = optional;
        self
    }

    /// Any number of further arguments of this kind.
    pub const fn rest(mut self, rest: Kind) -> Self {
        self.rest = Some(rest);
        self
    }

    pub const fn nulls(mut self, nulls: Nulls) -> Self {
        self.nulls = nulls;
        self
    }

    /// Evaluated for every batch, never folded while planning.
    pub const fn volatile(mut self) -> Self {
        self.volatility = Volatility::Volatile;
        self
    }

    pub const fn usage(&self) -> &'static str {
        self.usage
    }

    pub const fn description(&self) -> &'static str {
        self.description
    }

    fn kind_at(&self, index: usize) -> Option<Kind> {
        let optional = || self.optional.get(index.checked_sub(self.required.len())?).copied();
        self.required.get(index).copied().or_else(optional).or(self.rest)
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let most = self.required.len() + self.optional.len();
        if types.len() < self.required.len() || (types.len() > most && self.rest.is_none()) {
            return plan_err!("{} can't be called with {} arguments", self.usage, types.len());
        }
        let mut coerced = Vec::with_capacity(types.len());
        for (index, given) in types.iter().enumerate() {
            match self.kind_at(index).and_then(|kind| kind.coerce(given)) {
                Some(data_type) => coerced.push(data_type),
                None => {
                    return plan_err!(
                        "{} can't be called with ({}): argument {} must be {}",
                        self.usage,
                        type_names(types),
                        index + 1,
                        self.kind_at(index).map_or("absent", Kind::words)
                    );
                }
            }
        }
        let is_common = |index: usize| self.kind_at(index) == Some(Kind::Common);
        coerce_common(&mut coerced, is_common, self.usage)?;
        Ok(coerced)
    }

    fn may_be_null(&self, arguments: &[FieldRef]) -> bool {
        let mut may_be = arguments.iter().map(|field| field.is_nullable());
        match self.nulls {
            Nulls::Strict => may_be.any(|may_be| may_be),
            Nulls::AsAll => may_be.all(|may_be| may_be),
            Nulls::AsFrom(first) => may_be.skip(first).any(|may_be| may_be),
            Nulls::StrictOrMissing | Nulls::Own => true,
            Nulls::Never => false,
        }
    }
}

/// A [`Definition`] as DataFusion sees it.
pub(crate) struct Function {
    definition: &'static Definition,
    aliases: Vec<String>,
    signature: Signature,
}

impl Function {
    pub fn new(definition: &'static Definition) -> Self {
        Self {
            definition,
            aliases: definition.aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            signature: Signature::user_defined(definition.volatility),
        }
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.definition.usage)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.definition.coerce(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        (self.definition.returns)(&Call { types: arg_types.to_vec(), literals: &[] })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let data_type = (self.definition.returns)(&Call { types, literals: args.scalar_arguments })?;
        let nullable = self.definition.may_be_null(args.arg_fields);
        Ok(Arc::new(Field::new(self.definition.name, data_type, nullable)))
    }

    fn is_strict(&self) -> bool {
        matches!(self.definition.nulls, Nulls::Strict | Nulls::StrictOrMissing)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let a_literal_is_null =
            args.args.iter().any(|arg| matches!(arg, ColumnarValue::Scalar(value) if value.is_null()));
        if self.is_strict() && a_literal_is_null {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_type())?));
        }
        let arguments = Arguments::new(self.definition.usage, &args)?;
        let column = (self.definition.evaluate)(&arguments)?;
        if arguments.is_one_value() {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&column, 0)?));
        }
        Ok(ColumnarValue::Array(column))
    }
}
