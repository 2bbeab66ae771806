//! `rowcast ingest`: files and standard input into a table, once each; what is rejected is listed.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;

use crate::program::{Running, database, ran, rowcast, shop, text};

/// `(id, city, price)` of every order, in order.
fn orders(folder: &Path) -> Vec<String> {
    let connection = database(folder);
    let sql = "SELECT id || '|' || coalesce(city, '-') || '|' || coalesce(price, '-') FROM orders ORDER BY id";
    let mut rows = connection.prepare(sql).expect("a query");
    rows.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("texts")
}

async fn ingest(folder: &Path, arguments: &[&str]) -> Output {
    ran(folder, &[&["ingest", "--table", "orders", "--database", "shop.db"], arguments].concat()).await
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), content).expect("written");
}

#[tokio::test]
async fn files_of_every_format_become_rows() {
    let folder = shop();
    write(folder.path(), "a.csv", "id,city,price\n1,Oslo,1.5\n2,,\n");
    write(folder.path(), "b.ndjson", "{\"id\":3,\"city\":\"Bergen\"}\n");
    write(folder.path(), "c.json", "[{\"id\":4},{\"id\":\"5\",\"price\":2}]");
    write(folder.path(), "d.copy", "6\tA\\tB\t\\N\n\\.\n");
    write(folder.path(), "e.lp", "orders,city=Voss id=7i,price=3\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"id,city\n8,Moss\n").expect("in memory");
    write(folder.path(), "f.csv.gz", gzip.finish().expect("in memory"));
    let output = ingest(folder.path(), &["a.csv", "b.ndjson", "c.json", "d.copy", "e.lp", "f.csv.gz"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).starts_with("8 rows stored in orders in "), "{}", text(&output.stderr));
    let expected = ["1|Oslo|1.5", "2|-|-", "3|Bergen|-", "4|-|-", "5|-|2.0", "6|A\tB|-", "7|Voss|3.0", "8|Moss|-"];
    assert_eq!(orders(folder.path()), expected);
}

#[tokio::test]
async fn rejected_rows_are_listed_and_the_others_stored() {
    let folder = shop();
    let arguments = ["ingest", "--table", "orders", "--database", "shop.db", "--format", "ndjson", "--quiet"];
    let mut child =
        rowcast(folder.path(), &arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"{\"id\":1}\nrubbish\n{\"id\":\"x\"}\n{\"id\":1}\n{\"id\":2}").await.expect("written");
    drop(stdin);
    let output = child.wait_with_output().await.expect("it ends");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("3 rejected:\n  line 2: not JSON") && said.contains("  line 3: id: expected"), "{said}");
    assert!(said.contains("  line 4: "), "{said}");
    assert_eq!(orders(folder.path()), ["1|-|-", "2|-|-"]);
}

#[tokio::test]
async fn with_once_a_second_run_stores_nothing_twice_and_one_that_was_killed_is_gone_on_with() {
    let folder = shop();
    let rows: String = (0..60_000).map(|n| format!("city {n},{}\n", n % 7)).collect();
    write(folder.path(), "orders.csv", format!("city,price\n{rows}bad,row,x\n"));
    let arguments = ["ingest", "--table", "orders", "--database", "shop.db", "--once", "orders.csv"];
    let mut child = rowcast(folder.path(), &arguments).spawn().expect("started");
    while database(folder.path()).query_row("SELECT count(*) FROM orders", [], |row| row.get::<_, i64>(0)) == Ok(0) {
        tokio::task::yield_now().await;
    }
    child.kill().await.expect("killed");
    for _ in 0..2 {
        ran(folder.path(), &arguments).await;
    }
    let distinct = "SELECT count(*), count(DISTINCT city) FROM orders";
    let count =
        database(folder.path()).query_row(distinct, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
    assert_eq!(count, Ok((60_000, 60_000)));
    let letters = "SELECT count(*) FROM _rowcast_dead_letters";
    assert_eq!(database(folder.path()).query_row(letters, [], |row| row.get::<_, i64>(0)), Ok(1));
}

#[tokio::test]
async fn a_server_takes_them_too() {
    let folder = shop();
    let server = Running::serve(folder.path(), &[]).await;
    write(folder.path(), "a.csv", "id,city,price\n1,Oslo,1.5\n2,Moss,x\n");
    let output = ran(folder.path(), &["ingest", "--table", "orders", "--url", &server.url, "a.csv"]).await;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("1 rows stored") && said.contains("  line 3: price: expected"), "{said}");
    assert_eq!(orders(folder.path()), ["1|Oslo|1.5"]);
}

#[tokio::test]
async fn what_cannot_work_is_said() {
    let folder = shop();
    for (arguments, words) in
        [(&["no-such-file.csv"][..], "no-such-file.csv cannot be read"), (&["--once"][..], "--once needs a file")]
    {
        let output = ingest(folder.path(), arguments).await;
        assert!(!output.status.success() && text(&output.stderr).contains(words), "{}", text(&output.stderr));
    }
    let output = ran(folder.path(), &["ingest", "--table", "nothing", "--database", "shop.db"]).await;
    assert!(text(&output.stderr).contains("there is no table `nothing`"), "{}", text(&output.stderr));
}
