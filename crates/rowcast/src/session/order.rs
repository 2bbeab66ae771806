//! `order_by`: SQL's ORDER BY over plain columns.

use crate::event::Table;
use crate::protocol::{Code, Problem};
use crate::store::OrderBy;

/// Reads `time desc, "odd name", id asc` against a table's columns.
///
/// `readable` are the columns that may be named; `None`: all.
pub fn parse_order(text: &str, table: &Table, readable: Option<&[usize]>) -> Result<Vec<OrderBy>, Problem> {
    if text.len() > 1024 {
        return Err(wrong("`order_by` is longer than 1,024 bytes"));
    }
    let terms = terms(text).ok_or_else(|| wrong("`order_by` has a quote that is not closed"))?;
    terms.iter().map(|term| parse_term(term, table, readable)).collect()
}

/// Reads comma-separated names, in SQL's double quotes where a name has a comma or a quote: `time,"a,b"`.
pub fn parse_names(text: &str) -> Result<Vec<String>, Problem> {
    let name = |term: &String| {
        let term = term.trim();
        let quoted = term.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        quoted.map_or_else(|| term.to_owned(), |name| name.replace("\"\"", "\""))
    };
    let names =
        terms(text).ok_or_else(|| Problem::new(Code::BadMessage, "a list of names has a quote that is not closed"))?;
    Ok(names.iter().map(name).collect())
}

fn wrong(message: impl Into<String>) -> Problem {
    Problem::new(Code::BadMessage, message).hint("write columns with asc or desc: `time desc, id`")
}

/// Splits at commas outside quotes; `None` when a quote is not closed.
fn terms(text: &str) -> Option<Vec<String>> {
    let mut terms = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        quoted ^= c == '"';
        if c == ',' && !quoted {
            terms.push(String::new());
        } else if let Some(term) = terms.last_mut() {
            term.push(c);
        }
    }
    (!quoted).then_some(terms)
}

fn parse_term(term: &str, table: &Table, readable: Option<&[usize]>) -> Result<OrderBy, Problem> {
    let term = term.trim();
    let (name, rest) = match term.strip_prefix('"') {
        Some(quoted) => {
            let end = quoted.rfind('"').ok_or_else(|| wrong("`order_by` has a quote that is not closed"))?;
            (quoted[..end].replace("\"\"", "\""), quoted[end + 1..].trim())
        }
        None => {
            let (name, rest) = term.split_once(char::is_whitespace).unwrap_or((term, ""));
            (name.to_owned(), rest.trim())
        }
    };
    let descending = match rest.to_ascii_lowercase().as_str() {
        "" | "asc" => false,
        "desc" => true,
        other => {
            return Err(wrong(format!("`order_by` has `{other}` after a column, where only asc or desc may stand")));
        }
    };
    let column = find_column(&name, table, readable)?;
    Ok(OrderBy { column, descending })
}

/// A column that may be named.
pub fn find_column(name: &str, table: &Table, readable: Option<&[usize]>) -> Result<usize, Problem> {
    let found = table.column(name).filter(|column| readable.is_none_or(|readable| readable.contains(column)));
    found.ok_or_else(|| unknown_column(name, table, readable))
}

/// The error for a name that is no column of the table, or none that may be named.
pub fn unknown_column(name: &str, table: &Table, readable: Option<&[usize]>) -> Problem {
    let is_readable = |column: &usize| readable.is_none_or(|readable| readable.contains(column));
    let columns = (0..table.columns.len()).filter(is_readable);
    let names: Vec<&str> = columns.map(|column| &*table.columns[column].name).collect();
    let name: String = name.chars().take(64).collect();
    Problem::new(Code::UnknownColumn, format!("table `{}` has no column `{name}`", table.name))
        .hint(format!("its columns are {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Column, TableName};

    fn table() -> Table {
        let column = |name: &str| Column { name: name.into(), declared: "".into() };
        Table { name: TableName::bare("t"), columns: vec![column("id"), column("odd, \"one\"")], key: vec![0] }
    }

    #[test]
    fn reads_plain_and_quoted_columns() {
        let order = parse_order(r#" "odd, ""one""" DESC , id"#, &table(), None).expect("an order");
        assert_eq!(order, [OrderBy { column: 1, descending: true }, OrderBy { column: 0, descending: false }]);
    }

    #[test]
    fn a_column_that_may_not_be_read_is_none() {
        let problem = parse_order("id", &table(), Some(&[1])).expect_err("hidden");
        assert!(problem.message.contains("no column `id`"), "{problem:?}");
        assert!(problem.hint.is_some_and(|hint| !hint.contains("id,")), "and is not named");
    }

    #[test]
    fn names_with_commas_are_quoted() {
        let names = parse_names(r#"id, "odd, ""one""" ,x y"#).expect("names");
        assert_eq!(names, ["id", "odd, \"one\"", "x y"]);
        assert!(parse_names("\"id").is_err());
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, part) in [("x", "no column `x`"), ("id up", "`up`"), ("\"id", "not closed"), ("id,", "no column ``")]
        {
            let problem = parse_order(text, &table(), None).expect_err(text);
            assert!(problem.message.contains(part), "{problem:?}");
        }
    }
}
