//! The types that every PostgreSQL has.

use std::sync::Arc;

use tokio_postgres::types::{Kind as Class, Type};

use super::kind::Kind;

/// How a built-in type is read. `None` for one that is not built in.
pub(super) fn kind(oid: u32) -> Option<Kind> {
    Some(of(&Type::from_oid(oid)?))
}

fn of(built_in: &Type) -> Kind {
    match *built_in {
        Type::BOOL => Kind::Bool,
        Type::INT2 | Type::INT4 | Type::INT8 => Kind::Int,
        Type::FLOAT4 | Type::FLOAT8 => Kind::Real,
        Type::NUMERIC => Kind::Number,
        Type::BPCHAR => Kind::Padded,
        Type::INET => Kind::Inet,
        Type::TIMESTAMP => Kind::Timestamp,
        Type::TIMESTAMPTZ => Kind::TimestampTz,
        Type::BYTEA => Kind::Bytes,
        Type::JSON | Type::JSONB => Kind::Json,
        Type::INT2_VECTOR => Kind::Vector(Arc::new(Kind::Int)),
        Type::OID_VECTOR => Kind::Vector(Arc::new(Kind::Text)),
        _ => match built_in.kind() {
            Class::Array(element) => {
                let delimiter = if *element == Type::BOX { b';' } else { b',' };
                Kind::Array { element: Arc::new(of(element)), delimiter }
            }
            _ => Kind::Text,
        },
    }
}

/// The usual types as `format_type` prints them, so that most tables need not be asked about.
pub(super) fn declared(oid: u32, typmod: i32) -> Option<Box<str>> {
    let built_in = Type::from_oid(oid)?;
    if typmod >= 0 {
        return with_modifier(&built_in, typmod).map(String::into_boxed_str);
    }
    let (element, brackets) = match built_in.kind() {
        Class::Array(element) if !matches!(built_in, Type::INT2_VECTOR | Type::OID_VECTOR) => (element, "[]"),
        _ => (&built_in, ""),
    };
    Some([plain(element)?, brackets].concat().into())
}

fn plain(built_in: &Type) -> Option<&'static str> {
    Some(match *built_in {
        Type::BOOL => "boolean",
        Type::INT2 => "smallint",
        Type::INT4 => "integer",
        Type::INT8 => "bigint",
        Type::FLOAT4 => "real",
        Type::FLOAT8 => "double precision",
        Type::NUMERIC => "numeric",
        Type::TEXT => "text",
        Type::VARCHAR => "character varying",
        Type::BYTEA => "bytea",
        Type::DATE => "date",
        Type::TIMESTAMP => "timestamp without time zone",
        Type::TIMESTAMPTZ => "timestamp with time zone",
        Type::UUID => "uuid",
        Type::JSON => "json",
        Type::JSONB => "jsonb",
        Type::INET => "inet",
        _ => return None,
    })
}

fn with_modifier(built_in: &Type, typmod: i32) -> Option<String> {
    // The modifier counts the four bytes of a length that are before the value.
    let length = typmod.checked_sub(4).filter(|length| *length >= 0)?;
    match *built_in {
        Type::VARCHAR => Some(format!("character varying({length})")),
        Type::BPCHAR => Some(format!("character({length})")),
        // A scale is a number of eleven bits with its sign.
        Type::NUMERIC => Some(format!("numeric({},{})", length >> 16 & 0xFFFF, ((length & 0x7FF) ^ 1024) - 1024)),
        _ => None,
    }
}
