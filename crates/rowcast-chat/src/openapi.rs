//! The chat's HTTP interface, as OpenAPI describes one.

use axum::http::header;
use axum::response::IntoResponse;

/// The description.
const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /openapi.json`
pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value as Json;

    use super::*;
    use crate::paths::PREFIX;
    use crate::routes;

    #[test]
    fn every_route_is_in_it_and_nothing_else() {
        let document: Json = serde_json::from_str(DOCUMENT).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().expect("methods").keys().map(|method| (method.clone(), path.clone()))
            })
            .filter(|(method, _)| method != "parameters")
            .collect();
        let known: BTreeSet<(String, String)> =
            routes::known().into_iter().map(|(method, path)| (method.to_owned(), format!("{PREFIX}{path}"))).collect();
        assert_eq!(described, known);
    }

    #[test]
    fn whatever_it_refers_to_is_there() {
        fn refers(value: &Json, found: &mut Vec<String>) {
            match value {
                Json::Object(object) => object.iter().for_each(|(name, value)| match value {
                    Json::String(text) if name == "$ref" => found.push(text.trim_start_matches('#').to_owned()),
                    value => refers(value, found),
                }),
                Json::Array(items) => items.iter().for_each(|item| refers(item, found)),
                _ => {}
            }
        }
        let document: Json = serde_json::from_str(DOCUMENT).expect("JSON");
        let mut found = Vec::new();
        refers(&document, &mut found);
        assert!(!found.is_empty());
        for pointer in found {
            assert!(document.pointer(&pointer).is_some(), "{pointer}");
        }
    }
}
