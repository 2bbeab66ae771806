use proptest::prelude::*;

use super::*;

fn decode_in(format: Format, chunks: &[&[u8]]) -> Vec<Record> {
    let mut decoder =
        Decoder::new(format, None).keep_raw(40).record_bytes_max(200).columns(vec!["a".into(), "b".into()]);
    let mut records = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk, &mut records);
    }
    decoder.finish(&mut records);
    records
}

/// Each record as `line: name=value …`, or `line! reason`.
fn story(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| match &record.fields {
            Ok(fields) => {
                let fields: Vec<String> =
                    fields.0.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
                format!("{}: {}", record.line, fields.join(" "))
            }
            Err(error) => format!("{}! {error}", record.line),
        })
        .collect()
}

fn shown(field: &Field) -> String {
    match field {
        Field::Null => "null".into(),
        Field::Bool(b) => b.to_string(),
        Field::Number(digits) => digits.to_string(),
        Field::Text(text) => format!("'{text}'"),
        Field::Json(json) => format!("<{json}>"),
    }
}

#[track_caller]
fn check(format: Format, body: impl AsRef<[u8]>, expected: &[&str]) {
    let body = body.as_ref();
    assert_eq!(story(&decode_in(format, &[body])), expected);
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(story(&decode_in(format, &bytes)), expected, "byte by byte");
}

#[test]
fn ndjson_lines_of_every_kind() {
    let body = "\u{feff}{\"a\":1,\"b\":\"ü\\n\"}\r\n\n  {\"a\":12345678901234567890.10,\"b\":null}\nnonsense\n[1]\n{\"a\":true,\"c\":{\"d\": [1]}}";
    check(
        Format::Ndjson,
        body,
        &[
            "1: a=1 b='ü\n'",
            "3: a=12345678901234567890.10 b=null",
            "4! not JSON: expected ident at column 2",
            "5! expected an object, got an array",
            "6: a=true c=<{\"d\": [1]}>",
        ],
    );
}

#[test]
fn a_line_too_long_or_not_utf8_is_told_and_the_next_is_read() {
    let mut body = vec![b'x'; 300];
    body.extend_from_slice(b"\n{\"a\":\"\xff\"}\n{\"a\":\"\\ud800\"}\n{\"a\":1}\n");
    let expected =
        ["1! longer than 200 bytes", "2! not UTF-8", "3! not JSON: unexpected end of hex escape at column 8", "4: a=1"];
    check(Format::Ndjson, &body, &expected);
    check(Format::Auto, &body, &expected);
}

#[test]
fn a_json_array_is_read_element_by_element() {
    check(
        Format::Json,
        r#" [{"a":"],}\"\\"}, {"a":{"b":[1,2]}},xx,, {"a":1]},{"a":3} ] "#,
        &[
            r#"1: a='],}"\'"#,
            r#"2: a=<{"b":[1,2]}>"#,
            "3! not JSON: expected value at column 1",
            "4! not JSON: nothing between two commas",
            "5! not JSON: expected `,` or `}` at column 7",
            "6: a=3",
        ],
    );
}

#[test]
fn a_json_object_is_one_record() {
    check(Format::Json, "\n{\n\"a\": 1\n}\n", &["1: a=1"]);
    check(Format::Json, "[]", &[]);
    check(Format::Json, " [ ] \n", &[]);
}

#[test]
fn json_that_is_cut_off_or_goes_on_is_told() {
    check(Format::Json, "", &["1! not JSON: the body is empty"]);
    check(Format::Json, "[{\"a\":1},", &["1: a=1", "2! the body ended too early"]);
    check(Format::Json, "{\"a\":\"", &["1! the body ended too early"]);
    check(Format::Json, "42", &["1! not JSON: expected an object or an array of objects"]);
    let trailing = "2! more after the end of the JSON; send several rows as an array, or as application/x-ndjson";
    check(Format::Json, "{\"a\":1}\n{\"a\":2}", &["1: a=1", trailing]);
    check(Format::Json, "[{\"a\":1},]", &["1: a=1", "2! not JSON: nothing between two commas"]);
}

