//! What strangers send, bent at random: nothing breaks the readers, however it is cut nothing changes what they read, and none
//! holds more than a record.
//!
//! A second for each reader; `ROWCAST_SOAK` times as long where that is set. What fails is printed with its bytes.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rowcast::ingest::decode::{Decoder, Format, Point, Record};

/// Well-formed bodies to begin with.
const CORPUS: [(Format, &[&str]); 7] = [
    (
        Format::Auto,
        &[
            "{\"a\":1}\n{\"b\":[1,{\"c\":\"\\u00fc\"}]}\n",
            "data: {\"a\":1}\n\nid: 7\n\n{\"a\":2}\n",
            "\u{feff}[{\"a\":1}]",
        ],
    ),
    (Format::Ndjson, &["{\"time\":\"1718000000123\",\"speed\":\"37\"}\r\n\n{\"a\":1e400}\n{\"a\":\"\\ud83d\\ude00\"}"]),
    (Format::Json, &["[{\"a\":\"],}\\\"\\\\\"}, {\"b\":{\"c\":[1,2]}},null,3 ]", "{\n \"a\": {\"b\": \"}\"}\n}"]),
    (Format::Csv, &["\u{feff}a, b,c\r\n1,\"x,\"\"\r\ny\",\n,\"\",z\n\"open", "a,b\n1,2\n\n3,4"]),
    (
        Format::Sse,
        &[": hello\nretry: 1500\nevent: point\nid: 7\ndata: {\"a\":\ndata: 1}\n\ndata:{\"a\":2}\r\n\r\ndata: no\r\r"],
    ),
    (
        Format::Copy,
        &["1\tx\\ty\t\\N\n2\t\\x41\\101\\\n\t\\\\\n\\.\nrest", "COPY public.t (a, \"b c\", d) FROM stdin;\n1\t2\t3\n"],
    ),
    (
        Format::Line,
        &[
            "cpu,host=a\\ b,x=\\=1 usage=1.5,n=2i,u=3u,on=t,s=\"a \\\"b\\\" \\\\\" 1718000000000000000\n# no\nm f=-1e9\n",
        ],
    ),
];

/// Pieces that decide something somewhere.
const PIECES: [&[u8]; 24] = [
    b"\n",
    b"\r\n",
    b"\r",
    b"\"",
    b"\\",
    b",",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"=",
    b" ",
    b"\t",
    b"\\N",
    b"\\.\n",
    b"data: ",
    b"id: ",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"i ",
    b"1e999",
    b"\xc3\xbc",
];

const RECORD_BYTES_MAX: usize = 256;

fn decode(format: Format, chunks: &[&[u8]]) -> Vec<Record> {
    let columns = ["a", "b", "c"].map(str::to_owned).to_vec();
    let mut decoder = Decoder::new(format, None).keep_raw(64).record_bytes_max(RECORD_BYTES_MAX).columns(columns);
    let mut records = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk, &mut records);
    }
    decoder.finish(&mut records);
    records
}

/// A body bent a little more.
fn bend(random: &mut StdRng, body: &mut Vec<u8>) {
    let at = random.random_range(0..=body.len());
    let to = random.random_range(at..=body.len().min(at + 16));
    match random.random_range(0..7) {
        0 => drop(body.drain(at..to)),
        1 => drop(body.splice(at..at, PIECES[random.random_range(0..PIECES.len())].iter().copied())),
        2 => {
            let copied = body[at..to].to_vec();
            let there = random.random_range(0..=body.len());
            drop(body.splice(there..there, copied));
        }
        3 if at < body.len() => body[at] ^= 1 << random.random_range(0..8),
        4 if at < body.len() => body[at] = random.random(),
        5 => drop(body.splice(at..at, std::iter::repeat_n(b'x', RECORD_BYTES_MAX))),
        _ => body.extend_from_slice(&body.clone()[..to.min(64)]),
    }
}

fn cut<'a>(random: &mut StdRng, body: &'a [u8]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = (0..random.random_range(0..6)).map(|_| random.random_range(0..=body.len())).collect();
    cuts.extend([0, body.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect()
}

fn fuzz(format: Format) {
    let soak: f64 = std::env::var("ROWCAST_SOAK").ok().and_then(|times| times.parse().ok()).unwrap_or(0.0);
    // A soak of 20 is a minute for each.
    let deadline = Instant::now() + Duration::from_secs_f64(if soak > 0.0 { soak * 3.0 } else { 0.5 });
    let seed = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let (_, corpus) = CORPUS.into_iter().find(|(of, _)| *of == format).expect("a corpus for each format");
    while Instant::now() < deadline {
        let mut body = corpus[random.random_range(0..corpus.len())].as_bytes().to_vec();
        for _ in 0..random.random_range(1..12) {
            bend(&mut random, &mut body);
        }
        body.truncate(4_096);
        let tried = std::panic::catch_unwind(|| decode(format, &[&body]));
        let whole = tried.unwrap_or_else(|_| panic!("{format} broke on {:?}", body.escape_ascii().to_string()));
        let pieces = decode(format, &cut(&mut random, &body));
        assert_eq!(pieces, whole, "{format}, cut, of {:?}", body.escape_ascii().to_string());
        assert!(whole.iter().all(|record| record.raw.len() <= 64));
        if format == Format::Line {
            let _ = Point::parse(&String::from_utf8_lossy(&body));
        }
    }
}

#[test]
fn mutated_lines_and_streams() {
    [Format::Auto, Format::Ndjson, Format::Sse].into_iter().for_each(fuzz);
}

#[test]
fn mutated_json() {
    fuzz(Format::Json);
}

#[test]
fn mutated_csv() {
    fuzz(Format::Csv);
}

#[test]
fn mutated_copy() {
    fuzz(Format::Copy);
}

#[test]
fn mutated_line_protocol() {
    fuzz(Format::Line);
}
