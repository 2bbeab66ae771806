//! The room table of ARCHITECTURE.md holds: no room imports one that its row does not name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

type Rooms = BTreeMap<String, BTreeSet<String>>;

#[test]
fn rooms_import_only_what_their_row_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rooms = table(&std::fs::read_to_string(root.join("../../ARCHITECTURE.md")).expect("ARCHITECTURE.md"));
    let mut wrong = Vec::new();
    for file in rust_files(&root.join("src")) {
        let room = room_of(&file.strip_prefix(root.join("src")).expect("below src").to_string_lossy());
        if room == "lib" {
            continue;
        }
        let Some(allowed) = rooms.get(&room) else {
            wrong.push(format!("{}: `{room}` has no row in the room table", file.display()));
            continue;
        };
        let text = std::fs::read_to_string(&file).expect("a source file");
        for (line, used) in imports(&text) {
            if used != room && rooms.contains_key(&used) && !allowed.contains(&used) && !allowed.contains("all") {
                wrong.push(format!("{}:{line}: `{room}` may not use `{used}`", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// `| 1 | filter | … | event, log |` → filter: {event, log}
fn table(text: &str) -> Rooms {
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [floor, room, _, uses] = cells[..] else { return None };
        floor.parse::<u8>().ok()?;
        let uses = uses.split(',').map(|room| room.trim().to_owned()).collect();
        Some((room.to_owned(), uses))
    });
    let rooms: Rooms = rows.collect();
    assert!(rooms.len() > 8, "the room table was not found");
    rooms
}

fn room_of(path: &str) -> String {
    path.split(['/', '\\']).next().unwrap_or_default().trim_end_matches(".rs").to_owned()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files
}

/// The rooms after each `crate::`, with their lines; comments and everything after `#[cfg(test)]` aside.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("#[cfg(test)]") {
            break;
        }
        let code = line.split("//").next().unwrap_or_default();
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            let names = rest.strip_prefix('{').unwrap_or(rest);
            let ends = if rest.starts_with('{') { '}' } else { ':' };
            for name in names.split(ends).next().unwrap_or_default().split(',') {
                let name: String = name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                found.push((number + 1, name));
            }
        }
    }
    found
}

#[test]
fn an_import_is_seen_wherever_it_stands() {
    let text = "use crate::event::Row;\nlet x = crate::log::y();\nuse crate::{hub::Hub, filter};\n// crate::store\n";
    let found: Vec<String> = imports(text).into_iter().map(|(_, name)| name).collect();
    assert_eq!(found, ["event", "log", "hub", "filter"]);
}
