//! Columns that are computed from a record, by expressions such as `round(speed * 3.6, 1)` or `coalesce(name, 'car ' || id)`.
//!
//! Integers stay exact; text that is a number counts as one in arithmetic. NULL, and a name that the record does not have, makes
//! everything NULL but `coalesce` and `concat`.

mod parse;

use std::time::{SystemTime, UNIX_EPOCH};

use super::{ShapeError, moment};
use crate::ingest::decode::{Field, Fields};
use parse::{Call, Operator, Term};

/// An expression over a record's fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Computed(Term);

/// A value while it is computed.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Int(i128),
    Real(f64),
    Text(String),
}

impl Computed {
    /// Reads an expression. The error names the character where it cannot be read on.
    pub fn parse(text: &str) -> Result<Self, ShapeError> {
        parse::parse(text).map(Self).map_err(ShapeError)
    }

    /// Its value for a record.
    pub(super) fn of(&self, fields: &Fields, now: SystemTime) -> Result<Field, String> {
        Ok(match evaluate(&self.0, fields, now)? {
            Value::Null => Field::Null,
            Value::Int(n) => Field::Number(n.to_string().into()),
            Value::Real(x) => Field::Number(x.to_string().into()),
            Value::Text(text) => Field::Text(text.into()),
        })
    }
}

fn evaluate(term: &Term, fields: &Fields, now: SystemTime) -> Result<Value, String> {
    let value = |term: &Term| evaluate(term, fields, now);
    Ok(match term {
        Term::Null => Value::Null,
        Term::Number(digits) => number(digits).unwrap_or(Value::Null),
        Term::Text(text) => Value::Text(text.clone()),
        Term::Field(name) => match fields.get(name) {
            None | Some(Field::Null) => Value::Null,
            Some(Field::Bool(b)) => Value::Text(b.to_string()),
            Some(Field::Number(digits)) => number(digits).ok_or_else(|| format!("`{name}` is beyond a double"))?,
            Some(Field::Text(text) | Field::Json(text)) => Value::Text(text.to_string()),
        },
        Term::Negative(term) => match arithmetic(&value(term)?)? {
            Value::Int(n) => Value::Int(-n),
            Value::Real(x) => Value::Real(-x),
            other => other,
        },
        Term::Binary(Operator::Concat, left, right) => match (value(left)?, value(right)?) {
            (Value::Null, _) | (_, Value::Null) => Value::Null,
            (left, right) => Value::Text(format!("{}{}", text(left), text(right))),
        },
        Term::Binary(operator, left, right) => calculate(*operator, &value(left)?, &value(right)?)?,
        Term::Call(call, terms) => {
            let values = terms.iter().map(value).collect::<Result<Vec<_>, _>>()?;
            called(*call, values, now)?
        }
    })
}

fn called(call: Call, values: Vec<Value>, now: SystemTime) -> Result<Value, String> {
    let now_ms = || now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let moment_text =
        |ms: f64| moment::text(ms).map(Value::Text).ok_or_else(|| format!("{ms} is no moment of the years 0 to 9999"));
    match call {
        Call::Now => return moment_text(now_ms() as f64),
        Call::NowMs => return Ok(Value::Int(now_ms() as i128)),
        Call::Uuid => return Ok(Value::Text(uuid::Uuid::new_v4().to_string())),
        Call::Coalesce => return Ok(values.into_iter().find(|value| *value != Value::Null).unwrap_or(Value::Null)),
        Call::Concat => {
            let texts = values.into_iter().filter(|value| *value != Value::Null).map(text);
            return Ok(Value::Text(texts.collect()));
        }
        _ => {}
    }
    if values.contains(&Value::Null) {
        return Ok(Value::Null);
    }
    let mut values = values.into_iter();
    let mut next = || values.next().unwrap_or(Value::Null);
    Ok(match call {
        Call::Lower => Value::Text(text(next()).to_lowercase()),
        Call::Upper => Value::Text(text(next()).to_uppercase()),
        Call::Trim => Value::Text(text(next()).trim().to_owned()),
        Call::Abs => match arithmetic(&next())? {
            Value::Int(n) => Value::Int(n.abs()),
            Value::Real(x) => Value::Real(x.abs()),
            other => other,
        },
        Call::Round => round(&arithmetic(&next())?, &arithmetic(&next())?)?,
        Call::FromMs => match arithmetic(&next())? {
            Value::Int(n) => moment_text(n as f64)?,
            Value::Real(x) => moment_text(x)?,
            other => other,
        },
        _ => Value::Null,
    })
}

/// To so many digits behind the point; halves away from zero.
fn round(value: &Value, digits: &Value) -> Result<Value, String> {
    let digits = match digits {
        Value::Null => 0,
        Value::Int(n) if (0..=15).contains(n) => *n as i32,
        _ => return Err("round: the digits are a whole number from 0 to 15".into()),
    };
    Ok(match value {
        Value::Real(x) => {
            let factor = 10f64.powi(digits);
            let rounded = (x * factor).round() / factor;
            if digits == 0 && rounded.abs() < 9e15 { Value::Int(rounded as i128) } else { finite(rounded)? }
        }
        other => other.clone(),
    })
}

fn calculate(operator: Operator, left: &Value, right: &Value) -> Result<Value, String> {
    let (left, right) = (arithmetic(left)?, arithmetic(right)?);
    if matches!(operator, Operator::Divide | Operator::Remainder) && matches!(right, Value::Int(0)) {
        return Err("division by zero".into());
    }
    if let (Value::Int(a), Value::Int(b)) = (&left, &right) {
        let exact = match operator {
            Operator::Add => a.checked_add(*b),
            Operator::Subtract => a.checked_sub(*b),
            Operator::Multiply => a.checked_mul(*b),
            Operator::Remainder => a.checked_rem(*b),
            Operator::Divide => (a % b == 0).then(|| a / b),
            Operator::Concat => None,
        };
        if let Some(exact) = exact {
            return Ok(Value::Int(exact));
        }
    }
    let real = |value: &Value| match value {
        Value::Int(n) => Some(*n as f64),
        Value::Real(x) => Some(*x),
        _ => None,
    };
    let (Some(a), Some(b)) = (real(&left), real(&right)) else { return Ok(Value::Null) };
    finite(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Remainder => a % b,
        Operator::Concat => return Ok(Value::Null),
    })
}

fn finite(x: f64) -> Result<Value, String> {
    if x.is_finite() { Ok(Value::Real(x)) } else { Err("the result is not a finite number".into()) }
}

/// A number, also one that came as text; NULL stays NULL.
fn arithmetic(value: &Value) -> Result<Value, String> {
    match value {
        Value::Text(text) => number(text.trim()).ok_or_else(|| {
            let short: String = text.chars().take(40).collect();
            format!("expected a number to calculate with, got {short:?}")
        }),
        other => Ok(other.clone()),
    }
}

fn number(digits: &str) -> Option<Value> {
    // No i128 of 64 bits' worth overflows in a few operations.
    if let Ok(n) = digits.parse::<i64>() {
        return Some(Value::Int(n.into()));
    }
    let real: f64 = digits.parse().ok()?;
    (real.is_finite() && digits.bytes().any(|b| b.is_ascii_digit())).then_some(Value::Real(real))
}

fn text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Int(n) => n.to_string(),
        Value::Real(x) => x.to_string(),
        Value::Text(text) => text,
    }
}
