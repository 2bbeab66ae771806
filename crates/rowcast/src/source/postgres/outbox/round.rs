//! What one look at the outbox has found, in the order in which it is handed out.
//!
//! Transactions come in the order of their last rows' numbers. That respects every row's history: whoever changes a row after
//! another transaction has waited for its commit, and writes that change down with a number greater than all of the other's. It respects
//! causes as well: who writes after having seen another's commit writes with greater numbers, too. And across looks the order is that of
//! the commits, because a snapshot that shows one transaction shows whatever was committed before it.

use tokio_postgres::{Client, Row, Statement};

use super::between::between;
use super::spot::{RoundSpot, RowId};
use crate::event::Visible;
use crate::postgres::PostgresSettings;

/// How many transactions are listed at once: 24 bytes each.
const LISTED: i64 = 1_000_000;

/// The statements, prepared on one connection.
#[derive(Debug)]
pub(super) struct Statements {
    list: Statement,
    page_of_one: Statement,
    page_of_many: Statement,
}

const LIST: &str = "
    SELECT o.tx::text, max(o.id), count(*)
      FROM unnest($1::text::xid8[], $2::text::xid8[]) AS r(low, high)
      JOIN rowcast.outbox o ON o.tx BETWEEN r.low AND r.high
     GROUP BY o.tx HAVING max(o.id) > $3 ORDER BY max(o.id) LIMIT $4";

const PAGE_OF_ONE: &str = "
    SELECT tx::text, id, relid, op, old, new
      FROM (SELECT *, sum(size) OVER (ORDER BY id) - size AS before
              FROM (SELECT *, 64 + coalesce(octet_length(old), 0) + coalesce(octet_length(new), 0) AS size
                      FROM rowcast.outbox WHERE tx = $1::text::xid8 AND id > $2 ORDER BY id LIMIT $3) rows) sized
     WHERE before < $4 ORDER BY id";

const PAGE_OF_MANY: &str = "
    SELECT tx::text, id, relid, op, old, new
      FROM (SELECT *, sum(size) OVER (ORDER BY n, id) - size AS before
              FROM (SELECT o.*, t.n, 64 + coalesce(octet_length(o.old), 0) + coalesce(octet_length(o.new), 0) AS size
                      FROM unnest($1::text::xid8[]) WITH ORDINALITY t(tx, n) JOIN rowcast.outbox o ON o.tx = t.tx) rows) sized
     WHERE before < $2 ORDER BY n, id";

impl Statements {
    pub(super) async fn prepare(client: &Client) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            list: client.prepare(LIST).await?,
            page_of_one: client.prepare(PAGE_OF_ONE).await?,
            page_of_many: client.prepare(PAGE_OF_MANY).await?,
        })
    }
}

/// A transaction that is to be handed out.
#[derive(Debug, Clone, Copy)]
struct Listed {
    tx: u64,
    last: i64,
    count: i64,
}

/// The transactions between two snapshots.
#[derive(Debug)]
pub(super) struct Round {
    /// Where it has got to.
    pub(super) spot: RoundSpot,
    /// Last first.
    list: Vec<Listed>,
    /// Whether there are more than are listed.
    more: bool,
}

/// Rows in the order in which they are handed out.
pub(super) struct Page {
    pub(super) rows: Vec<PageRow>,
    /// Rows were expected that are not there: somebody else has removed them.
    pub(super) hole: bool,
}

/// A row of the outbox.
pub(super) struct PageRow {
    pub(super) at: RowId,
    /// Whether it is its transaction's last.
    pub(super) last: bool,
    row: Row,
}

impl PageRow {
    pub(super) fn table(&self) -> Option<u32> {
        self.row.get(2)
    }

    pub(super) fn op(&self) -> &str {
        self.row.get(3)
    }

    pub(super) fn old(&self) -> Option<&str> {
        self.row.get(4)
    }

    pub(super) fn new(&self) -> Option<&str> {
        self.row.get(5)
    }
}

impl Round {
    /// Lists what is to be read between `before` and where the round leads.
    pub(super) async fn open(
        client: &Client,
        statements: &Statements,
        before: &Visible,
        spot: RoundSpot,
    ) -> Result<Self, tokio_postgres::Error> {
        let ranges = between(before, &spot.upto);
        let mut round = Self { spot, list: Vec::new(), more: false };
        if ranges.is_empty() {
            return Ok(round);
        }
        let (low, high) = (array(ranges.iter().map(|range| range.0)), array(ranges.iter().map(|range| range.1)));
        let rows = client.query(&statements.list, &[&low, &high, &round.spot.done, &LISTED]).await?;
        round.more = rows.len() as i64 == LISTED;
        let listed = |row: &Row| Listed { tx: number(row.get(0)), last: row.get(1), count: row.get(2) };
        round.list = rows.iter().rev().map(listed).collect();
        Ok(round)
    }

    /// Whether everything has been handed out that was listed.
    pub(super) fn is_over(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether the list has to be made again for what is left.
    pub(super) fn goes_on(&self) -> bool {
        self.more && self.list.is_empty()
    }

    /// Rows that are yet to be handed out, about.
    pub(super) fn left(&self) -> u64 {
        self.list.iter().map(|listed| listed.count.unsigned_abs()).sum()
    }

    /// The next rows, and where they lead.
    pub(super) async fn page(
        &mut self,
        client: &Client,
        statements: &Statements,
        settings: &PostgresSettings,
    ) -> Result<Page, tokio_postgres::Error> {
        let Some(first) = self.list.last().copied() else { return Ok(Page { rows: Vec::new(), hole: false }) };
        let rows_max = i64::try_from(settings.batch_rows.max(1)).unwrap_or(i64::MAX);
        let bytes_max = i64::try_from(settings.batch_bytes.max(1)).unwrap_or(i64::MAX);
        let mut count = 0;
        let many: Vec<u64> = self
            .list
            .iter()
            .rev()
            .take_while(|listed| {
                count += listed.count;
                count <= rows_max
            })
            .map(|listed| listed.tx)
            .collect();
        let rows = if many.len() < 2 || self.spot.inside.is_some() {
            let after = self.spot.inside.map_or(i64::MIN, |inside| inside.id);
            client.query(&statements.page_of_one, &[&first.tx.to_string(), &after, &rows_max, &bytes_max]).await?
        } else {
            client.query(&statements.page_of_many, &[&array(many.into_iter()), &bytes_max]).await?
        };
        Ok(self.advance(rows))
    }

    fn advance(&mut self, rows: Vec<Row>) -> Page {
        let mut page = Page { rows: Vec::with_capacity(rows.len()), hole: rows.is_empty() };
        for row in rows {
            let at = RowId { tx: number(row.get(0)), id: row.get(1) };
            let Some(listed) = self.list.last().copied().filter(|listed| listed.tx == at.tx) else {
                page.hole = true;
                break;
            };
            let last = at.id == listed.last;
            if last {
                self.list.pop();
                (self.spot.done, self.spot.inside) = (listed.last, None);
            } else {
                self.spot.inside = Some(at);
            }
            page.rows.push(PageRow { at, last, row });
        }
        page
    }
}

/// Numbers as SQL's array. `xid8` has no binary form that everybody knows.
fn array(numbers: impl Iterator<Item = u64>) -> String {
    let numbers: Vec<String> = numbers.map(|number| number.to_string()).collect();
    format!("{{{}}}", numbers.join(","))
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}
