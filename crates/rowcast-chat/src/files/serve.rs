//! A file on its way out: to whom it is for, and so that no browser runs what is in it.

use std::ops::Range;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rowcast::gateway::Refusal;
use rowcast::protocol::Problem;

use super::kind::is_shown;
use super::range::{Part, part};
use super::thumbnail_of;
use crate::house::{House, Shared};
use crate::person::Person;
use crate::records::Record;
use crate::rooms::talk::member;
use crate::{problems, words};

/// Asked again after this long: whoever has left a talk has no more of its files.
const CACHED: &str = "private, max-age=300, must-revalidate";

/// `GET /files/{id}`
pub(crate) async fn file(
    State(house): State<Shared>,
    Person(me): Person,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let row = house.file(&me, &id).await?;
    let kind = row.text("type").unwrap_or_default().to_owned();
    house.serve(&id, &kind, row.text("name").unwrap_or_default(), &headers).await
}

/// `GET /files/{id}/thumbnail`
pub(crate) async fn thumbnail(
    State(house): State<Shared>,
    Person(me): Person,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let row = house.file(&me, &id).await?;
    let kind = row.text("type").unwrap_or_default();
    if !is_shown(kind) {
        return Err(nothing().into());
    }
    if !row.truth("thumbnail") {
        // It is small enough itself.
        return house.serve(&id, kind, row.text("name").unwrap_or_default(), &headers).await;
    }
    house.serve(&thumbnail_of(&id), "image/jpeg", "thumbnail", &headers).await
}

fn nothing() -> Problem {
    problems::not_found("there is no such file")
}

impl House {
    /// A file that I may have: of a talk that I am in, or the picture of a person or group. All others are not there.
    async fn file(&self, me: &str, id: &str) -> Result<Record, Refusal> {
        if !words::is_id(id) {
            return Err(nothing().into());
        }
        let rows = self.find("chat_files", "id = claims.id", &[("id", id.into())]).await?;
        let row = rows.into_iter().next().ok_or_else(nothing)?;
        if let Some(room) = row.text("room")
            && self.find_rows(&member(room, me)).await?.is_empty()
        {
            return Err(nothing().into());
        }
        Ok(row)
    }

    async fn serve(&self, key: &str, kind: &str, name: &str, asked: &HeaderMap) -> Result<Response, Refusal> {
        // What is kept under an id never changes.
        let tag = format!("\"{key}\"");
        let said = |name| asked.get(name).and_then(|value| value.to_str().ok());
        let is_held = said(header::IF_NONE_MATCH).is_some_and(|held| held.split(',').any(|held| held.trim() == tag));
        // Whoever has another version wants all of this one.
        let range = said(header::RANGE).filter(|_| said(header::IF_RANGE).is_none_or(|held| held.trim() == tag));
        let mut response = match range {
            _ if is_held => StatusCode::NOT_MODIFIED.into_response(),
            None => self.bytes_of(key, None).await?,
            Some(range) => {
                let size = self.files.place.size(key).await?.ok_or_else(nothing)?;
                match part(range, size) {
                    Part::All => self.bytes_of(key, None).await?,
                    Part::Some(part) => self.part_of(key, part, size).await?,
                    Part::Nothing => return Ok(behind_the_end(size)),
                }
            }
        };
        let inside = if is_shown(kind) { "inline" } else { "attachment" };
        // What is not a picture is nothing that a browser could open.
        let shown_as = match kind {
            _ if is_shown(kind) => kind,
            "application/pdf" | "text/plain" | "text/csv" => kind,
            _ if kind.starts_with("audio/") || kind.starts_with("video/") => kind,
            _ => "application/octet-stream",
        };
        let text = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("attachment"));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, text(shown_as));
        headers.insert(header::CONTENT_DISPOSITION, text(&format!("{inside}; {}", file_name(name))));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
        headers.insert(
            header::HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CACHED));
        headers.insert(header::VARY, HeaderValue::from_static("Cookie, Authorization"));
        headers.insert(header::ETAG, text(&tag));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        Ok(response)
    }

    async fn part_of(&self, key: &str, part: Range<u64>, size: u64) -> Result<Response, Refusal> {
        let shown = content_range(&format!("{}-{}", part.start, part.end - 1), size);
        let mut response = self.bytes_of(key, Some(part)).await?;
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        response.headers_mut().insert(header::CONTENT_RANGE, shown);
        Ok(response)
    }

    async fn bytes_of(&self, key: &str, part: Option<Range<u64>>) -> Result<Response, Refusal> {
        let found = self.files.place.get(key, part).await?.ok_or_else(nothing)?;
        let bytes = found.range.end - found.range.start;
        let mut response = Body::from_stream(found.into_stream()).into_response();
        response.headers_mut().insert(header::CONTENT_LENGTH, bytes.into());
        Ok(response)
    }
}

fn content_range(part: &str, size: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("bytes {part}/{size}")).expect("digits are a header's value")
}

/// Of so many bytes the ones that were asked for are not there.
fn behind_the_end(size: u64) -> Response {
    let problem = problems::bad(format!("the file has {size} bytes: there are none where `Range` begins"));
    let mut response = Refusal(problem).into_response();
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    response.headers_mut().insert(header::CONTENT_RANGE, content_range("*", size));
    response
}

/// A name for `Content-Disposition` (RFC 6266): as well as old clients read it, and as it is.
fn file_name(name: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_graphic() && !matches!(character, '"' | '\\' | '%') || character == ' ';
    let plain: String = name.chars().map(|character| if is_plain(character) { character } else { '_' }).collect();
    let mut exact = String::new();
    for byte in name.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'-' | b'_' => exact.push(char::from(byte)),
            _ => exact.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_header() {
        assert_eq!(file_name("a b.txt"), "filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt");
        assert_eq!(file_name("ü\"\r\n;x"), "filename=\"____;x\"; filename*=UTF-8''%C3%BC%22%0D%0A%3Bx");
    }
}
