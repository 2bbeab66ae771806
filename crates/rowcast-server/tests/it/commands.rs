//! What the commands say: help, configuration, setup and teardown, tail.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::program::{DEADLINE, Running, database, ran, rowcast, shop, text};

#[tokio::test]
async fn help_says_what_it_is_and_how_to_begin() {
    let folder = shop();
    let help = ran(folder.path(), &["--help"]).await;
    assert!(help.status.success());
    for part in [
        "live in every browser",
        "rowcast demo",
        "rowcast serve --database",
        "rowcast tail readings --where 'speed > 40'",
        "ROWCAST__",
    ] {
        assert!(text(&help.stdout).contains(part), "{part}");
    }
    assert!(text(&ran(folder.path(), &["version"]).await.stdout).starts_with("rowcast "));
}

#[tokio::test]
async fn mistakes_are_all_told_before_a_port_is_bound() {
    let folder = shop();
    std::fs::write(folder.path().join("rowcast.toml"), "listen = [\"127.0.0.1:0\"]\n[limits]\nframe_bites = 1\n")
        .expect("a file");
    let mut command = rowcast(folder.path(), &["serve", "--database", "oracle://me:secret@host/db"]);
    let output = command.env("ROWCAST__LIMITS__HEARTBEAT", "soon").output().await.expect("it ends");
    assert!(!output.status.success() && output.stdout.is_empty());
    let told = text(&output.stderr);
    for part in [
        "the configuration has 3 mistakes",
        "rowcast.toml:3: limits.frame_bites: there is no such key; did you mean limits.frame_bytes?",
        "environment ROWCAST__LIMITS__HEARTBEAT: limits.heartbeat",
        "is not a database that Rowcast knows",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    assert!(!told.contains("secret"));
}

#[tokio::test]
async fn what_config_prints_is_a_configuration() {
    let folder = shop();
    let first = ran(folder.path(), &["config", "--listen", "127.0.0.1:4000"]).await;
    assert!(text(&first.stdout).contains("listen = [\"127.0.0.1:4000\"]  # --listen\n"));
    std::fs::write(folder.path().join("rowcast.toml"), &first.stdout).expect("a file");
    let second = ran(folder.path(), &["config"]).await;
    assert!(
        text(&second.stdout).contains("listen = [\"127.0.0.1:4000\"]  # rowcast.toml:"),
        "{}",
        text(&second.stderr)
    );
    let default = ran(folder.path(), &["config", "--default"]).await;
    assert!(text(&default.stdout).contains("# Rowcast's configuration"));
}

#[tokio::test]
async fn a_taken_port_is_told_with_a_way_out() {
    let folder = shop();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let output = ran(folder.path(), &["serve", "--database", "shop.db", "--listen", &address]).await;
    assert!(!output.status.success());
    let told = text(&output.stderr);
    assert!(
        told.contains(&format!("cannot listen on {address}")) && told.contains("taken by another program"),
        "{told}"
    );
    assert!(!folder.path().join("rowcast-data").exists(), "nothing was made");
}

#[tokio::test]
async fn serve_without_a_database_says_what_to_write() {
    let folder = shop();
    let output = ran(folder.path(), &["serve"]).await;
    assert!(text(&output.stderr).contains("--database postgres://user@localhost/shop"), "{}", text(&output.stderr));
}

/// What capture keeps in the database.
fn installed(folder: &std::path::Path) -> i64 {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%rowcast%'";
    database(folder).query_row(sql, [], |row| row.get(0)).expect("a count")
}

#[tokio::test]
async fn setup_and_teardown_show_their_sql_and_leave_nothing_behind() {
    let folder = shop();
    let rehearsed = ran(folder.path(), &["setup", "--dry-run", "--database", "shop.db"]).await;
    assert!(text(&rehearsed.stdout).contains("CREATE TRIGGER"), "{}", text(&rehearsed.stderr));
    assert_eq!(installed(folder.path()), 0);

    let done = ran(folder.path(), &["setup", "--database", "shop.db"]).await;
    assert!(text(&done.stdout).contains("CREATE TRIGGER") && installed(folder.path()) > 0);
    let again = ran(folder.path(), &["setup", "--database", "shop.db"]).await;
    assert!(!text(&again.stdout).contains("CREATE TRIGGER"), "{}", text(&again.stdout));

    let unasked = ran(folder.path(), &["teardown", "--database", "shop.db"]).await;
    assert!(text(&unasked.stderr).contains("add --yes") && installed(folder.path()) > 0);
    let removed = ran(folder.path(), &["teardown", "--yes", "--database", "shop.db"]).await;
    assert!(removed.status.success() && text(&removed.stdout).contains("DROP"), "{}", text(&removed.stderr));
    assert_eq!(installed(folder.path()), 0);
    let nothing = ran(folder.path(), &["teardown", "--yes", "--database", "shop.db"]).await;
    assert!(text(&nothing.stderr).contains("nothing to do"));
}

#[tokio::test]
async fn tail_prints_changes_and_goes_on_after_a_restart_of_the_server() {
    let folder = shop();
    let mut server = Running::serve(folder.path(), &[]).await;
    let url = server.url.clone();
    let arguments = ["tail", "price > 5", "--table", "orders", "--url", &url, "--json", "--count", "2"];
    let mut tail =
        rowcast(folder.path(), &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(tail.stdout.take().expect("piped")).lines();
    let mut notes = BufReader::new(tail.stderr.take().expect("piped")).lines();
    let subscribed = lines.next_line().await.expect("readable").expect("a line");
    assert!(subscribed.contains("subscribed"), "{subscribed}");

    insert(folder.path(), "('Oslo', 1), ('Bergen', 10)");
    let first = lines.next_line().await.expect("readable").expect("a change");
    assert!(first.contains("Bergen") && first.contains("insert"), "{first}");

    let address = server.address().to_owned();
    server.signal("TERM").await;
    assert!(server.ended().await.success());
    insert(folder.path(), "('Tromsø', 20)");
    let again = ["serve", "--database", "sqlite:shop.db", "--listen", &address, "--data", "data"];
    let _server = Running::start(rowcast(folder.path(), &again)).await;
    let mut second = String::new();
    while !second.contains("Tromsø") {
        second = lines.next_line().await.expect("readable").expect("a change");
        assert!(!second.contains("Bergen"), "printed twice");
    }
    let ended = tokio::time::timeout(DEADLINE, tail.wait()).await.expect("in time").expect("a status");
    assert!(ended.success());
    let note = notes.next_line().await.expect("readable").expect("a note");
    assert!(note.starts_with("-- "), "{note}");
}

fn insert(folder: &std::path::Path, rows: &str) {
    database(folder).execute_batch(&format!("INSERT INTO orders (city, price) VALUES {rows}")).expect("inserted");
}

#[tokio::test]
async fn tail_points_at_what_is_wrong_with_a_filter() {
    let folder = shop();
    let server = Running::serve(folder.path(), &[]).await;
    let output = ran(folder.path(), &["tail", "price >> 5", "-t", "orders", "--url", &server.url]).await;
    let told = text(&output.stderr);
    assert!(!output.status.success() && told.contains("\n  price >> 5\n  ") && told.contains('^'), "{told}");
    let unknown = ran(folder.path(), &["tail", "-t", "order", "--url", &server.url]).await;
    assert!(text(&unknown.stderr).contains("order"), "{}", text(&unknown.stderr));
}

#[tokio::test]
async fn tail_without_a_server_says_so() {
    let folder = shop();
    let output = ran(folder.path(), &["tail", "-t", "orders", "--url", "http://127.0.0.1:9"]).await;
    assert!(text(&output.stderr).contains("is `rowcast serve` running there?"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn a_token_is_made_and_explained() {
    let folder = shop();
    let secret = "a secret of more than thirty-two bytes";
    let settings = format!("[auth]\nsecret = \"{secret}\"\naudience = [\"rowcast\"]\ntenant_claim = \"tenant\"\n");
    std::fs::write(folder.path().join("rowcast.toml"), settings).expect("a file");
    let made = ran(
        folder.path(),
        &["token", "make", "--sub", "ann", "--claim", "tenant=acme", "--claim", "n=[1]", "--ttl", "5m"],
    )
    .await;
    let token = text(&made.stdout).trim();
    assert!(made.status.success() && token.split('.').count() == 3 && made.stderr.is_empty(), "{}", text(&made.stderr));

    let explained = ran(folder.path(), &["token", "explain", token]).await;
    let told = text(&explained.stdout);
    assert!(explained.status.success(), "{told}");
    for part in [
        "alg  HS256",
        "sub     ann",
        "tenant  acme",
        "n       [1]",
        "aud     rowcast",
        " UTC, in ",
        "accepted: user ann, tenant acme, signed by the key HS256#",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    let other = format!("Bearer {}x", &token[..token.len() - 2]);
    let refused = ran(folder.path(), &["token", "explain", &other]).await;
    let told = text(&refused.stdout);
    assert!(
        !refused.status.success()
            && told.contains("refused: ")
            && told.contains("the client is told: the token is not valid"),
        "{told}"
    );
    assert!(!told.contains(secret));

    let without_tenant = ran(folder.path(), &["token", "make", "--sub", "ann"]).await;
    assert!(
        text(&without_tenant.stderr).contains("the server will refuse this token: its `tenant`"),
        "{}",
        text(&without_tenant.stderr)
    );
    std::fs::remove_file(folder.path().join("rowcast.toml")).expect("removed");
    let none = ran(folder.path(), &["token", "make", "--sub", "ann"]).await;
    assert!(text(&none.stderr).contains("there is no key in the configuration"), "{}", text(&none.stderr));
}

#[tokio::test]
async fn a_password_becomes_a_hash_that_the_configuration_takes() {
    let folder = shop();
    let mut command = rowcast(folder.path(), &["password"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut input = child.stdin.take().expect("piped");
    tokio::io::AsyncWriteExt::write_all(&mut input, b"correct horse\n").await.expect("written");
    drop(input);
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await.expect("in time").expect("it ends");
    let hash = text(&output.stdout).trim();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && !hash.contains("correct"), "{hash}");
    let settings = format!(
        "[auth]\nsecret = \"a secret of more than thirty-two bytes\"\n[[auth.user]]\nname = \"ann\"\npassword_hash = \"{hash}\"\n"
    );
    std::fs::write(folder.path().join("rowcast.toml"), settings).expect("a file");
    let shown = ran(folder.path(), &["config"]).await;
    let told = text(&shown.stdout);
    assert!(
        shown.status.success() && !told.contains("argon2id") && !told.contains("thirty-two"),
        "{told}{}",
        text(&shown.stderr)
    );
}
