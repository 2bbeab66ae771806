//! E-mail addresses, as accounts are known by.

use lettre::Address;
use rowcast::protocol::Problem;

use crate::problems;

/// The longest (RFC 5321).
const LENGTH_MAX: usize = 254;

/// An address without spaces around it and in small letters: however it is written, it is one account's.
pub(crate) fn normalized(text: &str) -> Result<String, Problem> {
    let email = text.trim().to_lowercase();
    let is_one = email.len() <= LENGTH_MAX && !email.chars().any(char::is_control) && email.parse::<Address>().is_ok();
    if is_one { Ok(email) } else { Err(problems::bad("this is not an e-mail address")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_it_is_written_it_is_one() {
        for text in ["ann@example.com", " Ann@Example.COM\t", "ANN@EXAMPLE.COM"] {
            assert_eq!(normalized(text).expect(text), "ann@example.com");
        }
        let long = format!("{}@example.com", "a".repeat(250));
        for text in ["", "ann", "@example.com", "ann@", "a b@example.com", "a@b@c", "ann@example.com\nbcc: x@y", &long]
        {
            assert!(normalized(text).is_err(), "{text}");
        }
    }
}
