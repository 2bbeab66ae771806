//! A column's type as the catalog writes it, in the normal form that [`Kind`](super::super::Kind) describes.

/// `INT(11) UNSIGNED ZEROFILL` → `int unsigned`. The names of an enum or set are kept, with only their quotes doubled.
pub(crate) fn normal(column_type: &str) -> String {
    let (name, rest) = match column_type.find(['(', ' ']) {
        Some(at) => column_type.split_at(at),
        None => (column_type, ""),
    };
    let name = match name.to_ascii_lowercase().as_str() {
        "integer" => "int".to_owned(),
        "numeric" | "dec" | "fixed" => "decimal".to_owned(),
        "geomcollection" => "geometrycollection".to_owned(),
        name => name.to_owned(),
    };
    if matches!(&*name, "enum" | "set") {
        return format!("{name}({})", unescaped(rest));
    }
    let (arguments, rest) = match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((arguments, rest)) => (arguments, rest),
        None => ("", rest),
    };
    // MariaDB says in a comment what is compressed, or of an old format.
    let rest = rest.split("/*").next().unwrap_or_default().to_ascii_lowercase();
    let means_something = matches!(
        &*name,
        "decimal" | "char" | "varchar" | "binary" | "varbinary" | "bit" | "time" | "datetime" | "timestamp" | "vector"
    );
    let mut declared = name;
    if means_something && !arguments.is_empty() {
        declared.push_str(&format!("({})", arguments.replace(' ', "")));
    }
    // What is filled with zeros has no sign.
    if rest.split_whitespace().any(|word| word == "unsigned" || word == "zerofill") {
        declared.push_str(" unsigned");
    }
    declared
}

/// The inside of `('a\\b','it''s') …`, whose backslashes stand for one another.
fn unescaped(list: &str) -> String {
    let mut out = String::with_capacity(list.len());
    let mut chars = list.trim_start().trim_start_matches('(').chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            ')' if !quoted => break,
            '\'' => {
                quoted = !quoted;
                out.push('\'');
            }
            '\\' if quoted => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('0') => out.push('\0'),
                Some('Z') => out.push('\u{1a}'),
                Some('\'') => out.push_str("''"),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_get_their_normal_form() {
        for (given, wanted) in [
            ("int(11)", "int"),
            ("INT(10) UNSIGNED ZEROFILL", "int unsigned"),
            ("tinyint(1)", "tinyint"),
            ("year(4)", "year"),
            ("double(10,2)", "double"),
            ("float unsigned", "float unsigned"),
            ("decimal(10,2) unsigned", "decimal(10,2) unsigned"),
            ("varchar(20)", "varchar(20)"),
            ("varchar(20) /*M!100301 COMPRESSED*/", "varchar(20)"),
            ("datetime /* mariadb-5.3 */", "datetime"),
            ("timestamp(6)", "timestamp(6)"),
            ("bit(3)", "bit(3)"),
            ("longtext", "longtext"),
            ("geomcollection", "geometrycollection"),
            ("enum('A b','it''s)')", "enum('A b','it''s)')"),
            (r"set('a\\b','x\ny')", "set('a\\b','x\ny')"),
        ] {
            assert_eq!(normal(given), wanted, "{given}");
        }
    }
}
