//! Tenants that are told by the host name that their clients connect to.

/// What stands for the tenant in a pattern.
const NAME: &str = "{tenant}";

/// The tenant in a host, by a pattern such as `{tenant}.example.com`: one label of it. `None` where the host is another one.
///
/// A port is passed over, and letters' case does not count, as in host names: the tenant is to be compared in lower case.
pub fn tenant_of_host<'a>(pattern: &str, host: &'a str) -> Option<&'a str> {
    let (before, after) = pattern.split_once(NAME)?;
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let length = name.len().checked_sub(before.len() + after.len())?;
    let tenant = name.get(before.len()..before.len() + length)?;
    let same = |a: Option<&str>, b: &str| a.is_some_and(|a| a.eq_ignore_ascii_case(b));
    let fits = same(name.get(..before.len()), before) && same(name.get(before.len() + length..), after);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (fits && !tenant.is_empty() && tenant.bytes().all(plain)).then_some(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_one_label_of_the_host() {
        for (pattern, host, expected) in [
            ("{tenant}.example.com", "acme.example.com", Some("acme")),
            ("{tenant}.example.com", "acme.example.com:8443", Some("acme")),
            ("{tenant}.example.com", "ACME.Example.COM.", Some("ACME")),
            ("app-{tenant}.example.com", "app-a1.example.com", Some("a1")),
            ("{tenant}.example.com", "example.com", None),
            ("{tenant}.example.com", ".example.com", None),
            ("{tenant}.example.com", "a.b.example.com", None),
            ("{tenant}.example.com", "acme.example.com.evil.example", None),
            ("{tenant}.example.com", "acme.exämple.com", None),
            ("{tenant}.example.com", "", None),
            ("example.com", "example.com", None),
        ] {
            assert_eq!(tenant_of_host(pattern, host), expected, "{pattern} {host}");
        }
    }
}
