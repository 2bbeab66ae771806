//! The section `[influx]`.

use std::collections::BTreeMap;

use rowcast::transport::influx::{Influx, TimeUnit};

use super::{Reader, shown};

impl Reader<'_> {
    pub(super) fn influx(&mut self) -> Option<Influx> {
        let units = [TimeUnit::Nanoseconds, TimeUnit::Microseconds, TimeUnit::Milliseconds, TimeUnit::Seconds];
        let influx = Influx {
            tables: self.measurements("influx.tables"),
            prefix: self.text("influx.prefix"),
            time: self.text("influx.time"),
            unit: units[self.choice("influx.time_unit", ["ns", "us", "ms", "s"])],
        };
        self.yes("influx.enabled").then_some(influx)
    }

    fn measurements(&mut self, key: &str) -> BTreeMap<String, String> {
        let value = &self.setting(key).value;
        let pairs = value.as_inline_table().and_then(|table| {
            table.iter().map(|(name, table)| Some((name.to_owned(), table.as_str()?.to_owned()))).collect()
        });
        pairs.unwrap_or_else(|| {
            self.wrong(
                key,
                format!("expected names with tables, got {}", shown(value)),
                r#"write { cpu = "cpu_load" }"#,
            );
            BTreeMap::new()
        })
    }
}
