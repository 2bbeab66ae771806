//! Where in a request its token stands. One that stands in two places has to be the same.

use std::collections::BTreeSet;

use axum::extract::Query;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Uri, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::entrance::Entrance;
use crate::auth::Settings;
use crate::protocol::{Code, Problem};

/// A token, as it was sent.
pub(super) struct Found {
    pub(super) token: String,
    /// Nowhere else: a browser may have sent it without the page's doing.
    pub(super) by_cookie: bool,
}

/// InfluxDB 1.x's password in the query.
const INFLUX_PASSWORD: &str = "p";

/// Takes the token out of a request: out of the query, so that nothing behind this writes it anywhere.
pub(super) fn take(parts: &mut Parts, entrance: Entrance, settings: &Settings) -> Result<Option<Found>, Problem> {
    let mut said = BTreeSet::new();
    for value in parts.headers.get_all(header::AUTHORIZATION) {
        let value = value.to_str().map_err(|_| unreadable())?;
        said.insert(of_header(value, entrance)?);
    }
    let in_query = match (entrance, &settings.query) {
        (Entrance::Influx, _) => take_query(&mut parts.uri, INFLUX_PASSWORD),
        (_, Some(name)) => take_query(&mut parts.uri, name),
        (_, None) => Vec::new(),
    };
    if !in_query.is_empty() && !entrance.takes_query() && entrance != Entrance::Influx {
        let problem = Problem::new(Code::Unauthenticated, "a token is not taken from the query here");
        return Err(problem.hint("send it as `Authorization: Bearer …`"));
    }
    said.extend(in_query);
    let by_cookie = said.is_empty();
    if let Some(name) = settings.cookie.as_deref().filter(|_| entrance.takes_cookie()) {
        said.extend(cookies(&parts.headers, name).map(str::to_owned));
    }
    if said.len() > 1 {
        let message = "the request has two different tokens";
        return Err(Problem::new(Code::Unauthenticated, message).hint("send one, in one place"));
    }
    Ok(said.pop_first().map(|token| Found { token, by_cookie }))
}

fn unreadable() -> Problem {
    Problem::new(Code::Unauthenticated, "the Authorization header has no bearer token")
        .hint("send `Authorization: Bearer …`")
}

pub(super) fn of_header(value: &str, entrance: Entrance) -> Result<String, Problem> {
    let (scheme, rest) = value.trim().split_once(' ').ok_or_else(unreadable)?;
    let rest = rest.trim();
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    let influx = entrance == Entrance::Influx;
    if is("Bearer") {
        return Ok(rest.to_owned());
    }
    if influx && is("Token") {
        // InfluxDB 1.x's clients say `user:password` here.
        return Ok(rest.rsplit_once(':').map_or(rest, |(_, password)| password).to_owned());
    }
    if influx && is("Basic") {
        let plain = STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let password =
            plain.as_deref().and_then(|plain| plain.split_once(':')).map(|(_, password)| password.to_owned());
        return password.ok_or_else(unreadable);
    }
    Err(unreadable())
}

/// All values of a cookie: a page of a neighbouring host can add one.
pub(in super::super) fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(known, _)| *known == name).map(|(_, value)| value.trim_matches('"'))
}

/// Takes a parameter out of the query, however it is written there.
fn take_query(uri: &mut Uri, name: &str) -> Vec<String> {
    let Some(query) = uri.query() else { return Vec::new() };
    let (mut taken, mut kept) = (Vec::new(), Vec::new());
    for pair in query.split('&') {
        match read_pair(pair) {
            Some((found, value)) if found == name => taken.push(value),
            _ => kept.push(pair),
        }
    }
    if taken.is_empty() {
        return taken;
    }
    let target = match kept.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{}", uri.path(), kept.join("&")),
    };
    // What is left of a target is one, too.
    if let Ok(target) = target.parse::<PathAndQuery>() {
        let mut rest = std::mem::take(uri).into_parts();
        rest.path_and_query = Some(target);
        *uri = Uri::from_parts(rest).unwrap_or_default();
    }
    taken
}

