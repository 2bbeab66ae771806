//! Server-Sent Events out of bytes, wherever they are cut.

use std::time::Duration;

/// One event, or one that carries only an id or a retry time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Empty for a block without data.
    pub(super) kind: String,
    pub(super) data: String,
    pub(super) id: Option<String>,
    pub(super) retry: Option<Duration>,
}

/// Reads events from the chunks of one body.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
}

impl Events {
    /// The events that end in this chunk.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            events.extend(self.line(line.trim_end_matches('\r')));
        }
        self.line.extend_from_slice(rest);
        events
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let has_data = std::mem::take(&mut self.has_data);
            let mut event = std::mem::take(&mut self.event);
            if !has_data {
                event.kind.clear();
            }
            return (event != Event::default()).then_some(event);
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => self.event.kind = value.to_owned(),
            "id" => self.event.id = Some(value.to_owned()),
            "retry" => self.event.retry = value.parse().ok().map(Duration::from_millis),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let body = "retry: 1000\n\nevent: change\nid: 1-2\ndata: {\"ü\":1}\n\n: ping\n\nid: 1-3\n\nevent: gap\r\ndata: a\r\ndata: b\r\n\r\n";
        let whole = Events::default().feed(body.as_bytes());
        let mut events = Events::default();
        let cut: Vec<Event> = body.as_bytes().chunks(1).flat_map(|byte| events.feed(byte)).collect();
        assert_eq!(whole, cut);
        let kinds: Vec<(&str, &str, Option<&str>)> =
            whole.iter().map(|e| (e.kind.as_str(), e.data.as_str(), e.id.as_deref())).collect();
        assert_eq!(
            kinds,
            [("", "", None), ("change", "{\"ü\":1}", Some("1-2")), ("", "", Some("1-3")), ("gap", "a\nb", None)]
        );
        assert_eq!(whole[0].retry, Some(Duration::from_secs(1)));
    }
}
