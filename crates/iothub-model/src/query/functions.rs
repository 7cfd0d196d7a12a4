//! The functions by where they are documented to work.
//!
//! "IoT Hub query language for device and module twins, jobs, and message routing" lists one table of functions for all
//! three, and most of it holds in routes only: `CONTAINS` is known to fail in queries of twins. A query that works only
//! here would be worse than none, so those are refused, and the message says why.

use crate::diagnostic::nearest;

/// A function that a condition over twins or jobs may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    IsDefined,
    StartsWith,
    EndsWith,
    ArrayContains,
}

/// What a name in front of `(` is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FunctionClass {
    Twin(Function),
    RouteOnly(&'static str),
    Unknown,
}

/// `ARRAY_CONTAINS` is in no table, and works: the extension of az finds the children of an edge device by it.
const TWIN: [(&str, Function); 4] = [
    ("IS_DEFINED", Function::IsDefined),
    ("STARTSWITH", Function::StartsWith),
    ("ENDSWITH", Function::EndsWith),
    ("ARRAY_CONTAINS", Function::ArrayContains),
];

const ROUTE_ONLY: [&str; 23] = [
    "ABS",
    "AS_NUMBER",
    "CEILING",
    "CONCAT",
    "CONTAINS",
    "EXP",
    "FLOOR",
    "INDEX_OF",
    "IS_ARRAY",
    "IS_BOOL",
    "IS_NULL",
    "IS_NUMBER",
    "IS_OBJECT",
    "IS_PRIMITIVE",
    "IS_STRING",
    "LENGTH",
    "LOWER",
    "POWER",
    "SIGN",
    "SQRT",
    "SQUARE",
    "SUBSTRING",
    "UPPER",
];

pub(super) fn class(name: &str) -> FunctionClass {
    if let Some((_, function)) = TWIN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return FunctionClass::Twin(*function);
    }
    match ROUTE_ONLY.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        Some(known) => FunctionClass::RouteOnly(known),
        None => FunctionClass::Unknown,
    }
}

/// What to write where a function of routes was meant.
pub(super) fn instead_of_route_function(name: &str) -> &'static str {
    match name {
        "CONTAINS" | "SUBSTRING" | "INDEX_OF" => {
            "a query can compare beginnings and ends: STARTSWITH(path, 'text'), ENDSWITH(path, 'text')"
        }
        "LOWER" | "UPPER" => "compare with every spelling: `path IN ['wired', 'Wired']`",
        "IS_NULL" => "a twin holds no nulls: write `NOT is_defined(path)`",
        _ => "a query of twins has IS_DEFINED, STARTSWITH, ENDSWITH and ARRAY_CONTAINS",
    }
}

/// What to write where an unknown function was meant.
pub(super) fn instead_of_unknown(name: &str) -> String {
    let plain = name.replace('_', "");
    let near = TWIN
        .iter()
        .map(|(known, _)| *known)
        .find(|known| known.replace('_', "").eq_ignore_ascii_case(&plain))
        .or_else(|| nearest(name, TWIN.iter().map(|(known, _)| *known)));
    match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "a query of twins has IS_DEFINED, STARTSWITH, ENDSWITH and ARRAY_CONTAINS".into(),
    }
}

/// What to write where an aggregate stood in a condition.
pub(super) fn instead_of_aggregate(name: &str) -> Option<&'static str> {
    name.eq_ignore_ascii_case("COUNT").then_some("to test a count, select it and look at the row")
}

impl Function {
    pub(super) fn name(self) -> &'static str {
        TWIN.iter().find(|(_, function)| *function == self).map_or("", |(name, _)| name)
    }

    pub(super) fn usage(self) -> &'static str {
        match self {
            Self::IsDefined => "`is_defined(path)`",
            Self::StartsWith => "`STARTSWITH(path, 'text')`",
            Self::EndsWith => "`ENDSWITH(path, 'text')`",
            Self::ArrayContains => "`ARRAY_CONTAINS(path, 'text')`",
        }
    }
}
