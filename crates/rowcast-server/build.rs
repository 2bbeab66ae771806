//! Embeds the built pages. Never builds them: that is `make web`.

use std::path::{Path, PathBuf};

fn main() {
    // As cargo says it now: a compiled script may be shared by several checkouts.
    let home = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    // In the repository the pages lie beside the crates; a packaged crate has them inside.
    let places = [home.join("pages"), home.join("../../web/dist")];
    match places.iter().find(|place| place.join("index.html").is_file()) {
        Some(pages) => memory_serve::load_directory(pages),
        None => refuse(&places[1]),
    }
}

fn refuse(pages: &Path) {
    // A path that is not there makes cargo look again at the next build.
    println!("cargo::rerun-if-changed={}", pages.join("index.html").display());
    println!("cargo::error=the pages are not built: run `make web` first (it needs Node 20 and npm)");
}
