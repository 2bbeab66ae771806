//! Which column was meant by a name that there is not.

/// Columns that an error lists.
const LISTED_MAX: usize = 20;
/// Characters of the longest name that is compared with others.
const NAME_CHARS_MAX: usize = 64;

/// `did you mean …?` with the columns that there are.
pub(super) fn columns<'c>(unknown: &str, columns: impl Iterator<Item = &'c str> + Clone) -> String {
    let listed: Vec<String> = columns.clone().take(LISTED_MAX).map(|name| format!("`{name}`")).collect();
    let more = if columns.clone().nth(LISTED_MAX).is_some() { ", …" } else { "" };
    let list = format!("the columns are {}{more}", listed.join(", "));
    match nearest(unknown, columns) {
        Some(name) => format!("did you mean `{name}`? {list}"),
        None => list,
    }
}

/// The name that differs least, if it differs by less than half.
fn nearest<'c>(unknown: &str, names: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let unknown: Vec<char> = unknown.to_lowercase().chars().collect();
    let limit = (unknown.len() / 2).clamp(1, 3);
    names
        .filter(|name| name.len() <= 4 * NAME_CHARS_MAX && unknown.len() <= NAME_CHARS_MAX)
        .map(|name| (edits(&unknown, &name.to_lowercase().chars().collect::<Vec<_>>()), name))
        .min_by_key(|(edits, _)| *edits)
        .filter(|(edits, name)| *edits <= limit && *edits < name.chars().count())
        .map(|(_, name)| name)
}

/// How many characters must be put in, left out, replaced or exchanged with their neighbour.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                let two_back: &Vec<usize> = &before;
                least = least.min(two_back[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_nearest_name_only_if_it_is_near() {
        let names = ["id", "time", "speed"];
        for (unknown, found) in
            [("sped", Some("speed")), ("SPEEED", Some("speed")), ("tiem", Some("time")), ("weather", None), ("x", None)]
        {
            assert_eq!(nearest(unknown, names.into_iter()), found, "{unknown}");
        }
    }
}
