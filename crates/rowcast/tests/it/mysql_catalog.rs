//! What the catalog of a real server says of its tables.

use mysql_async::prelude::Queryable;
use rowcast::event::Table;
use rowcast::mysql::{Address, Server, catalog};
use servers::MysqlDatabase;

async fn tables(database: &MysqlDatabase) -> Vec<String> {
    let mut conn = Address::parse(&database.url()).expect("an address").connect().await.expect("connected");
    let tables = catalog::tables(&mut conn).await.expect("tables");
    tables.iter().map(|table| shown(table)).collect()
}

/// `orders(id int, …) key id`
fn shown(table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(|c| format!("{} {}", c.name, c.declared)).collect();
    let key: Vec<&str> = table.key.iter().map(|n| &*table.columns[*n].name).collect();
    format!("{}({}) key {}", table.name, columns.join(", "), key.join(", "))
}

#[tokio::test]
async fn types_are_in_normal_form() {
    let database = MysqlDatabase::new().await.expect("a database");
    let sql = "create table t (
        a int(11) unsigned zerofill, b tinyint(1), c bigint unsigned, d decimal(20,4), e float, f double(10,2), g bit(3), h year,
        i char(3), j varchar(20) character set latin1, k text, l binary(3), m varbinary(4), n longblob,
        o enum('x','it''s','B\\\\c'), p set('a','b'), q json, r date, s time(3), u datetime(6), v timestamp(6) null,
        w point, x serial, y varchar(5) as (left(k, 5)) virtual, z bool default true)";
    database.run(sql).await;
    assert_eq!(
        tables(&database).await,
        ["t(a int unsigned, b tinyint, c bigint unsigned, d decimal(20,4), e float, f double, g bit(3), h year, \
         i char(3), j varchar(20), k text, l binary(3), m varbinary(4), n longblob, \
         o enum('x','it''s','B\\c'), p set('a','b'), q json, r date, s time(3), u datetime(6), v timestamp(6), \
         w point, x bigint unsigned, y varchar(5), z tinyint) key x"]
    );
}

#[tokio::test]
async fn types_that_only_mariadb_has() {
    let database = MysqlDatabase::new().await.expect("a database");
    let mut conn = database.connect().await.expect("connected");
    if !Server::of(&mut conn).await.expect("a server").is_mariadb() {
        return;
    }
    let sql = "create table t (id uuid primary key, a inet6, b inet4, c varchar(20) compressed, `o``dd` json,
        d longtext check (json_valid(d)), e longtext) with system versioning";
    conn.query_drop(sql).await.expect("made");
    conn.query_drop("create sequence s").await.expect("made");
    assert_eq!(
        tables(&database).await,
        ["t(id uuid, a inet6, b inet4, c varchar(20), o`dd json, d json, e longtext) key id"]
    );
}

#[tokio::test]
async fn the_key_is_the_primary_one_or_else_one_that_tells_every_row() {
    let database = MysqlDatabase::new().await.expect("a database");
    for sql in [
        "create table a (x int, y int, z int, primary key (z, x), unique (y))",
        "create table b (x int, y int not null, z int not null, unique (x), unique one (y, z), unique two (z))",
        "create table c (x int, y varchar(200) not null, unique (x), unique (y(10)), key (y))",
        "create table Größe (`a b` int primary key)",
        "create table _rowcast_outbox (id int primary key)",
        "create view v as select * from a",
    ] {
        database.run(sql).await;
    }
    let mut found = tables(&database).await;
    found.sort();
    assert_eq!(
        found,
        [
            "Größe(a b int) key a b",
            "a(x int, y int, z int) key z, x",
            "b(x int, y int, z int) key z",
            "c(x int, y varchar(200)) key "
        ]
    );
}
