//! The text of an expression into terms.

/// One part of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    Null,
    Number(String),
    Text(String),
    Field(String),
    Negative(Box<Term>),
    Binary(Operator, Box<Term>, Box<Term>),
    Call(Call, Vec<Term>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Concat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Now,
    NowMs,
    Lower,
    Upper,
    Trim,
    Round,
    Abs,
    Coalesce,
    Concat,
    FromMs,
    Uuid,
}

/// Names, what they call, and how many values they take.
const CALLS: [(&str, Call, std::ops::RangeInclusive<usize>); 11] = [
    ("now", Call::Now, 0..=0),
    ("now_ms", Call::NowMs, 0..=0),
    ("lower", Call::Lower, 1..=1),
    ("upper", Call::Upper, 1..=1),
    ("trim", Call::Trim, 1..=1),
    ("round", Call::Round, 1..=2),
    ("abs", Call::Abs, 1..=1),
    ("coalesce", Call::Coalesce, 1..=32),
    ("concat", Call::Concat, 1..=32),
    ("from_ms", Call::FromMs, 1..=1),
    ("uuid", Call::Uuid, 0..=0),
];

/// How deep an expression may be.
const DEPTH: usize = 32;

pub(super) fn parse(text: &str) -> Result<Term, String> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let term = parser.concat()?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.wrong("expected an operator or the end"));
    }
    Ok(term)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.space();
        let there = self.rest().starts_with(token);
        if there {
            self.at += token.len();
        }
        there
    }

    fn wrong(&self, what: &str) -> String {
        let got = match self.rest().chars().next() {
            Some(c) => format!("`{c}`"),
            None => "the end".into(),
        };
        format!("at character {}: {what}, got {got}", self.text[..self.at].chars().count() + 1)
    }

    fn concat(&mut self) -> Result<Term, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(format!("the expression is nested more than {DEPTH} deep"));
        }
        let mut left = self.sum()?;
        while self.eat("||") {
            left = Term::Binary(Operator::Concat, left.into(), self.sum()?.into());
        }
        self.depth -= 1;
        Ok(left)
    }

    fn sum(&mut self) -> Result<Term, String> {
        let mut left = self.product()?;
        loop {
            let operator = if self.eat("+") {
                Operator::Add
            } else if self.eat("-") {
                Operator::Subtract
            } else {
                return Ok(left);
            };
            left = Term::Binary(operator, left.into(), self.product()?.into());
        }
    }

    fn product(&mut self) -> Result<Term, String> {
        let mut left = self.sign()?;
        loop {
            let operator = if self.eat("*") {
                Operator::Multiply
            } else if self.eat("/") {
                Operator::Divide
            } else if self.eat("%") {
                Operator::Remainder
            } else {
                return Ok(left);
            };
            left = Term::Binary(operator, left.into(), self.sign()?.into());
        }
    }

    fn sign(&mut self) -> Result<Term, String> {
        let mut negative = false;
        while self.eat("-") {
            negative = !negative;
        }
        let term = self.single()?;
        Ok(if negative { Term::Negative(term.into()) } else { term })
    }

    fn single(&mut self) -> Result<Term, String> {
        self.space();
        let Some(first) = self.rest().chars().next() else {
            return Err(self.wrong("expected a number, a text in quotes, a name or `(`"));
        };
        match first {
            '(' => {
                self.at += 1;
                let term = self.concat()?;
                if self.eat(")") { Ok(term) } else { Err(self.wrong("expected `)`")) }
            }
            '\'' => self.quoted('\'').map(Term::Text),
            '"' => self.quoted('"').map(Term::Field),
            '0'..='9' | '.' => self.number(),
            c if c.is_alphabetic() || c == '_' => self.named(),
            _ => Err(self.wrong("expected a number, a text in quotes, a name or `(`")),
        }
    }

    fn number(&mut self) -> Result<Term, String> {
        let rest = self.rest();
        let mut end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        if rest[end..].starts_with(['e', 'E']) {
            let power = rest[end + 1..].trim_start_matches(['+', '-']);
            let sign = rest.len() - end - 1 - power.len();
            let digits = power.find(|c: char| !c.is_ascii_digit()).unwrap_or(power.len());
            if digits > 0 && sign <= 1 {
                end += 1 + sign + digits;
            }
        }
        let digits = rest[..end].to_owned();
        if !digits.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(self.wrong("expected a number"));
        }
        self.at += end;
        Ok(Term::Number(digits))
    }

    /// A text between quotes; a quote in it is written twice.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let start = self.at;
        let mut text = String::new();
        self.at += 1;
        loop {
            let Some(end) = self.rest().find(quote) else {
                self.at = start;
                return Err(self.wrong("this quote is not closed"));
            };
            text.push_str(&self.rest()[..end]);
            self.at += end + 1;
            if !self.rest().starts_with(quote) {
                return Ok(text);
            }
            text.push(quote);
            self.at += 1;
        }
    }

    fn named(&mut self) -> Result<Term, String> {
        let start = self.at;
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        self.at += end;
        if !self.eat("(") {
            return Ok(if name.eq_ignore_ascii_case("null") { Term::Null } else { Term::Field(name) });
        }
        let Some((_, call, takes)) = CALLS.iter().find(|(known, _, _)| known.eq_ignore_ascii_case(&name)) else {
            self.at = start;
            let known = CALLS.map(|(known, _, _)| known).join(", ");
            return Err(self.wrong(&format!("there is no function `{name}` (there are {known})")));
        };
        let mut terms = Vec::new();
        if !self.eat(")") {
            loop {
                terms.push(self.concat()?);
                if self.eat(")") {
                    break;
                }
                if !self.eat(",") {
                    return Err(self.wrong("expected `,` or `)`"));
                }
            }
        }
        if !takes.contains(&terms.len()) {
            self.at = start;
            let (least, most) = (takes.start(), takes.end());
            let wanted = if least == most { least.to_string() } else { format!("{least} to {most}") };
            return Err(self.wrong(&format!("`{name}` takes {wanted} values, not {}", terms.len())));
        }
        Ok(Term::Call(*call, terms))
    }
}