fn read_pair(pair: &str) -> Option<(String, String)> {
    let alone = format!("/?{pair}").parse().ok()?;
    let Query(mut pairs) = Query::<Vec<(String, String)>>::try_from_uri(&alone).ok()?;
    pairs.pop()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        request.body(()).expect("a request").into_parts().0
    }

    fn settings() -> Settings {
        Settings { cookie: Some("rowcast".into()), ..Settings::default() }
    }

    #[track_caller]
    fn check(entrance: Entrance, uri: &str, headers: &[(&str, &str)], expected: Result<Option<(&str, bool)>, &str>) {
        let found = take(&mut parts(uri, headers), entrance, &settings());
        let found = found.map(|found| found.map(|found| (found.token, found.by_cookie)));
        match expected {
            Ok(expected) => {
                assert_eq!(found, Ok(expected.map(|(token, cookie)| (token.to_owned(), cookie))), "{uri} {headers:?}");
            }
            Err(part) => {
                let problem = found.expect_err(uri);
                assert!(problem.message.contains(part) && problem.code == Code::Unauthenticated, "{problem:?}");
            }
        }
    }

    #[test]
    fn a_token_is_found_where_it_may_stand() {
        check(Entrance::Plain, "/v1/tables", &[], Ok(None));
        check(Entrance::Plain, "/v1/tables", &[("authorization", "bearer  a.b.c ")], Ok(Some(("a.b.c", false))));
        check(Entrance::Plain, "/v1/tables", &[("cookie", "x=1; rowcast=a.b.c")], Ok(Some(("a.b.c", true))));
        check(Entrance::Live, "/v1/stream?channel=x&access_token=a.b.c", &[], Ok(Some(("a.b.c", false))));
        check(Entrance::Later, "/v1/ws?access%5Ftoken=a%2Eb", &[], Ok(Some(("a.b", false))));
        check(
            Entrance::Exchange,
            "/v1/session",
            &[("cookie", "rowcast=old"), ("authorization", "Bearer new")],
            Ok(Some(("new", false))),
        );
    }

    #[test]
    fn the_same_token_twice_is_one_and_two_are_none() {
        let both = [("authorization", "Bearer a"), ("cookie", "rowcast=a")];
        check(Entrance::Live, "/v1/stream?access_token=a", &both, Ok(Some(("a", false))));
        check(Entrance::Live, "/v1/stream?access_token=b", &both, Err("two different"));
        check(Entrance::Live, "/v1/stream?access_token=a&access_token=b", &[], Err("two different"));
        check(Entrance::Plain, "/v1/tables", &[("cookie", "rowcast=a; rowcast=b")], Err("two different"));
        check(
            Entrance::Plain,
            "/v1/tables",
            &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
            Err("two different"),
        );
    }

    #[test]
    fn a_token_in_the_wrong_place_is_refused() {
        check(Entrance::Plain, "/v1/tables?access_token=a", &[], Err("not taken from the query"));
        for value in ["Basic YTpi", "Bearer", "Token a", "a.b.c", ""] {
            check(Entrance::Plain, "/v1/tables", &[("authorization", value)], Err("no bearer token"));
        }
    }

    #[test]
    fn influx_clients_send_it_in_their_ways() {
        let uri = "/api/v2/write?org=o";
        for value in ["Token a.b", "Bearer a.b", "Token name:a.b", "Basic bmFtZTphLmI="] {
            check(Entrance::Influx, uri, &[("authorization", value)], Ok(Some(("a.b", false))));
        }
        check(Entrance::Influx, "/write?u=name&p=a.b&db=x", &[], Ok(Some(("a.b", false))));
    }

    #[test]
    fn nothing_behind_this_sees_it_in_the_query() {
        let mut some = parts("http://h/v1/stream?a=1&access_token=secret&b=%20&access%5ftoken=secret", &[]);
        take(&mut some, Entrance::Live, &settings()).expect("found");
        assert_eq!(some.uri, "http://h/v1/stream?a=1&b=%20");
        let mut alone = parts("/v1/ws?access_token=secret", &[]);
        take(&mut alone, Entrance::Later, &settings()).expect("found");
        assert_eq!(alone.uri, "/v1/ws");
    }
}