#[test]
fn an_overlong_json_element_is_passed_over() {
    let body = format!("[{{\"a\":\"{}\"}},{{\"a\":1}}]", "x".repeat(300));
    check(Format::Json, body, &["1! longer than 200 bytes", "2: a=1"]);
}

#[test]
fn csv_with_quotes_line_breaks_and_nulls() {
    check(
        Format::Csv,
        "\u{feff}a, b\r\n1,\"x,\"\"\r\ny\"\r\n\r\n,\"\"\n2\n3,4,5\nü,z",
        &[
            "2: a='1' b='x,\"\r\ny'",
            "5: a=null b=''",
            "6! expected 2 fields as in the first line, got 1",
            "7! expected 2 fields as in the first line, got 3",
            "8: a='ü' b='z'",
        ],
    );
}

#[test]
fn a_csv_header_must_name_columns() {
    check(Format::Csv, "a,a\n1,2\n", &["1! the first line must name the columns: `a` is there twice"]);
    check(Format::Csv, "a,\n1,2\n", &["1! the first line must name the columns: name 2 is empty"]);
    check(Format::Csv, "", &[]);
    check(Format::Csv, "a,b\n", &[]);
}

#[test]
fn an_open_csv_quote_and_an_overlong_record_are_told() {
    check(Format::Csv, "a\n1\n\"2\n3", &["2: a='1'", "3! the body ended too early"]);
    let long = format!("a,b\n{},\n1,2\n", "x".repeat(300));
    check(Format::Csv, long, &["2! longer than 200 bytes", "3: a='1' b='2'"]);
    check(Format::Csv, format!("a\n{}\n1\n", ",".repeat(300)), &["2! longer than 200 bytes", "3: a='1'"]);
}

#[test]
fn sse_events_carry_objects() {
    let body = ": hello\nretry: 1500\nevent: point\nid: 7\ndata: {\"a\":\ndata: 1}\n\ndata:{\"a\":2}\r\n\r\ndata: no\r\rid: 9\ndata: {\"a\":3}\n";
    check(Format::Sse, body, &["5: a=1", "8: a=2", "10! not JSON: expected ident at column 2"]);
    let mut decoder = Decoder::new(Format::Sse, None);
    decoder.feed(body.as_bytes(), &mut Vec::new());
    assert_eq!(decoder.last_event_id(), Some("7"), "an event that was cut off does not move the id");
    assert_eq!(decoder.retry(), Some(std::time::Duration::from_millis(1500)));
}

#[test]
fn copy_rows_have_nulls_escapes_and_an_end() {
    let body = "1\tx\\ty\n\\N\t\n3\tü\\\nz\n4\n5\t6\r\n\\.\nSELECT 1;\n";
    check(
        Format::Copy,
        body,
        &["1: a='1' b='x\ty'", "2: a=null b=''", "3: a='3' b='ü\nz'", "5! expected 2 columns, got 1", "6: a='5' b='6'"],
    );
    check(Format::Copy, "1\t2\\", &["1! the body ended too early"]);
    let mut records = Vec::new();
    let mut decoder = Decoder::new(Format::Copy, None);
    decoder.feed(b"COPY public.t (x, \"Y\") FROM stdin;\n1\t2\n", &mut records);
    assert_eq!(story(&records), ["2: x='1' Y='2'"]);
}

#[test]
fn line_protocol_is_read_line_by_line() {
    check(
        Format::Line,
        "# a comment\ncpu,host=a usage=1.5,n=2i 7\r\n\ncpu usage=\ncpu on=t",
        &[
            "2: host='a' usage=1.5 n=2 time=7",
            "4! not line protocol: the field \"usage\" is neither a number, a truth value nor a text in quotes: \"\"",
            "5: on=true",
        ],
    );
}

