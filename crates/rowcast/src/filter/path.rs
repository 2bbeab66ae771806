//! Paths into JSON, as they are written behind an arrow.

use super::expr::Step;

/// `$.a[0]."b c"`, `[0]`, or a label.
pub(super) fn parse_path(text: &str) -> Option<Vec<Step>> {
    if text.contains('\0') {
        return None;
    }
    if let Some(rest) = text.strip_prefix('$') {
        return parse_steps(rest);
    }
    if text.len() >= 3 && text.starts_with('[') && text.ends_with(']') {
        return parse_steps(text);
    }
    Some(vec![Step::Label(text.into())])
}

fn parse_steps(mut rest: &str) -> Option<Vec<Step>> {
    let mut path = Vec::new();
    while !rest.is_empty() {
        let (step, after) = parse_step(rest)?;
        path.push(step);
        rest = after;
    }
    Some(path)
}

fn parse_step(text: &str) -> Option<(Step, &str)> {
    if let Some(inside) = text.strip_prefix('[') {
        let (position, rest) = inside.split_once(']')?;
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let step = match position.strip_prefix("#-") {
            Some(from_end) => Step::FromEnd(digits(from_end)?),
            None => Step::Index(digits(position)?),
        };
        return Some((step, rest));
    }
    let label = text.strip_prefix('.')?;
    let (label, rest) = match label.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').filter(|(label, _)| !label.contains('\\'))?,
        None => label.split_at(label.find(['.', '[']).unwrap_or(label.len())),
    };
    let is_empty = label.is_empty() && !text.starts_with(".\"");
    (!is_empty).then(|| (Step::Label(label.into()), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_are_refused() {
        for path in ["$a", "$.", "$..a", "$[", "$[x]", "$[#]", "$.\"a", "a\0"] {
            assert_eq!(parse_path(path), None, "{path}");
        }
    }
}