#[test]
fn auto_takes_each_line_as_what_it_is() {
    check(
        Format::Auto,
        "{\"a\":1}\n\ndata: {\"a\":2}\nid: 3\n\n: ping\n{\"a\":3}\nrubbish\n",
        &["1: a=1", "3: a=2", "7: a=3", "8! not JSON: expected value at column 1"],
    );
    check(Format::Auto, "\n[{\"a\":1}]", &["1: a=1"]);
}

#[test]
fn auto_tells_printed_json_from_lines_that_call_themselves_json() {
    let decode = |body: &str, content_type| {
        let mut decoder = Decoder::new(Format::Auto, Some(content_type));
        let mut records = Vec::new();
        body.as_bytes().chunks(1).for_each(|byte| decoder.feed(byte, &mut records));
        decoder.finish(&mut records);
        story(&records)
    };
    assert_eq!(decode("{\n \"a\": 1\n}", "application/json; charset=utf-8"), ["1: a=1"]);
    assert_eq!(decode("{\"a\":1}\n{\"a\":2}", "application/json"), ["1: a=1", "2: a=2"]);
    assert_eq!(decode("{\"a\":1}", "application/json"), ["1: a=1"]);
    assert_eq!(decode("a\n1\n", "text/csv"), ["2: a='1'"]);
}

#[test]
fn the_front_of_a_record_is_kept_for_people() {
    let records = decode_in(Format::Ndjson, &["{\"a\":\"üüüüüüüüüüüüüüüüüüüüüü\"}\n".as_bytes()]);
    assert!(records[0].raw.len() <= 40 && records[0].raw.starts_with("{\"a\":\"üü"), "{}", records[0].raw);
}

/// Bodies that look like rows, with every character that decides something.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "[a-z0-9 ]{0,4}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            "\n",
            "\r",
            "\r\n",
            "\n\n",
            "\"",
            "\\",
            ",",
            "{",
            "}",
            "[",
            "]",
            ":",
            "{\"a\":1}\n",
            "{\"a\":\"ü€\"},",
            "data: ",
            "data: {\"a\":2}\n\n",
            "id: 1\n",
            "\u{feff}",
            "a,b\n",
            "1,\"2\"\n",
            "\"x\"\"\n\",",
            "\t",
            "\\N\t\\\n",
            "\n\\.\n",
            "COPY t (a) FROM stdin;\n",
            "m,t=a b=1i,c=\"x\" 5\n",
            "m\\ n b=t\n",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..3),
        Just(vec![b'y'; 90]),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn however_the_bytes_are_cut_the_records_are_the_same(
        body in body(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
        for format in Format::ALL {
            prop_assert_eq!(decode_in(format, &chunks), decode_in(format, &[&body]), "{}", format);
        }
    }

    #[test]
    fn what_serde_writes_is_read_back(rows in prop::collection::vec(prop::collection::hash_map("[a-z]{1,3}", any::<(i64, String)>(), 1..4), 0..6)) {
        let rows: Vec<serde_json::Value> = rows.into_iter().map(|row| row.into_iter()
            .flat_map(|(name, (n, text))| [(format!("{name}1"), n.into()), (format!("{name}2"), text.into())])
            .collect::<serde_json::Map<String, serde_json::Value>>().into()).collect();
        let json = serde_json::to_vec(&rows).expect("rows are JSON");
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let read = |format, body: &[u8]| {
            let mut decoder = Decoder::new(format, None);
            let mut records = Vec::new();
            decoder.feed(body, &mut records);
            decoder.finish(&mut records);
            records.into_iter().map(|r| r.fields.expect("a row")).collect::<Vec<_>>()
        };
        prop_assert_eq!(read(Format::Json, &json), read(Format::Ndjson, lines.as_bytes()));
        prop_assert_eq!(read(Format::Json, &json).len(), rows.len());
    }
}
